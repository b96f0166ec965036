//! What must not be shown to others is left out of a text, word by word.

use std::collections::HashSet;
use std::net::IpAddr;

use model::{AccountName, Domain};
use store::{StoreError, View};

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

    fn word(&self, word: &str, out: &mut String) {
        let plain = word.trim_end_matches(['.', ':']);
        let tail = &word[plain.len()..];
        let lower = plain.to_ascii_lowercase();
        // Times and versions look like addresses to no parser, but `::` and numbers with colons do.
        let address = |text: &str| text.parse::<IpAddr>().is_ok_and(|a| a.to_string().len() > 4);
        let host = plain.rsplit_once(':').map_or(plain, |(host, _)| host);
        let shown = match () {
            () if plain.contains('@') => "(address)",
            () if address(plain) || address(host) => "(ip)",
            () if self.accounts.contains(plain) => "(another account)",
            () if within(&lower, &self.domains) => "(another site)",
            () => plain,
        };
        out.push_str(shown);
        out.push_str(tail);
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '@' | '.' | ':' | '-' | '_' | '+' | '%')
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
        check("alice's blog.alice.example 1.2.3 bobby", "alice's blog.alice.example 1.2.3 bobby");
        check("管理 bob@例え.jp。", "管理 (address)。");
    }
}
