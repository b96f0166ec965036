//! How fast a log of Postfix or Exim is read and judged, beside `pflogsumm` or `eximstats` and `wc -l` on the same file.
//!
//! `cargo bench -p tests --bench mail`. The goal is 20 times theirs; `wc -l` is what reading alone costs. `EXIMSTATS` and
//! `PFLOGSUMM` name programs that are not in the path.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use model::{AccountEntry, AccountRef, Moment};
use sense::mail::judge::Limits;
use sense::mail::{Settings, Trust, Watch};

const LINES: usize = 1_000_000;
const ROUNDS: usize = 3;
/// 7 March 2026, 00:00 UTC.
const START: i64 = 1_772_841_600;

fn main() {
    against("Postfix", &postfix_log(), "pflogsumm", "PFLOGSUMM");
    against("Exim", &exim_log(), "eximstats", "EXIMSTATS");
}

/// One log, read by us, by `wc -l` and by what admins use: a program in the path, or where the variable says.
fn against(server: &str, text: &[u8], theirs: &str, variable: &str) {
    let path = std::env::temp_dir().join(format!("bench-mail-{}-{server}.log", std::process::id()));
    fs::write(&path, text).expect("the temporary folder takes the log");
    let lines = text.iter().filter(|b| **b == b'\n').count();
    println!("{server} log: {lines} lines, {} MB, {} accounts", text.len() >> 20, accounts().len());

    let (ours, findings, dropped) = best(|| follow(&path));
    report("sense::mail", lines, ours);
    println!("  {findings} findings, {dropped} lines dropped");
    let (wc, ..) = best(|| (run(Command::new("wc").arg("-l").arg(&path)).expect("wc is there"), 0, 0));
    report("wc -l", lines, wc);
    println!("  sense::mail takes {:.1} times as long", ours.as_secs_f64() / wc.as_secs_f64());
    let program = std::env::var_os(variable).unwrap_or_else(|| theirs.into());
    match run(Command::new(program).arg(&path)) {
        Some(took) => {
            report(theirs, lines, took);
            let times = took.as_secs_f64() / ours.as_secs_f64();
            println!(
                "  sense::mail is {times:.1} times as fast; goal 20: {}",
                if times >= 20.0 { "met" } else { "MISSED" }
            );
        }
        None => println!("{theirs}  SKIPPED: not installed (or set {variable}), so the goal was NOT measured"),
    }
    let _ = fs::remove_file(&path);
}

fn report(name: &str, lines: usize, took: Duration) {
    println!("{name:12} {:>12.0} lines/s  {:>8.1} ms", lines as f64 / took.as_secs_f64(), took.as_secs_f64() * 1e3);
}

fn best<T: Ord>(mut round: impl FnMut() -> (Duration, T, T)) -> (Duration, T, T) {
    (0..ROUNDS).map(|_| round()).min().expect("some rounds")
}

fn run(command: &mut Command) -> Option<Duration> {
    let began = Instant::now();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    status.success().then(|| began.elapsed())
}

/// As the sense does it at a start: the whole file, judged every second of reading.
fn follow(path: &Path) -> (Duration, usize, usize) {
    let settings = Settings {
        key: [3; 32],
        country: Some(*b"jp"),
        zone: jiff_zone(),
        trust: Trust::Guarded,
        limits: Limits::default(),
    };
    let began = Instant::now();
    let mut watch = Watch::new(settings, Moment::from_secs(START));
    watch.set_accounts(&accounts());
    watch.attach(path.to_str().expect("a plain path"));
    let now = Moment::from_secs(START + 86_400);
    let mut findings = 0;
    loop {
        let done = watch.poll(now, 1 << 20).expect("the log is readable");
        findings += watch.news(watch.read_until()).len();
        if done {
            break;
        }
    }
    (began.elapsed(), findings, watch.counts().0.dropped as usize)
}

fn jiff_zone() -> sense::mail::Zone {
    sense::mail::Zone::UTC
}

