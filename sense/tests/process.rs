//! Tables of processes and what may be said about them: harmful mechanisms beside their harmless look-alikes.
//!
//! The cases are text, see `tests/process/README.md`. Every case stands beside the system's own daemons, which must
//! never be named.

use std::collections::BTreeSet;

use model::{AccountEntry, AccountRef, FactKey, Moment, Site, Span, Strength, Target};
use sense::attribution::Accounts;
use sense::process::{Judgement, Memory, Process, Proto, Socket, SocketState, State, Table, judge};

const NOW: Moment = Moment::from_secs(1_772_800_000);
/// Uid of the account `aoi`, whose processes a case describes unless it says `uid=`.
const AOI: u32 = 3001;
/// Uid under which PHP of both accounts runs.
const SHARED: u32 = 33;

fn account(name: &str, uid: u32) -> AccountEntry {
    let site = |domain: String, root: String| Site {
        domain: domain.parse().unwrap(),
        aliases: Vec::new(),
        root,
        gates: Vec::new(),
        probes: Vec::new(),
    };
    AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
        home: format!("/home/{name}"),
        sites: vec![
            site(format!("{name}.example"), format!("/home/{name}/public_html")),
            site(format!("shop.{name}.example"), format!("/home/{name}/shop")),
        ],
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    }
}

fn who() -> Accounts {
    Accounts::new(&[account("aoi", AOI), account("fuji", 3002)], &[SHARED])
}

/// Bytes of a case: `\n`, `\e`, `\xNN`, `\k` (4 KiB of `A`) and `\s` (16 spaces).
fn bytes(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        match chars.next() {
            Some('n') => out.push(b'\n'),
            Some('e') => out.push(0x1b),
            Some('s') => out.extend_from_slice(&[b' '; 16]),
            Some('k') => out.extend_from_slice(&[b'A'; 4096]),
            Some('x') => {
                let hex: String = chars.by_ref().take(2).collect();
                out.push(u8::from_str_radix(&hex, 16).expect("two hexadecimal digits"));
            }
            other => panic!("unknown escape {other:?}"),
        }
    }
    out
}

/// `PID PPID EXE` (`-` for none), then fields separated by two spaces: `argv=a¦b`, `comm=`, `cwd=`, `fds=a¦b`, `age=` and `cpu=` in
/// seconds, `uid=`, `tcp=ESTABLISHED 198.51.100.1:25¦LISTEN 0.0.0.0:80`, `deleted`, `tty`, `zombie`.
fn process(line: &str) -> Process {
    let mut fields = line.split("  ").filter(|field| !field.is_empty());
    let mut head = fields.next().expect("pid ppid exe").splitn(3, ' ');
    let mut number = || head.next().expect("a number").parse::<u32>().unwrap_or_else(|_| panic!("{line}"));
    let (pid, ppid) = (number(), number());
    let exe = bytes(head.next().filter(|exe| *exe != "-").unwrap_or_default());
    let base = exe.rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
    let mut p = Process {
        pid,
        ppid,
        uid: AOI,
        comm: base[..base.len().min(15)].to_vec(),
        memfd: exe.starts_with(b"/memfd:"),
        argv: vec![base],
        exe,
        deleted: false,
        exe_dev: 1,
        exe_ino: u64::from(pid),
        exe_uid: None,
        cwd: b"/home/aoi".to_vec(),
        start: NOW - Span::hours(1),
        start_ticks: 1,
        cpu: Span::secs(1),
        state: State::Alive,
        fds: Vec::new(),
        sockets: Vec::new(),
        tty: 0,
        kernel: false,
    };
    for field in fields {
        let (key, value) = field.split_once('=').unwrap_or((field, ""));
        let list = || value.split('¦').map(bytes).collect::<Vec<_>>();
        let secs = || Span::secs(value.parse().expect("seconds"));
        match key {
            "argv" => p.argv = if value.is_empty() { Vec::new() } else { list() },
            "comm" => p.comm = bytes(value),
            "cwd" => p.cwd = bytes(value),
            "fds" => p.fds = list(),
            "age" => p.start = NOW - secs(),
            "cpu" => p.cpu = secs(),
            "uid" => p.uid = value.parse().expect("uid"),
            "owner" => p.exe_uid = Some(value.parse().expect("uid")),
            "tcp" => p.sockets = value.split('¦').flat_map(sockets).collect(),
            "deleted" => p.deleted = true,
            "tty" => p.tty = 34816,
            "zombie" => p.state = State::Zombie,
            other => panic!("unknown field {other} in {line}"),
        }
    }
    p.start_ticks = p.start.0 as u64 / 10_000;
    p
}

