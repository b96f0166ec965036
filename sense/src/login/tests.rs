//! Logs and what they mean: each mechanism beside lines of owners that look alike.

use std::fmt::Write as _;

use model::{AccountRef, Evidence, FactKey, Kind, Login as Blocked, Site, Strength, Target};

use super::*;

mod country;

const ZONE: &str = "Asia/Tokyo";

fn entry(name: &str, uid: u32) -> AccountEntry {
    let site = Site {
        domain: format!("{name}.example").parse().unwrap(),
        aliases: Vec::new(),
        root: format!("/home/{name}/public_html"),
        gates: Vec::new(),
        probes: Vec::new(),
    };
    AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
        home: format!("/home/{name}"),
        sites: vec![site],
        contacts: Vec::new(),
        time_zone: ZONE.to_owned(),
    }
}

fn settings() -> Settings {
    Settings {
        accounts: vec![entry("aoi", 3001), entry("fuji", 3002), entry("ume", 3003)].into(),
        own: vec!["192.0.2.10".parse().unwrap()],
        never: Vec::new(),
        zone: TimeZone::get(ZONE).unwrap(),
        trust: Trust::Guarded,
    }
}

fn now() -> Moment {
    Moment::parse("2026-06-01T12:00:00+09:00").unwrap()
}

fn read(log: &str) -> (Reading, Watch) {
    inspect(log.as_bytes(), settings(), now()).unwrap()
}

/// `account kind strength`, and `attack` with its sources.
fn says(log: &str) -> String {
    let (reading, _) = read(log);
    let findings = reading
        .findings
        .iter()
        .map(|f| format!("{} {:?} {:?}", f.signal.account, f.signal.kind, f.signal.strength).to_lowercase());
    let attacks = reading.attacks.iter().map(|a| {
        let sources: Vec<String> = a.sources.iter().map(ToString::to_string).collect();
        format!("attack {}", sources.join(" "))
    });
    findings.chain(attacks).collect::<Vec<_>>().join(", ")
}

/// Lines of the old style from 02:00 on, `gap` seconds apart; `{n}` is their number.
fn lines(count: u32, gap: u32, text: &str) -> String {
    at(2 * 3600, count, gap, text)
}

fn at(start: u32, count: u32, gap: u32, text: &str) -> String {
    let mut log = String::new();
    for n in 0..count {
        let secs = start + n * gap;
        let (h, m, s) = (secs / 3600, secs / 60 % 60, secs % 60);
        writeln!(log, "Mar  7 {h:02}:{m:02}:{s:02} web01 {}", text.replace("{n}", &n.to_string())).unwrap();
    }
    log
}