fn accounts() -> Vec<AccountEntry> {
    let account = |uid: u32| AccountEntry {
        account: AccountRef { name: format!("t{uid}").parse().expect("a name"), uid, generation: 1 },
        home: format!("/home/t{uid}"),
        sites: vec![model::Site {
            domain: format!("t{}.example.jp", uid - 2000).parse().expect("a domain"),
            aliases: Vec::new(),
            root: format!("/home/t{uid}/www"),
            gates: Vec::new(),
            probes: Vec::new(),
        }],
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    };
    (2000..2400).map(account).collect()
}

/// A busy day, always the same: 400 accounts that hand over mail, inbound mail by SMTP, connections, other
/// programs, and three accounts with a burst.
fn postfix_log() -> Vec<u8> {
    let mut log = String::with_capacity(LINES * 140);
    let (mut lines, mut serial) = (0usize, 0u64);
    let mut dice = 0x9e37_79b9_7f4a_7c15u64;
    let mut roll = |below: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % below
    };
    while lines < LINES {
        serial += 1;
        let second = (lines as u64 * 80_000 / LINES as u64) as i64;
        let (hour, minute, sec) = (second / 3600, second / 60 % 60, second % 60);
        let stamp = format!("Mar  7 {hour:02}:{minute:02}:{sec:02} web01 ");
        let id = format!("4k{:08}z{:05}", serial, roll(99_999));
        let mut put = |text: std::fmt::Arguments<'_>| {
            log.push_str(&stamp);
            log.write_fmt(text).expect("a string takes text");
            log.push('\n');
            lines += 1;
        };
        if roll(100) < 40 {
            let uid = if serial % 7 == 0 { 2000 + serial / 100_000 } else { 2000 + roll(400) };
            let (to, mx) = (roll(1 << 40), ["example.ru", "example.com", "example.jp", "example.de"][roll(4) as usize]);
            put(format_args!("postfix/pickup[2121]: {id}: uid={uid} from=<t{uid}>"));
            put(format_args!(
                "postfix/cleanup[7474]: {id}: info: header X-PHP-Originating-Script: {uid}:mail.php from local; from=<t{uid}@web01.test>  (by header_checks: /^X-PHP/ INFO)"
            ));
            put(format_args!("postfix/cleanup[7474]: {id}: message-id=<{id}@web01.test>"));
            put(format_args!("postfix/qmgr[2122]: {id}: from=<t{uid}@web01.test>, size=316, nrcpt=1 (queue active)"));
            let status = if roll(50) == 0 {
                "bounced (host mx said: 550 5.1.1 unknown)"
            } else {
                "sent (250 2.0.0 Ok: queued as 9A1C42E5F7)"
            };
            put(format_args!(
                "postfix/smtp[7481]: {id}: to=<u{to}@{mx}>, relay=mx.{mx}[198.51.100.25]:25, delay=0.09, delays=0.06/0.02/0/0, dsn=2.0.0, status={status}"
            ));
            put(format_args!("postfix/qmgr[2122]: {id}: removed"));
        } else {
            let from = roll(255);
            put(format_args!("postfix/smtpd[3000]: connect from mx{from}.example.net[198.51.100.{from}]"));
            put(format_args!("postfix/smtpd[3000]: {id}: client=mx{from}.example.net[198.51.100.{from}]"));
            put(format_args!("postfix/cleanup[3001]: {id}: message-id=<{id}@mx{from}.example.net>"));
            put(format_args!(
                "postfix/qmgr[2122]: {id}: from=<x{from}@example.net>, size=4100, nrcpt=1 (queue active)"
            ));
            put(format_args!(
                "postfix/lmtp[3002]: {id}: to=<info{from}@example.jp>, relay=web01[private/lmtp], delay=0.2, delays=0.1/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 saved)"
            ));
            put(format_args!("postfix/qmgr[2122]: {id}: removed"));
            put(format_args!(
                "postfix/smtpd[3000]: disconnect from mx{from}.example.net[198.51.100.{from}] ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5"
            ));
            put(format_args!("dovecot: lmtp(info{from}@example.jp)<3002><x>: saved mail to INBOX"));
        }
    }
    log.into_bytes()
}

