//! What must not be shown to others is left out of a text, word by word.

use std::collections::HashSet;
use std::net::IpAddr;

use model::{AccountName, Domain};
use store::{StoreError, View};

/// Names of fields in log lines: what follows is a value, and not the rest of a mail address.
const KEYS: [&str; 9] = ["to", "orig_to", "from", "sender", "user", "client", "uid", "pid", "host"];

/// Everything that is masked; what belongs to the account itself stays.
pub struct Redact {
    accounts: HashSet<String>,
    domains: HashSet<String>,
}

impl Redact {
    /// For evidence of this account.
    pub fn of(store: &View, own: &AccountName) -> Result<Redact, StoreError> {
        let (mut accounts, mut domains) = (HashSet::new(), HashSet::new());
        let known = store.accounts()?;
        let names =
            |site: &model::Site| site.aliases.iter().chain([&site.domain]).map(Domain::to_string).collect::<Vec<_>>();
        let (ours, others): (Vec<_>, Vec<_>) = known.iter().partition(|k| k.entry.account.name == *own);
        for other in others {
            accounts.insert(other.entry.account.name.to_string());
            domains.extend(other.entry.sites.iter().flat_map(names));
        }
        let own: HashSet<String> = ours.iter().flat_map(|k| &k.entry.sites).flat_map(names).collect();
        domains.retain(|domain| !own.contains(domain));
        Ok(Redact { accounts, domains })
    }

    /// The text with addresses, other accounts and their sites replaced.
    pub fn text(&self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if is_word(first) {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                self.word(&rest[..end], &mut out);
                rest = &rest[end..];
            } else {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
        out
    }

    /// The same of every text in a value, names of fields aside.
    pub fn value(&self, value: &mut serde_json::Value) {
        match value {
            serde_json::Value::String(text) => *text = self.text(text),
            serde_json::Value::Array(values) => values.iter_mut().for_each(|value| self.value(value)),
            serde_json::Value::Object(values) => values.values_mut().for_each(|value| self.value(value)),
            _ => {}
        }
    }

    /// A word goes as a whole when any part of it must not be shown: too much hidden is better than too little.
    fn word(&self, word: &str, out: &mut String) {
        if let Some((key, value)) = word.split_once('=').filter(|(key, _)| KEYS.contains(key)) {
            out.push_str(key);
            out.push('=');
            return self.word(value, out);
        }
        let plain = word.trim_end_matches(['.', ':']);
        let lower = plain.to_ascii_lowercase();
        // Times and versions look like addresses to no parser, but `::` and numbers with colons do.
        let address = |text: &str| text.parse::<IpAddr>().is_ok_and(|a| a.to_string().len() > 4);
        let parts = |signs: &'static [char]| plain.split(signs).map(|part| part.trim_matches(['.', '-']));
        let shown = match () {
            () if plain.contains('@') || lower.contains("%40") => "(address)",
            () if address(plain) || parts(&[':', '-', '=', '_', '%', '+']).any(address) => "(ip)",
            () if plain.rsplit_once(':').is_some_and(|(host, _)| address(host)) => "(ip)",
            () if parts(&[':', '-', '=', '_', '%', '+', '.']).any(|part| self.accounts.contains(part)) => {
                "(another account)"
            }
            () if parts(&[':', '=', '_', '%', '+']).any(|p| within(&p.to_ascii_lowercase(), &self.domains)) => {
                "(another site)"
            }
            () => plain,
        };
        out.push_str(shown);
        out.push_str(&word[plain.len()..]);
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '@' | '.' | ':' | '-' | '_' | '+' | '%' | '=')
}

/// Whether it is one of these domains or lies below one.
fn within(name: &str, domains: &HashSet<String>) -> bool {
    let mut at = name;
    loop {
        if domains.contains(at) {
            return true;
        }
        match at.split_once('.') {
            Some((_, parent)) => at = parent,
            None => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_are_masked_and_the_account_itself_is_not() {
        let set = |words: &[&str]| words.iter().map(ToString::to_string).collect();
        let redact = Redact { accounts: set(&["bob"]), domains: set(&["bob.example"]) };
        let check = |text: &str, kept: &str| assert_eq!(redact.text(text), kept);
        check("from=<taro@bob.example>, to=x+y@z.jp.", "from=<(address)>, to=(address).");
        check("192.0.2.7:443 and [2001:db8::7], at 11:46:53", "(ip) and [(ip)], at 11:46:53");
        check(
            "/home/bob/www of bob, www.Bob.example",
            "/home/(another account)/www of (another account), (another site)",
        );
        check("client:192.0.2.7 192.0.2.7-192.0.2.9 taro%40mail.test", "(ip) (ip) (address)");
        check("bob_wp verp-taro=gmail.com@x.jp Host=WWW.bob.example", "(another account) (address) (another account)");
        check("alice's blog.alice.example 1.2.3 bobby", "alice's blog.alice.example 1.2.3 bobby");
        check("管理 bob@例え.jp。", "管理 (address)。");
    }
}