#[test]
fn a_password_that_was_guessed() {
    let wrong = "sshd[1]: Failed password for aoi from 203.0.113.81 port 4{n} ssh2";
    let right = at(7500, 1, 0, "sshd[2]: Accepted password for aoi from 203.0.113.81 port 41990 ssh2");
    let key =
        at(7600, 1, 0, "sshd[3]: Accepted publickey for aoi from 198.51.100.7 port 42010 ssh2: ED25519 SHA256:AA");
    assert_eq!(says(&(lines(40, 3, wrong) + &right)), "aoi guessedlogin conclusive");
    assert_eq!(says(&(lines(15, 3, wrong) + &right)), "aoi guessedlogin suspicious");
    assert_eq!(says(&(lines(15, 3, wrong) + &right + &key)), "aoi guessedlogin conclusive");
    let (reading, _) = read(&(lines(40, 3, wrong) + &right + &key));
    let both = reading.findings[0].evidence.get(FactKey::Addresses).unwrap().to_string();
    assert_eq!(both, "203.0.113.81 198.51.100.7");
    assert_eq!(says(&(lines(25, 20, wrong) + &right)), "aoi guessedlogin suspicious");
    assert_eq!(says(&(lines(11, 30, wrong) + &right + &key)), "aoi guessedlogin conclusive");
    let folded = "sshd[1]: message repeated 30 times: [ Failed password for aoi from 203.0.113.81 port 41 ssh2]";
    assert_eq!(says(&(lines(1, 0, folded) + &right)), "aoi guessedlogin conclusive");
    let mail = "dovecot: imap-login: Disconnected (auth failed, 3 attempts in 9 secs): user=<info@aoi.example>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.10, session=<{n}>";
    let taken = "dovecot: imap-login: Login: user=<info@aoi.example>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.10, session=<z>";
    let (reading, _) = read(&(lines(12, 9, mail) + &at(7400, 1, 0, taken)));
    let signal = &reading.findings[0].signal;
    assert_eq!((signal.kind, signal.strength), (Kind::GuessedLogin, Strength::Conclusive));
    assert_eq!(signal.target, Target::Logins(vec![Blocked::Mail("info@aoi.example".parse().unwrap())]));
    let ftp = "proftpd[9]: web01 (c.example[203.0.113.9]) - USER aoi (Login failed): Incorrect password.";
    let ftp_in = "proftpd[9]: web01 (c.example[203.0.113.9]) - USER aoi: Login successful.";
    assert_eq!(says(&(lines(30, 2, ftp) + &at(7300, 1, 0, ftp_in))), "aoi guessedlogin conclusive");
    // Stuffing: one attempt for each of many names, most of them nobody's.
    let spray = lines(30, 2, "sshd[1]: Failed password for invalid user u{n} from 203.0.113.81 port 4 ssh2");
    assert_eq!(says(&(spray + &right)), "aoi guessedlogin conclusive");
    // A list of accounts, one after the other.
    let names: String = (0..10)
        .flat_map(|n| ["aoi", "fuji", "ume"].map(|name| (n, name)))
        .enumerate()
        .map(|(n, (_, name))| {
            at(7200 + n as u32 * 5, 1, 0, &format!("sshd[1]: Failed password for {name} from 203.0.113.81 port 4 ssh2"))
        })
        .collect();
    assert_eq!(says(&(names + &right)), "aoi guessedlogin conclusive");
    let panel = lines(25, 2, "panel: login failed account=aoi ip=203.0.113.9");
    assert_eq!(
        says(&(panel + &at(7300, 1, 0, "panel: login ok account=aoi ip=203.0.113.9"))),
        "aoi guessedlogin conclusive"
    );
}

#[test]
fn an_owners_own_mistakes_are_no_guessing() {
    let right = |second| at(second, 1, 0, "sshd[2]: Accepted password for aoi from 203.0.113.81 port 1 ssh2");
    let wrong = "sshd[1]: Failed password for aoi from 203.0.113.81 port 4{n} ssh2";
    assert_eq!(says(&(lines(3, 4, wrong) + &right(7230))), "");
    // A machine of his own with an old password, from a place where he was before.
    assert_eq!(says(&(right(3600) + &lines(40, 3, wrong) + &right(7400))), "");
    // The same long ago.
    assert_eq!(
        says(&(lines(40, 3, wrong) + &right(7320 + 2 * 3600))),
        "attack 203.0.113.81".replace("attack 203.0.113.81", "")
    );
    // A mail program with an old password, then the new one.
    let old = "dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<info@aoi.example>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.10";
    let new = "dovecot: imap-login: Login: user=<info@aoi.example>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.10";
    assert_eq!(says(&(lines(100, 30, old) + &at(11000, 1, 0, new))), "");
    // An agent offers key after key; PAM says everything twice.
    let keys = "sshd[1]: Failed publickey for aoi from 203.0.113.81 port 4 ssh2: RSA SHA256:{n}";
    assert_eq!(says(&(lines(40, 1, keys) + &right(7300))), "");
    let pam = "sshd[1]: pam_unix(sshd:auth): authentication failure; logname= uid=0 rhost=203.0.113.81 user=aoi";
    assert_eq!(says(&(lines(40, 1, pam) + &right(7300))), "");
    // Somebody else's failures for this name change nothing about the owner's own login.
    let other = at(7500, 1, 0, "sshd[2]: Accepted publickey for aoi from 198.51.100.7 port 1 ssh2: ED25519 SHA256:A");
    assert_eq!(says(&(lines(40, 3, wrong) + &other)), "attack 203.0.113.81");
}