/// `STATE ADDRESS:PORT`, or `STATE ADDRESS:PORT xN` for N neighbouring addresses.
fn sockets(text: &str) -> Vec<Socket> {
    let mut words = text.split(' ');
    let state = match words.next().expect("state") {
        "ESTABLISHED" => SocketState::Established,
        "SYN_SENT" => SocketState::SynSent,
        "LISTEN" => SocketState::Listen,
        other => panic!("unknown state {other}"),
    };
    let end: std::net::SocketAddr = words.next().expect("address").parse().expect("address:port");
    let count: u8 = words.next().map_or(1, |n| n.trim_start_matches('x').parse().expect("count"));
    let any: std::net::SocketAddr = "0.0.0.0:0".parse().unwrap();
    let own: std::net::SocketAddr = "192.0.2.10:40000".parse().unwrap();
    (0..count)
        .map(|n| {
            let mut end = end;
            if let std::net::IpAddr::V4(v4) = end.ip() {
                end.set_ip(std::net::Ipv4Addr::from(u32::from(v4) + u32::from(n)).into());
            }
            match state {
                SocketState::Listen => Socket { proto: Proto::Tcp, local: end, remote: any, state },
                _ => Socket { proto: Proto::Tcp, local: own, remote: end, state },
            }
        })
        .collect()
}

/// The system's own processes, beside every case.
const SYSTEM: &str = "\
1 0 /usr/lib/systemd/systemd  uid=0
801 1 /usr/sbin/crond  uid=0
850 1 /usr/sbin/sshd  uid=0
900 1 /usr/sbin/httpd  uid=0
1200 1 /usr/sbin/php-fpm8.2  uid=0  argv=php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)
1300 1 /usr/sbin/mariadbd  uid=110
700 1 /usr/bin/redis-server  uid=111  argv=/usr/bin/redis-server 127.0.0.1:6379";

fn table(lines: &[&str]) -> Table {
    Table::new(SYSTEM.lines().chain(lines.iter().copied()).map(process).collect())
}

/// What was said: `nothing`, or strength, mechanism and exact pids of each finding.
fn said(judgement: &Judgement) -> String {
    let one = |strength: &str, kind: &str, pids: String| format!("{strength} {kind} {pids}").trim_end().to_owned();
    let mut lines: Vec<String> = judgement
        .findings
        .iter()
        .map(|finding| {
            let signal = &finding.signal;
            let Target::Processes(list) = &signal.target else { panic!("processes expected") };
            let pids: Vec<String> = list.iter().map(|p| p.pid.to_string()).collect();
            let word = |text: serde_json::Value| text.as_str().unwrap().to_owned();
            one(
                &word(serde_json::to_value(signal.strength).unwrap()),
                &word(serde_json::to_value(signal.kind).unwrap()),
                pids.join(" "),
            )
        })
        .collect();
    lines.extend(judgement.unattributed.iter().map(|one| format!("nobody {:?}", one.kind)));
    if lines.is_empty() { "nothing".to_owned() } else { lines.join("; ") }
}

fn check(text: &str) -> usize {
    let mut wrong = Vec::new();
    let mut count = 0;
    for block in text.split("\n\n").map(str::trim).filter(|block| block.starts_with("case ")) {
        let mut lines = block.lines();
        let title = lines.next().unwrap();
        let want = lines.next().and_then(|line| line.strip_prefix("want ")).unwrap_or_else(|| panic!("want: {title}"));
        let lines: Vec<&str> = lines.collect();
        let judgement = judge(&table(&lines), &who(), NOW, &mut Memory::default());
        let got = said(&judgement);
        count += 1;
        if got != want {
            wrong.push(format!("{title}\n  want {want}\n  got  {got}"));
        }
        for finding in &judgement.findings {
            bounds_hold(finding, title);
        }
    }
    assert!(wrong.is_empty(), "{} of {count} wrong\n{}", wrong.len(), wrong.join("\n"));
    count
}

/// What every finding has to keep.
fn bounds_hold(finding: &model::order::Finding, title: &str) {
    let json = serde_json::to_vec(&finding.evidence).unwrap();
    assert_eq!(model::Hash::of(&json), finding.signal.evidence, "{title}");
    assert!(finding.evidence.0.len() <= 32, "{title}");
    for (_, value) in &finding.evidence.0 {
        let text = value.to_string();
        assert!(text.len() <= 400 && !text.chars().any(char::is_control), "{title}: {text:?}");
    }
    let Target::Processes(list) = &finding.signal.target else { panic!("{title}") };
    assert!(list.len() <= 256 && list.iter().all(|p| p.uid >= 33 && p.pid != 1), "{title}");
}

