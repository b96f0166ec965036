//! Command lines as shells read them, by both ways in: a job of at(1) and the arguments of `sh -c`.
#![no_main]

use fuzz::{check, node, now, own, told};
use libfuzzer_sys::fuzz_target;
use sense::attribution::Accounts;
use sense::cron::{Settings, Watch};
use sense::process::{Memory, Process, State, Table, judge};
use sense::reading::Reading;

fn job(command: &[u8]) -> Reading {
    let mut watch = Watch::new(Settings { own: own() });
    let job = [&b"#!/bin/sh\n# atrun uid=3001 gid=3001\ncd /home/aoi || {\n\t exit 1\n}\n"[..], command].concat();
    watch.job(&node()[0], &job, now());
    watch.news(now())
}

fn shell(command: &[u8]) -> Process {
    Process {
        pid: 100,
        ppid: 1,
        uid: 3001,
        comm: b"sh".to_vec(),
        exe: b"/usr/bin/dash".to_vec(),
        deleted: false,
        memfd: false,
        exe_dev: 1,
        exe_ino: 1,
        exe_uid: Some(0),
        argv: vec![b"sh".to_vec(), b"-c".to_vec(), command.to_vec()],
        cwd: b"/home/aoi/www".to_vec(),
        start: now(),
        start_ticks: 1,
        cpu: model::Span::secs(1),
        state: State::Alive,
        fds: Vec::new(),
        sockets: Vec::new(),
        tty: 0,
        kernel: false,
    }
}

fuzz_target!(|data: &[u8]| {
    let accounts = node();
    let reading = job(data);
    check(&reading, &accounts);
    assert!(reading.findings.iter().all(|finding| finding.signal.account == accounts[0].account));
    assert_eq!(told(&reading), told(&job(data)));

    let table = Table::new(vec![shell(data)]);
    let judgement = judge(&table, &Accounts::new(&accounts, &[]), now(), &mut Memory::default());
    check(&Reading { findings: judgement.findings, ..Reading::default() }, &accounts);
});