#[test]
fn guessing_without_success_is_an_attack_of_its_sources() {
    let spray = lines(12, 4, "sshd[1]: Failed password for invalid user name{n} from 203.0.113.44 port 4 ssh2");
    assert_eq!(says(&spray), "attack 203.0.113.44");
    let keys_only = lines(12, 4, "sshd[1]: Invalid user name{n} from 203.0.113.44 port 4");
    assert_eq!(says(&keys_only), "attack 203.0.113.44");
    let sasl = lines(
        30,
        5,
        "postfix/smtpd[1]: warning: unknown[203.0.113.5]: SASL LOGIN authentication failed: x, sasl_username=info@aoi.example",
    );
    assert_eq!(says(&sasl), "attack 203.0.113.5");
    let slow = lines(
        8,
        70,
        "dovecot: imap-login: Login aborted: Connection closed (auth failed, 1 attempts in 1 secs) (auth_failed): user=<info@aoi.example>, method=PLAIN, rip=203.0.113.1{n}, lip=192.0.2.10",
    );
    assert_eq!(says(&slow), "");
    let idle = lines(
        90,
        1,
        "dovecot[1]: imap-login: Disconnected (no auth attempts in 39 secs): user=<>, rip=198.51.100.151, lip=192.0.2.10",
    );
    assert_eq!(says(&idle), "");
    let closed = lines(90, 1, "sshd[1]: Connection closed by 198.51.100.151 port 4{n} [preauth]");
    assert_eq!(says(&closed), "");
    let office = lines(
        14,
        31,
        "dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<a@aoi.example>, method=PLAIN, rip=198.51.100.150, lip=192.0.2.10",
    );
    assert_eq!(says(&office), "");
    // A whole office with old passwords, before the first of them types the new one.
    let all = lines(
        18,
        40,
        "dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<p{n}@aoi.example>, method=PLAIN, rip=198.51.100.150, lip=192.0.2.10",
    );
    assert_eq!(says(&all), "");
    // The node itself (webmail) is never named.
    let webmail = lines(
        40,
        1,
        "dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x{n}@aoi.example>, method=PLAIN, rip=192.0.2.10, lip=192.0.2.10",
    );
    assert_eq!(says(&webmail), "");
    let own = lines(
        40,
        1,
        "dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x{n}@aoi.example>, method=PLAIN, rip=127.0.0.1, lip=127.0.0.1",
    );
    assert_eq!(says(&own), "");
}

fn xfer(files: &[(u32, &str, u32, char)], host: &str) -> String {
    let mut log = String::new();
    for (second, path, size, direction) in files {
        let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
        writeln!(
            log,
            "Sat Mar  7 {h:02}:{m:02}:{s:02} 2026 0 {host} {size} /home/aoi/{path} a _ {direction} r aoi ftp 0 * c"
        )
        .unwrap();
    }
    log
}