#[test]
fn harmful_mechanisms_are_found_with_exactly_their_processes() {
    assert!(check(include_str!("process/harmful.txt")) >= 30);
}

#[test]
fn harmless_look_alikes_are_left_alone() {
    assert!(check(include_str!("process/harmless.txt")) >= 40);
}

#[test]
fn what_is_odd_and_no_proof_only_asks() {
    assert!(check(include_str!("process/doubtful.txt")) >= 8);
}

/// Naive twins: rules that look at names only. They must fail where ours do not, or the cases prove nothing.
#[test]
fn rules_that_only_look_at_names_fail_on_both_sides() {
    let trusted = |p: &Process| [&b"rsync"[..], b"httpd", b"crond", b"php", b"node"].contains(&&p.comm[..]);
    let fooled = table(&["10 1 /home/aoi/bin/rsync  cpu=3000  tcp=ESTABLISHED 203.0.113.5:3333"]);
    let judged = judge(&fooled, &who(), NOW, &mut Memory::default());
    assert!(trusted(fooled.get(10).unwrap()) && judged.findings[0].signal.strength == Strength::Conclusive);
    let accused = table(&["10 801 /usr/bin/rsync  cpu=3000  tcp=ESTABLISHED 203.0.113.5:22"]);
    assert_eq!(said(&judge(&accused, &who(), NOW, &mut Memory::default())), "nothing");
}

#[test]
fn the_same_finding_has_the_same_fingerprint_under_another_pid_and_time() {
    let one = judge(&table(&["10 1 /home/aoi/.x/crond  cpu=9"]), &who(), NOW, &mut Memory::default());
    let two = judge(&table(&["99 1 /home/aoi/.x/crond  cpu=90  age=60"]), &who(), NOW, &mut Memory::default());
    let other = judge(&table(&["99 1 /home/aoi/.y/crond"]), &who(), NOW, &mut Memory::default());
    assert_eq!(one.findings[0].signal.fingerprint, two.findings[0].signal.fingerprint);
    assert_ne!(one.findings[0].signal.fingerprint, other.findings[0].signal.fingerprint);
}

#[test]
fn a_site_is_named_when_the_script_lies_in_it() {
    let lines = ["10 1 /usr/bin/php8.2  argv=php¦/home/aoi/shop/wp-content/uploads/a.php  cwd=/"];
    let judged = judge(&table(&lines), &who(), NOW, &mut Memory::default());
    let finding = &judged.findings[0];
    assert_eq!(finding.signal.site.as_ref().map(ToString::to_string).as_deref(), Some("shop.aoi.example"));
    assert_eq!(finding.evidence.get(FactKey::Script).unwrap().to_string(), "/home/aoi/shop/wp-content/uploads/a.php");
}

#[test]
fn every_process_of_an_account_is_counted_and_no_other() {
    let judged = judge(
        &table(&["10 1 /usr/bin/vim", "11 1 /usr/bin/vim  uid=3002", "12 1 /usr/bin/vim  uid=999"]),
        &who(),
        NOW,
        &mut Memory::default(),
    );
    let counted: Vec<(String, u64)> = judged.looked_at.iter().map(|(name, count)| (name.to_string(), *count)).collect();
    assert_eq!(counted, [("aoi".to_owned(), 1), ("fuji".to_owned(), 1)]);
}

#[test]
fn coming_back_within_seconds_three_times_is_remembered() {
    let mut memory = Memory::default();
    let mut last = String::new();
    for round in 0..5u32 {
        let now = NOW + Span::secs(i64::from(round) * 20);
        let mut p = process(&format!("{} 2000 /tmp/job/agent  argv=./agent", 10 + round));
        p.start = now - Span::secs(3);
        p.start_ticks = p.start.0 as u64 / 10_000;
        last = said(&judge(&Table::new(vec![p]), &who(), now, &mut memory));
        assert!(round == 4 || round == 3 || last == "nothing", "{round} {last}");
    }
    assert_eq!(last, "suspicious restart_loop 14");
}

#[test]
fn a_table_of_rings_and_twins_ends() {
    let lines = ["10 11 /tmp/.a/b  cpu=9", "11 10 /tmp/.a/b  cpu=9", "12 12 /tmp/.a/b", "12 10 /tmp/.a/c"];
    let judged = judge(&table(&lines), &who(), NOW, &mut Memory::default());
    let pids: BTreeSet<usize> = judged.findings.iter().map(|f| f.evidence.0.len()).collect();
    assert!(pids.iter().all(|facts| *facts <= 32));
}
