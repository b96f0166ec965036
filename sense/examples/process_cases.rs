//! Runs the process cases of a case collection and compares verdict, account and exact pids.
//!
//! usage: `cargo run -p sense --example process_cases -- CASES_FOLDER`; exit status 10 when a case is wrong.

use std::collections::BTreeSet;
use std::path::Path;

use model::{AccountEntry, AccountRef, Moment, Site, Strength, Target};
use sense::attribution::Accounts;
use sense::process::{Memory, Table, judge};

fn main() {
    let folder = std::env::args().nth(1).expect("usage: process_cases CASES_FOLDER");
    let folder = Path::new(&folder);
    let read = |path: &str| -> toml::Value {
        toml::from_str(&std::fs::read_to_string(folder.join(path)).expect(path)).expect(path)
    };
    let who = Accounts::new(&accounts(&read("inventory.toml")), &[]);
    let (mut right, mut total) = (0, 0);
    for case in read("process/expected.toml")["case"].as_array().expect("cases") {
        let text = |key: &str| case.get(key).and_then(|v| v.as_str()).unwrap_or_default();
        let pids = |key: &str| -> BTreeSet<u32> {
            case.get(key)
                .and_then(|v| v.as_array())
                .into_iter()
                .flatten()
                .filter_map(|v| Some(v.as_integer()? as u32))
                .collect()
        };
        let file = std::fs::File::open(folder.join("process").join(text("input"))).expect("input");
        let recorded = Table::read_jsonl(std::io::BufReader::new(file)).expect("readable");
        let now = Moment::parse(text("observed_at")).or(recorded.now).expect("time");
        let judgement = judge(&recorded.table, &who, now, &mut Memory::default());
        let mut verdict = ("benign", String::new());
        let mut frozen = BTreeSet::new();
        for finding in &judgement.findings {
            let word = if finding.signal.strength == Strength::Conclusive { "malicious" } else { "suspicious" };
            if verdict.0 != "malicious" {
                verdict = (word, finding.signal.account.to_string());
            }
            if let (Strength::Conclusive, Target::Processes(list)) = (finding.signal.strength, &finding.signal.target) {
                frozen.extend(list.iter().map(|p| p.pid));
            }
        }
        let same = verdict == (text("verdict"), text("account").to_owned())
            && frozen == pids("pids")
            && frozen.is_disjoint(&pids("spare_pids"))
            && recorded.dropped == 0;
        total += 1;
        right += usize::from(same);
        let kinds: Vec<String> =
            judgement.findings.iter().map(|f| format!("{:?}+{:?}", f.signal.kind, f.signal.also)).collect();
        println!(
            "{} {} {} {:?} {}",
            if same { "right" } else { "WRONG" },
            text("id"),
            verdict.0,
            frozen,
            kinds.join(", ")
        );
    }
    println!("right {right} of {total}");
    std::process::exit(if right == total { 0 } else { 10 });
}

fn accounts(inventory: &toml::Value) -> Vec<AccountEntry> {
    let text = |value: &toml::Value, key: &str| value[key].as_str().expect("text").to_owned();
    let site = |value: &toml::Value| Site {
        domain: text(value, "domain").parse().expect("domain"),
        aliases: Vec::new(),
        root: text(value, "root"),
        gates: Vec::new(),
        probes: Vec::new(),
    };
    let account = |value: &toml::Value| AccountEntry {
        account: AccountRef {
            name: text(value, "name").parse().expect("name"),
            uid: value["uid"].as_integer().expect("uid") as u32,
            generation: 1,
        },
        home: text(value, "home"),
        sites: value["sites"].as_array().expect("sites").iter().map(site).collect(),
        contacts: Vec::new(),
        time_zone: text(value, "time_zone"),
    };
    inventory["account"].as_array().expect("accounts").iter().map(account).collect()
}