#[test]
fn files_that_come_back_larger() {
    let pairs = |amounts: &[u32], gap: u32| -> Vec<(u32, String, u32, char)> {
        let each = amounts.iter().enumerate().flat_map(|(n, amount)| {
            let (second, path) = (40_000 + n as u32 * 40, format!("public html/f{n}.php"));
            [
                (second, path.clone(), 1000 * (n as u32 + 1), 'o'),
                (second + gap, path, 1000 * (n as u32 + 1) + amount, 'i'),
            ]
        });
        each.collect()
    };
    let log = |pairs: &[(u32, String, u32, char)]| {
        let files: Vec<(u32, &str, u32, char)> = pairs.iter().map(|(a, b, c, d)| (*a, b.as_str(), *c, *d)).collect();
        xfer(&files, "203.0.113.80")
    };
    let (reading, _) = read(&log(&pairs(&[411; 4], 1)));
    assert_eq!((reading.dropped, reading.findings.len()), (0, 1));
    let finding = &reading.findings[0];
    assert_eq!((finding.signal.kind, finding.signal.strength), (Kind::RewritingLogin, Strength::Conclusive));
    assert_eq!(finding.signal.target, Target::Logins(vec![Blocked::Ftp]));
    let fact = |evidence: &Evidence, key| evidence.get(key).unwrap().to_string();
    assert_eq!(fact(&finding.evidence, FactKey::FilesChanged), "4");
    assert_eq!(fact(&finding.evidence, FactKey::SourceAddress), "203.0.113.80");
    assert_eq!(says(&log(&pairs(&[411, 411, 390, 390], 2))), "aoi rewritinglogin conclusive");
    assert_eq!(says(&log(&pairs(&[61, 50, 311, 77, 90], 1))), "aoi rewritinglogin suspicious");
    // One file from each address.
    let spread: String = (0..3)
        .map(|n| log(&pairs(&[411; 3], 1)[2 * n..2 * n + 2]).replace("203.0.113.80", &format!("203.0.{n}.80")))
        .collect();
    assert_eq!(says(&spread), "aoi rewritinglogin conclusive");
    // A number that goes up, and the same amount on three days.
    assert_eq!(says(&log(&pairs(&[1; 9], 1))), "");
    let days: String =
        (0..3).map(|n| log(&pairs(&[411; 3], 1)[2 * n..2 * n + 2]).replace("Mar  7", &format!("Mar 1{n}"))).collect();
    assert_eq!(says(&days), "");
    // An editor that uploads on save, a person who edits, a backup, a deployment, a cleaning.
    assert_eq!(says(&log(&pairs(&[12, 90], 5))), "");
    assert_eq!(says(&log(&pairs(&[411; 9], 30))), "");
    let only = |direction| (0..40).map(|n| (40_000 + n, format!("f{n}"), 900 + n, direction)).collect::<Vec<_>>();
    assert_eq!(says(&log(&only('o'))), "");
    assert_eq!(says(&log(&only('i'))), "");
    let smaller: Vec<_> =
        pairs(&[411; 4], 1).into_iter().map(|(s, p, n, d)| (s, p, if d == 'i' { n - 500 } else { n }, d)).collect();
    assert_eq!(says(&log(&smaller)), "");
    // Other servers' words for it.
    let pure: String = (0..3)
        .map(|n| {
            at(
                40_000 + n * 9,
                1,
                0,
                &format!("pure-ftpd: (aoi@203.0.113.80) [NOTICE] /home/aoi/f{n}.php downloaded  (100 bytes, 1KB/sec)"),
            ) + &at(
                40_001 + n * 9,
                1,
                0,
                &format!("pure-ftpd: (aoi@203.0.113.80) [NOTICE] /home/aoi/f{n}.php uploaded  (150 bytes, 1KB/sec)"),
            )
        })
        .collect();
    assert_eq!(says(&pure), "aoi rewritinglogin conclusive");
    let sftp: String =
        std::iter::once(at(40_000, 1, 0, "internal-sftp[77]: session opened for local user aoi from [203.0.113.80]"))
            .chain((0..3).map(|n| {
                at(
                    40_000 + n * 9,
                    1,
                    0,
                    &format!("internal-sftp[77]: close \"/home/aoi/f{n}.php\" bytes read 100 written 0"),
                ) + &at(
                    40_001 + n * 9,
                    1,
                    0,
                    &format!("internal-sftp[77]: close \"/home/aoi/f{n}.php\" bytes read 0 written 150"),
                )
            }))
            .collect();
    assert_eq!(says(&sftp), "aoi rewritinglogin conclusive");
    let own: String = (0..3)
        .map(|n| {
            format!(
                "Sat Mar  7 12:00:{0:02} 2026 [pid 3] [aoi] OK DOWNLOAD: Client \"203.0.113.80\", \"/f{n}\", 100 bytes, 1.00Kbyte/sec\nSat Mar  7 12:00:{0:02} 2026 [pid 3] [aoi] OK UPLOAD: Client \"203.0.113.80\", \"/f{n}\", 150 bytes, 1.00Kbyte/sec\n",
                n * 5
            )
        })
        .collect();
    assert_eq!(says(&own), "aoi rewritinglogin conclusive");
}

