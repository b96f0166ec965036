//! Crontabs of a user, files of `cron.d` and jobs of at(1): a user's table speaks of its owner alone, what could be
//! switched off lies within the table, and a second look finds nothing else.
#![no_main]

use fuzz::{check, lines, node, now, own, told};
use libfuzzer_sys::fuzz_target;
use model::{Hash, Target};
use sense::cron::{Settings, Watch};
use sense::reading::Reading;

fn user(data: &[u8]) -> Reading {
    let mut watch = Watch::new(Settings { own: own() });
    watch.table(&node()[0], data, now());
    watch.news(now())
}

fuzz_target!(|data: &[u8]| {
    let accounts = node();
    let reading = user(data);
    check(&reading, &accounts);
    assert!(reading.lines <= lines(data));
    assert!(reading.unattributed.is_empty() && reading.attacks.is_empty());
    for finding in &reading.findings {
        assert_eq!(finding.signal.account, accounts[0].account);
        let Target::CronLines(found) = &finding.signal.target else { panic!("no line is named") };
        for line in found {
            assert_eq!(line.hash, Hash::of(data));
            assert!(!data[line.start as usize..line.end as usize].contains(&b'\n'));
        }
    }
    assert_eq!(told(&reading), told(&user(data)));

    let mut watch = Watch::new(Settings { own: own() });
    watch.system(&accounts, b"site", data, now());
    let system = watch.news(now());
    check(&system, &accounts);
    assert!(system.findings.iter().all(|finding| finding.signal.target == Target::Nothing));
    watch.job(&accounts[1], data, now());
    let job = watch.news(now());
    check(&job, &accounts);
    assert!(job.findings.iter().all(|finding| finding.signal.account == accounts[1].account));
});