/// The same day on Exim: scripts with their folders, mailboxes with their logins, inbound mail, three bursts.
fn exim_log() -> Vec<u8> {
    let mut log = String::with_capacity(LINES * 140);
    let (mut lines, mut serial) = (0usize, 0u64);
    let mut dice = 0x9e37_79b9_7f4a_7c15u64;
    let mut roll = |below: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % below
    };
    while lines < LINES {
        serial += 1;
        let second = (lines as u64 * 80_000 / LINES as u64) as i64;
        let stamp = format!("2026-03-07 {:02}:{:02}:{:02} ", second / 3600, second / 60 % 60, second % 60);
        let id = format!("1w{:04}-{:06}-{:02}", serial % 10_000, serial, roll(99));
        let mut put = |text: std::fmt::Arguments<'_>| {
            log.push_str(&stamp);
            log.write_fmt(text).expect("a string takes text");
            log.push('\n');
            lines += 1;
        };
        let (to, mx) = (roll(1 << 40), ["example.ru", "example.com", "example.jp", "example.de"][roll(4) as usize]);
        let from = roll(255);
        match roll(10) {
            0..=3 => {
                let uid = if serial % 7 == 0 { 2000 + serial / 150_000 } else { 2000 + roll(400) };
                let folder = ["", "/wp-content", "/shop", "/contact"][roll(4) as usize];
                put(format_args!("cwd=/home/t{uid}/www{folder} 3 args: /usr/sbin/sendmail -t -i"));
                put(format_args!(
                    "{id} <= t{uid}@web01.test U=t{uid} P=local S=5873 id={id}@web01.test T=\"Thank you for your order\" for u{to}@{mx}"
                ));
                match roll(50) {
                    0 => put(format_args!(
                        "{id} ** u{to}@{mx} R=dnslookup T=remote_smtp H=mx.{mx} [198.51.100.25]: SMTP error from remote mail server after RCPT TO:<u{to}@{mx}>: 550 5.1.1 user unknown"
                    )),
                    _ => put(format_args!(
                        "{id} => u{to}@{mx} R=dnslookup T=remote_smtp H=mx.{mx} [198.51.100.25] X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=yes C=\"250 2.0.0 OK\""
                    )),
                }
                put(format_args!("{id} Completed"));
            }
            4 => {
                put(format_args!(
                    "{id} <= info@t2.example.jp H=(pc) [203.0.113.{from}]:50321 P=esmtpsa X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=no A=dovecot_login:info@t2.example.jp S=3310 T=\"Re: Meeting\" for u{to}@{mx}"
                ));
                put(format_args!(
                    "{id} => u{to}@{mx} R=dnslookup T=remote_smtp H=mx.{mx} [198.51.100.25] C=\"250 OK\""
                ));
                put(format_args!("{id} Completed"));
            }
            _ => {
                put(format_args!("SMTP connection from [198.51.100.{from}]:50321 (TCP/IP connection count = 3)"));
                put(format_args!(
                    "{id} <= x{from}@example.net H=mx{from}.example.net [198.51.100.{from}]:50321 P=esmtps X=TLS1.3:ECDHE_X25519__RSA_PSS_RSAE_SHA256__AES_256_GCM:256 CV=no S=4100 id={id}@mx{from}.example.net T=\"Newsletter\" for info{from}@example.jp"
                ));
                put(format_args!(
                    "{id} => info{from} <info{from}@example.jp> R=virtual_user T=dovecot_lmtp C=\"250 2.0.0 saved\""
                ));
                put(format_args!("{id} Completed"));
            }
        }
    }
    log.into_bytes()
}