#[test]
fn a_first_look_by_night_is_asked_about() {
    let vsftpd = |time: &str, host: &str, what: &str| {
        format!("Sat Mar  7 {time} 2026 [pid 8] [aoi] OK {what}: Client \"{host}\"\n")
    };
    let look = vsftpd("04:12:57", "203.0.113.99", "LOGIN")
        + &vsftpd("04:12:59", "203.0.113.99", "LIST").replace("\"\n", "\", \"/home/aoi\"\n");
    assert_eq!(says(&look), "aoi newplace suspicious");
    let (_, watch) = read(&look);
    let covered = watch.covered(&"aoi".parse().unwrap());
    assert_eq!((covered.len(), covered[0].logins, covered[0].unfamiliar), (1, 1, true));
    let covered = watch.covered(&"fuji".parse().unwrap());
    assert_eq!((covered.len(), covered[0].logins, covered[0].unfamiliar), (1, 0, false));
    assert_eq!(covered[0].from.to_string(), "2026-03-06T19:12:57Z");
    // By day, with transfers, by a monitor, by an agency that looks after several accounts, near the usual place.
    assert_eq!(says(&look.replace(" 04:", " 14:")), "");
    let got =
        "Sat Mar  7 04:13:00 2026 [pid 8] [aoi] OK DOWNLOAD: Client \"203.0.113.99\", \"/a\", 9 bytes, 1Kbyte/sec\n";
    assert_eq!(says(&(look.clone() + got)), "");
    assert_eq!(says(&look.repeat(4)), "");
    assert_eq!(says(&(look.clone() + &look.replace("[aoi]", "[fuji]"))), "");
    let usual = vsftpd("01:00:00", "203.0.7.1", "LOGIN").replace(" 01:", " 00:").replace("Mar  7", "Mar  6");
    assert_eq!(says(&(usual + &look)), "");
    // ssh: a password by night after days of keys from elsewhere; the same with a key that is known.
    let days =
        at(36_000, 4, 600, "sshd[1]: Accepted publickey for ume from 198.51.100.7 port 1 ssh2: ED25519 SHA256:A")
            .replace("Mar  7", "Mar  6");
    let night = at(10_000, 1, 0, "sshd[1]: Accepted password for ume from 203.0.113.5 port 1 ssh2");
    assert_eq!(says(&(days.clone() + &night)), "ume newplace suspicious");
    let key = at(10_000, 1, 0, "sshd[1]: Accepted publickey for ume from 203.0.113.5 port 1 ssh2: ED25519 SHA256:A");
    assert_eq!(says(&(days + &key)), "");
    assert_eq!(says(&night), "");
    // Panel: another country is a journey, with the device or a second factor.
    let home =
        "2026-03-06T21:10:02+09:00 panel login ok account=aoi ip=198.51.100.61 country=JP device=9f1c mfa=totp\n";
    let away = "2026-03-07T13:40:12+09:00 panel login ok account=aoi ip=203.0.113.150 country=FR device=9f1c\n";
    assert_eq!(says(&format!("{home}{away}")), "");
    assert_eq!(says(&format!("{home}{}", away.replace("9f1c", "7777"))), "aoi newplace suspicious");
    assert_eq!(says(&format!("{home}{}", away.replace("9f1c", "7777 mfa=totp"))), "");
}

#[test]
fn addresses_come_in_every_shape_and_two_readings_are_none() {
    let log = "ip=2001:db8:0:0:0:0:0:7 ev=fail\nip=[2001:db8::7]:40022 ev=fail\nip=::ffff:198.51.100.9 ev=fail\n\
               ip=198.51.100.9:8443 ev=fail\nip=2001:db8::7:40022 ev=fail\nip=3001 ev=fail\n";
    let (reading, watch) = read(log);
    assert_eq!((reading.lines, reading.dropped), (6, 2));
    let mut sources: Vec<String> = watch.sources().map(|a| a.to_string()).collect();
    sources.sort();
    assert_eq!(sources, ["198.51.100.9", "2001:db8::7"]);
    // An address, and an address with a port.
    assert_eq!(read("ip=2001:db8::7:443 ev=fail\n").0.dropped, 1);
    // A web server's error log is none of logins.
    let web = "[Sun Nov 02 01:47:00.000002 2025] [core:info] [pid 5] [client 198.51.100.13:40085] AH00128: x\n";
    let (reading, _) = read(web);
    assert_eq!((reading.lines, reading.dropped), (1, 0));
    let mut both = String::new();
    for (time, tail) in
        [("2026-02-09T07:30:05.000200+01:00", "x, sasl_username=desk"), ("Feb  9 16:40:10", "VXNlcm5hbWU6")]
    {
        for last in 5..8 {
            writeln!(both, "{time} web01 postfix/smtpd[41]: warning: unknown[198.51.100.{last}]: SASL LOGIN authentication failed: {tail}").unwrap();
        }
    }
    let (reading, watch) = read(&both);
    assert_eq!((reading.lines, reading.dropped, watch.sources().count(), says(&both)), (6, 0, 3, String::new()));
}

