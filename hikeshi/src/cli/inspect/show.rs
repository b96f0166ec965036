//! The human form of a report: what an operator pastes into a ticket.

use model::Measure;
use owo_colors::OwoColorize;
use serde_json::Value;

use super::document::snake;
use super::{Seen, Weighed, reason};
use crate::cli::print;

/// Prints the report.
pub fn show(accounts: &[Weighed<'_>], seen: &Seen) {
    let reading = &seen.reading;
    anstream::println!(
        "{} accounts, {} processes, {} log lines read ({} not understood)",
        seen.entries.len(),
        seen.processes,
        reading.lines,
        reading.dropped
    );
    for a in accounts {
        let verdict = match a.verdict {
            "malicious" => a.verdict.red().bold().to_string(),
            "suspicious" => a.verdict.yellow().bold().to_string(),
            _ => a.verdict.green().to_string(),
        };
        anstream::println!("\n{}  {verdict}", a.account.bold());
        for finding in &a.findings {
            let site = finding.signal.site.as_ref().map(|s| format!(" in {s}")).unwrap_or_default();
            let strength = format!("{:?}", finding.signal.strength).to_lowercase();
            anstream::println!("  {} ({strength}{site}) since {}", reason(finding.signal.kind), finding.signal.since);
            for (key, value) in &finding.evidence.0 {
                if let Value::String(key) = snake(key) {
                    anstream::println!("    {:<22} {value}", key.dimmed());
                }
            }
        }
        for choice in &a.choices {
            let measure = match &choice.measure {
                Measure::DisableCronLine { .. } => {
                    let lines: Vec<String> = a.lines(choice).iter().map(u64::to_string).collect();
                    format!("disable-cron-line {}", lines.join(" "))
                }
                other => print::measure(other),
            };
            let by_hand = if choice.measure.is_available() { "" } else { " (by hand: this build cannot)" };
            anstream::println!("  would {}{by_hand}", measure.bold());
        }
    }
    for u in &reading.unattributed {
        anstream::println!("\n{}  uid {} {}", "no account can be blamed".yellow(), u.uid, reason(u.kind));
        for (key, value) in &u.evidence.0 {
            if let Value::String(key) = snake(key) {
                anstream::println!("    {:<22} {value}", key.dimmed());
            }
        }
    }
    for attack in &reading.attacks {
        anstream::println!("\n{}  {}", "attack from outside".yellow(), reason(attack.kind));
        for (key, value) in &attack.evidence.0 {
            if let Value::String(key) = snake(key) {
                anstream::println!("    {:<22} {value}", key.dimmed());
            }
        }
    }
    if accounts.iter().all(|a| a.verdict == "benign") && reading.unattributed.is_empty() && reading.attacks.is_empty() {
        anstream::println!("\n{}", "Nothing found.".green());
    }
    for line in &reading.blind {
        anstream::println!("{} {line}", "not seen:".yellow());
    }
}
