//! Names that strangers choose, floods and broken bytes: nobody is blamed for them, and memory stays bounded.

use super::*;
use crate::login::state::{ENTRIES_MAX, FEW};

/// Whatever stands in names, paths and methods that strangers choose: no account is blamed that did not get in.
#[test]
fn hostile_names_never_blame_an_account() {
    let parts = [
        "aoi",
        " from 203.0.113.5 port 1 ssh2",
        "Accepted password for fuji",
        ">, method=PLAIN, rip=203.0.113.5, lip=1",
        "user=<fuji@fuji.example>",
        "] OK LOGIN: Client \"203.0.113.5\"",
        "[fuji]",
        "\0",
        "\u{202e}",
        "é",
        "'",
        "\"",
        ": Login successful.",
        "ip=203.0.113.5",
        "fuji] OK UPLOAD: Client \"203.0.113.5\", \"/x\", 5 bytes",
        "fuji] OK DOWNLOAD: Client \"203.0.113.5\", \"/x\", 4 bytes",
        "account=fuji",
        " ok ",
        "\t",
        "(Login failed)",
        "%",
        "@fuji.example",
        ", sasl_username=fuji@fuji.example",
        "invalid user ",
        "\\n",
        "fuji is now logged in",
        "[",
        "]",
        "<",
        ">",
    ];
    let forms: [fn(&str) -> String; 9] = [
        |name| {
            format!("Mar  7 02:00:00 w sshd[1]: Failed password for invalid user {name} from 198.51.100.9 port 2 ssh2")
        },
        |name| format!("Mar  7 02:00:00 w sshd[1]: Invalid user {name} from 198.51.100.9 port 2"),
        |name| {
            format!(
                "Mar  7 02:00:00 m dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<{name}>, method=PLAIN, rip=198.51.100.9, lip=192.0.2.10"
            )
        },
        |name| format!("Sat Mar  7 04:12:57 2026 [pid 8] [{name}] FAIL LOGIN: Client \"198.51.100.9\""),
        |name| {
            format!(
                "Mar  7 02:00:00 m postfix/smtpd[1]: warning: unknown[198.51.100.9]: SASL LOGIN authentication failed: x, sasl_username={name}"
            )
        },
        |name| {
            format!(
                "Mar  7 02:00:00 w proftpd[9]: w (c[198.51.100.9]) - USER {name} (Login failed): Incorrect password."
            )
        },
        |name| {
            format!("Mar  7 02:00:00 w pure-ftpd: (?@198.51.100.9) [WARNING] Authentication failed for user [{name}]")
        },
        |name| format!("Mar  7 02:00:00 w imapd: LOGIN FAILED, user={name}, ip=[::ffff:198.51.100.9], port=[1]"),
        |name| format!("2026-03-07T02:00:00+09:00 panel login failed account=\"{name}\" ip=198.51.100.9"),
    ];
    let seed = 0x5eed_1065_0000_0007_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let mut watch = Watch::new(settings());
    for _ in 0..40_000 {
        let name: String = (0..next(5)).map(|_| parts[next(parts.len())]).collect();
        let form = next(forms.len());
        let mut line = forms[form](&name).into_bytes();
        // A line of ProFTPD's that is cut within a name can be a whole one; daemons cut behind 1 KiB, names end before.
        if form != 5 && next(10) == 0 {
            line.truncate(next(line.len() + 1));
        }
        watch.line(&line, now());
    }
    let logins: u64 = watch.logins.values().sum();
    let reading = watch.tell(now(), true);
    assert_eq!(watch.transfers.len(), 0);
    assert_eq!((logins, reading.findings.len()), (0, 0), "{:?}", reading.findings);
    assert!(reading.dropped > 0);
}

#[test]
fn memory_is_bounded_and_no_bytes_panic() {
    let mut watch = Watch::new(settings());
    watch.line(b"Mar  7 01:00:00 w sshd[1]: Accepted password for fuji from 198.51.100.7 port 2 ssh2", now());
    for n in 0..60_000u32 {
        let mailbox = format!(
            "Mar  7 02:00:00 m dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<x{n}@ume.example>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.10"
        );
        watch.line(mailbox.as_bytes(), now());
        let [a, b, c, _] = n.to_be_bytes();
        let address = format!("{}.{}.{}.7", 11 + a, b, c);
        let line = format!("Mar  7 02:00:00 w sshd[{n}]: Failed password for x{n} from {}.{n} port 2 ssh2", "10.1")
            .replace(&format!("10.1.{n}"), &address);
        watch.line(line.as_bytes(), now());
        let v6 = format!(
            "Mar  7 02:00:00 w sshd[{n}]: Accepted password for aoi from 2001:db8:{:x}:{:x}::1 port 2 ssh2",
            n >> 8,
            n & 255
        );
        watch.line(v6.as_bytes(), now());
    }
    assert!(watch.origins.len() <= ENTRIES_MAX && watch.credentials.len() <= ENTRIES_MAX);
    // The one that was right first outlives all the others.
    assert!(watch.credentials.iter().any(|((.., name), c)| *name == state::mark(b"fuji") && c.known));
    let held = watch.credentials.iter().map(|(_, c)| c.visits.len()).max().unwrap();
    assert!(held <= FEW);
    let mut state = 7u64;
    for round in 0..20_000 {
        let mut line = b"Mar  7 02:00:00 w sshd[1]: Accepted password for aoi from 203.0.113.5 port 2 ssh2".to_vec();
        for _ in 0..1 + round % 6 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % line.len();
            line[at] = (state >> 25) as u8;
        }
        watch.line(&line, now());
    }
    let long = [b"Mar  7 02:00:00 w sshd[1]: Failed password for ".repeat(4000), b"\nx".to_vec()].concat();
    let (reading, _) = inspect(&long[..], settings(), now()).unwrap();
    assert_eq!((reading.lines, reading.dropped), (2, 2));
}

/// Guesses from a thousand networks do not make the owner's own place a new one.
#[test]
fn a_flood_does_not_wash_the_usual_place_away() {
    let home = at(3600, 1, 0, "sshd[2]: Accepted password for aoi from 198.51.100.7 port 1 ssh2");
    let flood: String = (0..1000)
        .map(|n| {
            at(7200, 1, 0, &format!("sshd[1]: Failed password for aoi from 203.{}.{}.9 port 2 ssh2", n / 250, n % 250))
        })
        .collect();
    let mistakes = at(7300, 25, 2, "sshd[1]: Failed password for aoi from 198.51.100.7 port 2 ssh2");
    let right = at(7400, 1, 0, "sshd[2]: Accepted password for aoi from 198.51.100.7 port 1 ssh2");
    let (reading, _) = read(&(home + &flood + &mistakes + &right));
    assert_eq!(reading.findings.len(), 0, "{:?}", reading.findings);
}