#[test]
fn a_name_with_a_second_reading_drops_its_line() {
    for line in [
        "Mar  7 02:00:00 web01 sshd[1]: Failed password for invalid user x from 198.51.100.1 port 1 ssh2 from 203.0.113.4 port 2 ssh2",
        "Mar  7 02:00:00 web01 sshd[1]: Accepted password for aoi from 203.0.113.4 port x ssh2",
        "Mar  7 02:00:00 web01 sshd[1]: Accepted password for aoi from 203.0.113.4 port 2 ssh2junk",
        "Mar  7 02:00:00 m dovecot: imap-login: Login: user=<a>, rip=198.51.100.1, x=<aoi@aoi.example>, rip=203.0.113.9, lip=192.0.2.10",
        "Sat Mar  7 04:12:57 2026 [pid 8] [aoi] OK LOGIN: ] FAIL LOGIN: Client \"203.0.113.9\"",
        "Sat Mar  7 04:12:57 2026 [pid 8] [x] OK LOGIN: Client \"198.51.100.1\", \"y] FAIL LOGIN: Client \"203.0.113.9\"",
        "Mar  7 02:00:00 w proftpd[9]: w (c[203.0.113.9]) - USER x: Login successful. (Login failed): Incorrect",
        "2026-03-07T13:40:12+09:00 panel login ok account=aoi ip=203.0.113.1 account=x ip=203.0.113.2",
        "Sat Mar  7 12:21:31 2026 0 203.0.113.80 18",
    ] {
        let (reading, _) = read(line);
        assert_eq!((reading.lines, reading.dropped, reading.findings.len()), (1, 1, 0), "{line}");
    }
}

#[test]
fn a_forgeable_log_proves_nothing() {
    let wrong = lines(40, 3, "sshd[1]: Failed password for aoi from 203.0.113.81 port 4 ssh2");
    let log = wrong + &at(7500, 1, 0, "sshd[2]: Accepted password for aoi from 203.0.113.81 port 41990 ssh2");
    let (reading, _) = inspect(log.as_bytes(), Settings { trust: Trust::Forgeable, ..settings() }, now()).unwrap();
    assert_eq!(reading.findings[0].signal.strength, Strength::Suspicious);
}

#[test]
fn news_are_told_once_and_told_again_when_they_grow() {
    let mut watch = Watch::new(settings());
    let feed = |watch: &mut Watch, log: &str| log.lines().for_each(|line| watch.line(line.as_bytes(), now()));
    feed(&mut watch, &lines(15, 3, "sshd[1]: Failed password for aoi from 203.0.113.81 port 4 ssh2"));
    feed(&mut watch, &at(7500, 1, 0, "sshd[2]: Accepted password for aoi from 203.0.113.81 port 1 ssh2"));
    assert_eq!(watch.news(now()).findings.len(), 1);
    assert_eq!(watch.news(now()).findings.len(), 0);
    let key = "sshd[3]: Accepted publickey for aoi from 198.51.100.7 port 2 ssh2: ED25519 SHA256:A";
    feed(&mut watch, &at(7600, 1, 0, key));
    let again = watch.news(now());
    assert_eq!(again.findings[0].signal.strength, Strength::Conclusive);
    assert_eq!(again.lines, 1);
}

