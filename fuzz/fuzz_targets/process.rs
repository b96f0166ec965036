//! A recorded table of processes: counts add up, tables of rings and twins end, twice judged is the same.
#![no_main]

use fuzz::{check, lines, node, now, told};
use libfuzzer_sys::fuzz_target;
use sense::attribution::Accounts;
use sense::process::{Memory, Table, judge};
use sense::reading::Reading;

fn read(data: &[u8]) -> Reading {
    let recorded = Table::read_jsonl(data).expect("bytes cannot fail");
    assert!(recorded.lines <= lines(data) && recorded.warnings.len() <= 20);
    assert!(recorded.table.processes().len() as u64 + recorded.dropped <= recorded.lines);
    for process in recorded.table.processes() {
        assert!(recorded.table.ancestors(process).count() <= 64);
    }
    let who = Accounts::new(&node(), &[33]);
    let judgement = judge(&recorded.table, &who, recorded.now.unwrap_or(now()), &mut Memory::default());
    Reading {
        findings: judgement.findings,
        unattributed: judgement.unattributed,
        lines: recorded.lines,
        dropped: recorded.dropped,
        ..Reading::default()
    }
}

fuzz_target!(|data: &[u8]| {
    let reading = read(data);
    check(&reading, &node());
    assert!(reading.unattributed.iter().all(|found| found.uid == 33));
    assert_eq!(told(&reading), told(&read(data)));
});
