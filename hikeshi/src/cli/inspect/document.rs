//! The JSON form of a report, as the head of the case collection's scorer fixes it.

use engine::Choice;
use model::{Evidence, FactValue, Kind, Login, MailRate, MailScope, Measure, Strength};
use sense::reading::Attack;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{Seen, Weighed, reason};

/// The word of a value.
pub fn snake<T: Serialize>(value: T) -> Value {
    serde_json::to_value(value).expect("a word")
}

fn facts(into: &mut Map<String, Value>, evidence: &Evidence) {
    for (key, value) in &evidence.0 {
        let Value::String(key) = snake(key) else { continue };
        let value = match value {
            FactValue::Text(text) => json!(text),
            FactValue::Number(number) => json!(number),
        };
        into.entry(key).or_insert(value);
    }
}

fn measure(choice: &Choice, account: &Weighed<'_>) -> Value {
    let measure = &choice.measure;
    let mut out = json!({ "verb": measure.name(), "available": measure.is_available() });
    let lines = account.lines(choice);
    if !lines.is_empty() {
        out["lines"] = json!(lines);
    }
    match measure {
        Measure::ThrottleMail { rate: MailRate::Script(Some(folder)) } => {
            out["scope"] = json!("directory");
            out["script_dir"] = json!(folder);
        }
        Measure::ThrottleMail { rate: MailRate::Script(None) } => out["scope"] = json!("local"),
        Measure::ThrottleMail { rate: MailRate::Pair(one, other) } => {
            out["scope"] = json!("pair");
            out["pair"] = json!([one, other]);
        }
        Measure::FreezeProcess { processes } => {
            out["pids"] = json!(processes.iter().map(|p| p.pid).collect::<Vec<_>>());
        }
        Measure::HoldMail { scope: MailScope::Local, .. } => out["scope"] = json!("local"),
        Measure::HoldMail { scope: MailScope::Mailbox(mailbox), .. } => {
            out["scope"] = json!("mailbox");
            out["mailbox"] = json!(mailbox.as_str());
        }
        Measure::HoldMail { scope: MailScope::Account { .. }, .. } => out["scope"] = json!("account"),
        Measure::CloseSite { site } | Measure::EndSessions { site } => out["site"] = json!(site.as_str()),
        Measure::BlockScript { site, path } => {
            out["site"] = json!(site.as_str());
            out["path"] = json!(path.to_string());
        }
        Measure::ThrottleSource { sources } => out["sources"] = json!(sources),
        Measure::QuarantineFile { files, .. } => {
            out["files"] = json!(files.iter().map(|f| f.path.to_string()).collect::<Vec<_>>());
        }
        Measure::BlockLogin { logins } => {
            out["logins"] = json!(logins);
            let scope = |login: &Login| match login {
                Login::Shell => "shell",
                Login::Ftp => "ftp",
                Login::Mail(_) => "mail",
            };
            // One kind of login is the scope; several have none.
            let first = logins.first().map(scope);
            if let Some(first) = first.filter(|first| logins.iter().all(|login| scope(login) == *first)) {
                out["scope"] = json!(first);
            }
        }
        Measure::DisableCronLine { .. }
        | Measure::RefuseMail
        | Measure::BlockOutbound
        | Measure::CloseAccount { .. }
        | Measure::AskOwner
        | Measure::PageOperator => {}
    }
    out
}

/// The whole report.
pub fn document(accounts: &[Weighed<'_>], seen: &Seen) -> Value {
    let signal = |kind: Kind, also: &[Kind], strength: Strength, evidence: &Evidence| {
        let mut out = Map::new();
        out.insert("class".into(), snake(kind.class()));
        out.insert("name".into(), snake(kind));
        out.insert("also".into(), snake(also));
        out.insert("strength".into(), snake(strength));
        out.insert("reason".into(), json!(reason(kind)));
        facts(&mut out, evidence);
        Value::Object(out)
    };
    let account = |a: &Weighed<'_>| {
        json!({
            "account": a.account.as_str(),
            "verdict": a.verdict,
            "measures": a.choices.iter().map(|c| measure(c, a)).collect::<Vec<_>>(),
            "signals": a.findings.iter().map(|f| {
                let mut out = signal(f.signal.kind, &f.signal.also, f.signal.strength, &f.evidence);
                out["site"] = json!(f.signal.site.as_ref().map(|s| s.as_str()));
                out
            }).collect::<Vec<_>>(),
        })
    };
    let reading = &seen.reading;
    let against = |attack: &Attack| {
        let facts = signal(attack.kind, &[], attack.strength, &attack.evidence);
        json!({ "verb": "throttle-source", "available": true, "sources": attack.sources, "signal": facts })
    };
    let slowed = reading.attacks.iter().filter(|a| a.strength >= Strength::Suspicious && !a.sources.is_empty());
    json!({
        "accounts": accounts.iter().map(account).collect::<Vec<_>>(),
        "unattributed": reading.unattributed.iter().map(|u| signal(u.kind, &u.also, u.strength, &u.evidence)).collect::<Vec<_>>(),
        "measures": slowed.map(against).collect::<Vec<_>>(),
        "read": { "lines": reading.lines, "dropped": reading.dropped, "processes": seen.processes },
        "blind": reading.blind,
    })
}