#[test]
fn one_name_from_everywhere_is_an_attack_and_a_guess_when_it_is_right() {
    let wrong = lines(60, 4, "sshd[1]: Failed password for aoi from 198.51.{n}.9 port 2 ssh2");
    let right = at(7450, 1, 0, "sshd[1]: Accepted password for aoi from 198.51.7.9 port 2 ssh2");
    assert_eq!(says(&(wrong.clone() + &right)).split(',').next(), Some("aoi guessedlogin conclusive"));
    let (reading, _) = read(&wrong);
    assert_eq!(reading.attacks.iter().map(|attack| attack.sources.len()).collect::<Vec<_>>(), [60]);
    // A telephone with an old password goes through a few networks in a day.
    let phone = "dovecot: imap-login: Login aborted: Connection closed (auth failed, 1 attempts in 1 secs) (auth_failed): user=<info@aoi.example>, method=PLAIN, rip=198.51.{n}.9, lip=192.0.2.10";
    assert_eq!(says(&lines(19, 600, phone)), "");
}

#[test]
fn pairs_name_their_time_service_and_result_in_any_order() {
    let log: String = (0..25)
        .map(|n| {
            format!(
                "time=\"2026-03-07T02:00:{n:02}+09:00\" service=ssh event=login result=fail user=aoi src=203.0.113.9\n"
            )
        })
        .collect();
    let right =
        "ts=2026-03-07T02:01:00+09:00 service=ssh event=login result=ok user=aoi src=203.0.113.9 method=password\n";
    let (reading, watch) = read(&format!("{log}{right}"));
    assert_eq!((reading.dropped, reading.findings.len()), (0, 1));
    assert_eq!(reading.findings[0].signal.target, Target::Logins(vec![Blocked::Shell]));
    assert_eq!(reading.findings[0].signal.since.to_string(), "2026-03-06T17:01:00Z");
    assert_eq!(watch.covered(&"aoi".parse().unwrap())[0].logins, 1);
}

#[test]
fn behind_a_proxy_nobody_is_blamed_for_another() {
    let wrong = lines(40, 3, "sshd[1]: Failed password for aoi from 203.0.113.81 port 4 ssh2");
    let log = wrong + &at(7500, 1, 0, "sshd[2]: Accepted password for aoi from 203.0.113.81 port 1 ssh2");
    let told = |settings: Settings| {
        let (reading, watch) = inspect(log.as_bytes(), settings, now()).unwrap();
        (reading.findings.len() + reading.attacks.len(), watch.covered(&"aoi".parse().unwrap())[0].logins)
    };
    let never = vec!["203.0.113.0/24".to_owned().try_into().unwrap()];
    assert_eq!(told(Settings { never, ..settings() }), (0, 1));
    assert_eq!(told(Settings { own: vec!["203.0.113.81".parse().unwrap()], ..settings() }), (0, 1));
    assert!(told(settings()).0 > 0, "the naive twin");
}

#[test]
fn accounts_that_change_leave_what_is_known_of_the_others() {
    let wrong = lines(40, 3, "sshd[1]: Failed password for fuji from 203.0.113.81 port 4 ssh2");
    let right = at(7500, 1, 0, "sshd[2]: Accepted password for fuji from 203.0.113.81 port 1 ssh2");
    let found = |accounts: Vec<AccountEntry>| {
        let mut watch = Watch::new(settings());
        wrong.lines().for_each(|line| watch.line(line.as_bytes(), now()));
        watch.set_accounts(accounts.into());
        right.lines().for_each(|line| watch.line(line.as_bytes(), now()));
        let reading = watch.news(now());
        let names: Vec<String> = reading.findings.iter().map(|f| f.signal.account.name.to_string()).collect();
        (names.join(" "), watch.covered(&"fuji".parse().unwrap()).iter().map(|c| c.logins).sum::<u64>())
    };
    assert_eq!(found(vec![entry("abe", 3009), entry("aoi", 3001), entry("fuji", 3002)]), ("fuji".into(), 1));
    assert_eq!(found(vec![entry("fuji", 3002)]), ("fuji".into(), 1));
    // Another owner of the name was not guessed at; nor does a number that is somebody else's now say anything.
    let mut next = entry("fuji", 3002);
    next.account.generation += 1;
    assert_eq!(found(vec![next]).1, 1);
    assert_eq!(found(vec![entry("aoi", 3001), entry("ume", 3003)]), (String::new(), 0));
}

mod hostile;
