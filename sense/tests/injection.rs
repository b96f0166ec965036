//! All readers together against one hostile tenant: whatever `aoi` and strangers write where they can write, the
//! findings about the neighbours stay what they are without it.
//!
//! `fuji` is harmless and `ume` hijacked; both are read alone and among 200,000 lines that try to look like theirs:
//! user agents, paths, user names, senders, message ids, subjects, lines of logger(1), crontabs, arguments, names of
//! files and folders; with newlines as the medium writes them (escaped, or raw where nobody escapes), forged prefixes,
//! overlong, with NUL and signs that turn the line around. The naive twin, which looks for names in lines, accuses the
//! neighbours in each medium. `HK_SEED` sets the seed, which is printed.

use model::order::Finding;
use model::{AccountEntry, AccountRef, Moment, Site, Strength};
use sense::mail::judge::Limits;
use sense::mail::{Trust, Zone};
use sense::web::{Format, Log, Owner};
use sense::{login, mail, web};

#[path = "injection/tables.rs"]
mod tables;

/// 7 March 2026, 10:00 in Tokyo.
const TEN: i64 = 1_772_845_200;
const POSTFIX: usize = 35_000;
const EXIM: usize = 35_000;
const COMMON_LOG: usize = 40_000;
const OWN_LOG: usize = 20_000;
const LOGINS: usize = 50_000;
const CRON: usize = 12_000;
const PROCESSES: usize = 8_000;
const _: () = assert!(POSTFIX + EXIM + COMMON_LOG + OWN_LOG + LOGINS + CRON + PROCESSES == 200_000);

fn accounts() -> Vec<AccountEntry> {
    let account = |name: &str, uid| AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
        home: format!("/home/{name}"),
        sites: vec![Site {
            domain: format!("{name}.example.jp").parse().unwrap(),
            aliases: Vec::new(),
            root: format!("/home/{name}/www"),
            gates: Vec::new(),
            probes: Vec::new(),
        }],
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    };
    vec![account("aoi", 3001), account("fuji", 3002), account("ume", 3003)]
}

fn now() -> Moment {
    Moment::from_secs(TEN + 86_400)
}

struct Dice(u64);

impl Dice {
    /// With `HK_SEED`, or the usual seed; each reader begins anew, so that one can be run alone.
    fn new() -> Dice {
        let seed = std::env::var("HK_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_2026);
        println!("HK_SEED={seed}");
        Dice(seed)
    }

    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % below
    }

    fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.roll(from.len())]
    }

    /// A hostile text: pieces about the neighbours, sometimes a whole line of theirs behind a newline.
    fn text(&mut self, lines: &[&str]) -> Vec<u8> {
        const PIECES: [&[u8]; 40] = [
            b"fuji",
            b"ume",
            b"3002",
            b"uid=3002",
            b" uid=3003 from=<ume>",
            b"fuji.example.jp",
            b"ume.example.jp:443 ",
            b"info@fuji.example.jp",
            b"/home/fuji/www/a.php",
            b"/home/ume/.x",
            b"\"",
            b"\\\"",
            b"'",
            b"\\",
            b"<",
            b">",
            b"[",
            b"]",
            b"(",
            b"): ",
            b": ",
            b", ",
            b" - - ",
            b" ",
            b"\t",
            b"\r",
            b"\n",
            b"\0",
            b"\x1b[2J",
            b"\xff\xfe",
            "\u{202e}".as_bytes(),
            "\u{200b}é".as_bytes(),
            b" for user fuji from 203.0.113.5 port 2 ssh2",
            b" U=fuji",
            b"sasl_username=info@ume.example.jp",
            b"user=<fuji>, ",
            b"%0a",
            b"\\n",
            b"{\"server_name\":\"ume.example.jp\"",
            b" [07/Mar/2026:10:00:00 +0900] \"POST /wp-content/uploads/2026/01/a.php HTTP/1.1\" 200 9 \"-\" \"-\"",
        ];
        let mut text = Vec::new();
        for _ in 0..1 + self.roll(5) {
            text.extend_from_slice(PIECES[self.roll(PIECES.len())]);
        }
        if self.roll(4) == 0 {
            text.extend_from_slice([b"\n", &b"\r\n"[..], b"\0", b" "][self.roll(4)]);
            text.extend_from_slice(self.pick(lines).as_bytes());
            text.extend_from_slice([&b"\n"[..], b"", b" x"][self.roll(3)]);
        }
        if self.roll(1000) == 0 {
            let long = [2_000, 9_000, 66_000][self.roll(3)];
            let at = self.roll(text.len() + 1);
            text.splice(at..at, std::iter::repeat_n(b"AA fuji "[self.roll(8)], long));
        }
        text
    }
}

/// How a medium writes bytes that somebody else chose.
#[derive(Clone, Copy)]
enum Medium {
    /// Postfix, vsftpd, Dovecot: a question mark for what does not print.
    Marked,
    /// rsyslog's EscapeControlCharactersOnReceive: `#012`.
    Syslog,
    /// sshd by vis(3), Exim's string_printing: `\012` and `\n`.
    Octal,
    /// Apache's mod_log_config: `\"`, `\\`, `\n`, `\xhh`.
    Apache,
    /// nginx's log_format with its default `escape`: `\xHH`.
    Nginx,
    /// nginx with `escape=json`.
    Json,
}

fn written(text: &[u8], medium: Medium) -> String {
    let mut out = String::new();
    for byte in text {
        let plain = (b' '..0x7f).contains(byte);
        match (medium, *byte) {
            (Medium::Marked, b) if !plain && b < 0x80 => out.push('?'),
            (Medium::Syslog, b) if b < b' ' || b == 0x7f => out += &format!("#{b:03o}"),
            (Medium::Octal, b'\n') => out += "\\n",
            (Medium::Octal, b'\\') => out += "\\\\",
            (Medium::Octal, b) if !plain => out += &format!("\\{b:03o}"),
            (Medium::Apache, b'\n') => out += "\\n",
            (Medium::Apache | Medium::Json, b'"' | b'\\') => out.extend(['\\', char::from(*byte)]),
            (Medium::Apache, b) if !plain => out += &format!("\\x{b:02x}"),
            (Medium::Nginx, b) if !plain || matches!(b, b'"' | b'\\') => out += &format!("\\x{b:02X}"),
            (Medium::Json, b) if b < b' ' => out += &format!("\\u{b:04x}"),
            (_, b) => out.push(char::from(b)),
        }
    }
    out
}

/// What was found about everybody but the hostile one; when it was last looked at depends on when lines came.
fn neighbours(findings: &[Finding]) -> Vec<String> {
    let others = findings.iter().filter(|finding| finding.signal.account.name.as_str() != "aoi");
    let mut told: Vec<String> = others
        .cloned()
        .map(|mut finding| {
            finding.signal.at = Moment::EPOCH;
            format!("{finding:#?}")
        })
        .collect();
    told.sort();
    told
}

/// Attribution by text search: lines that a reader which looks for names would hold against a neighbour.
fn naive<'a>(hostile: impl Iterator<Item = &'a [u8]>) -> usize {
    let names = |line: &[u8]| [&b"fuji"[..], b"ume"].iter().any(|name| line.windows(name.len()).any(|w| w == *name));
    hostile.filter(|line| names(line)).count()
}

/// The neighbours alone say `expected` (account and kind), and the same to the letter among hostile lines.
fn compare(alone: &[Finding], mixed: &[Finding], expected: &[&str], twin: usize) {
    let short: Vec<String> =
        alone.iter().map(|f| format!("{} {:?} {:?}", f.signal.account, f.signal.kind, f.signal.strength)).collect();
    assert_eq!(short, expected);
    let (alone, mixed) = (neighbours(alone), neighbours(mixed));
    assert!(alone == mixed, "alone {alone:#?}\namong hostile lines {mixed:#?}");
    assert!(twin > 1000, "the naive twin accuses nobody: {twin}");
}

/// Hostile lines with the neighbours' own between them, evenly.
fn mixed(own: &[Vec<u8>], hostile: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let every = hostile.len() / own.len();
    let mut lines = Vec::new();
    for (n, chunk) in hostile.chunks(every).enumerate() {
        lines.extend(own.get(n).cloned());
        lines.extend_from_slice(chunk);
    }
    lines.extend_from_slice(own.get(hostile.len().div_ceil(every)..).unwrap_or_default());
    lines
}

fn bytes(lines: Vec<String>) -> Vec<Vec<u8>> {
    lines.into_iter().map(String::into_bytes).collect()
}

/// The time of the `n`-th of so many lines within twenty minutes: syslog's two styles, and Exim's.
fn stamp(n: usize, of: usize, style: usize) -> String {
    let at = Moment::from_secs(TEN + 9 * 3600 + (n * 1200 / of) as i64).timestamp();
    let format = ["%b %e %H:%M:%S", "%Y-%m-%dT%H:%M:%S+09:00", "%Y-%m-%d %H:%M:%S"][style];
    at.strftime(format).to_string()
}

const FORGED_MAIL: [&str; 6] = [
    "Mar  7 10:00:00 web01 postfix/pickup[1]: 4F0FF: uid=3002 from=<fuji>",
    "Mar  7 10:00:00 web01 postfix/smtp[1]: 4F0FF: to=<a@example.ru>, relay=none, dsn=5.1.1, status=bounced (no)",
    "2026-03-07 10:00:00 1wA0ff-0000B1-11 <= web@fuji.example.jp U=fuji P=local S=900 T=\"x\" for a@example.ru",
    "2026-03-07 10:00:00 cwd=/home/fuji/www 3 args: /usr/sbin/sendmail -t",
    "Mar  7 10:00:00 web01 postfix/smtpd[1]: 4F0FE: client=h[203.0.113.9], sasl_method=LOGIN, sasl_username=info@fuji.example.jp",
    "postfix/pickup[1]: 4F0FD: uid=3003 from=<ume>",
];

/// Forms in which a mail server writes what the tenant or a stranger chose; `R` is that text.
const POSTFIX_FORMS: [&str; 8] = [
    "postfix/pickup[1]: ID: uid=3001 from=<R>",
    "postfix/cleanup[1]: ID: message-id=<R>",
    "postfix/cleanup[1]: ID: warning: header Subject: R from local; from=<aoi@web01.test>",
    "postfix/cleanup[1]: ID: info: header X-PHP-Originating-Script: R from local; from=<aoi@web01.test>",
    "postfix/qmgr[1]: ID: from=<R>, size=1, nrcpt=1 (queue active)",
    "postfix/smtp[1]: ID: to=<R>, relay=x[198.51.100.25]:25, dsn=2.0.0, status=sent (R)",
    "postfix/smtpd[1]: warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: x, sasl_username=R",
    "aoi: R",
];
const EXIM_FORMS: [&str; 8] = [
    "ID <= R U=aoi P=local S=9 T=\"x\" for a@b.example",
    "ID <= a@aoi.example.jp U=aoi P=local S=9 id=R T=\"Q\" for a@b.example",
    "ID <= a@aoi.example.jp U=aoi P=local S=9 T=\"x\" for R",
    "ID <= a@b.example H=h.example (R) [203.0.113.1]:5 P=esmtp S=9 id=x",
    "ID <= a@b.example H=h.example [203.0.113.1]:5 P=esmtpsa A=login:R S=9 id=x",
    "ID ** a@b.example R=dnslookup T=remote_smtp: 550 R",
    "cwd=/home/aoi/R 3 args: /usr/sbin/sendmail R",
    "login authenticator failed for (R) [203.0.113.9]: 535 Incorrect authentication data (set_id=R)",
];

fn mail_base() -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for n in 0..80usize {
        let at = stamp(n, 80, 0);
        let ume = format!("4kZ3Dq{n:04}zB{n:04}");
        lines.push(format!("{at} web01 postfix/pickup[9]: {ume}: uid=3003 from=<ume>"));
        lines.push(format!("{at} web01 postfix/smtp[9]: {ume}: to=<u{n}@r{}.example.ru>, relay=x[198.51.100.25]:25, dsn=5.1.1, status=bounced (no)", n % 7));
        if n % 10 == 0 {
            let at = stamp(n, 80, 2);
            let id = format!("1wA0aa-0000B{}-11", n / 10);
            lines.push(format!(
                "{at} {id} <= web@fuji.example.jp U=fuji P=local S=900 T=\"Order\" for office@fuji.example.jp"
            ));
        }
    }
    bytes(lines)
}

fn mail_hostile(dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for n in 0..POSTFIX + EXIM {
        let postfix = n % 2 == 0;
        let forms = if postfix { POSTFIX_FORMS } else { EXIM_FORMS };
        let medium = if !postfix { Medium::Octal } else { [Medium::Marked, Medium::Syslog][dice.roll(2)] };
        let form = dice.pick(&forms);
        let text = written(&dice.text(&FORGED_MAIL), medium);
        let quoted = text.replace('"', "\\\"");
        let id = if postfix { format!("5F{n:05}") } else { format!("1wB{:03}-00{:04}-22", n / 10_000, n % 10_000) };
        // `R=` is Exim's own.
        let line: String = form.replace("ID", &id).replace("R=dnslookup", "\u{1}").replace("for (R)", "for (\u{2})");
        let line = line.replace("Re", "\u{3}").replace("PHP-Originating", "\u{4}").replace('R', "\u{2}");
        let line = line.replace('\u{3}', "Re").replace('\u{4}', "PHP-Originating").replace('\u{1}', "R=dnslookup");
        let line = line.replace('Q', &quoted).replace('\u{2}', &text);
        let style = if postfix { dice.roll(2) } else { 2 };
        let host = if postfix { "web01 " } else { "" };
        lines.push(format!("{} {host}{line}", stamp(n, POSTFIX + EXIM, style)));
    }
    bytes(lines)
}

fn read_mail(lines: &[Vec<u8>], trust: Trust) -> Vec<Finding> {
    let zone = Zone::get("Asia/Tokyo").unwrap();
    let settings = mail::Settings { key: [7; 32], country: Some(*b"jp"), zone, trust, limits: Limits::default() };
    let mut watch = mail::Watch::new(settings, Moment::from_secs(TEN - 7200));
    watch.set_accounts(&accounts());
    watch.inspect(lines.join(&b"\n"[..]).as_slice(), now()).unwrap().findings
}

#[test]
fn mail_logs() {
    let own = mail_base();
    let hostile = mail_hostile(&mut Dice::new());
    let among = read_mail(&mixed(&own, &hostile), Trust::Guarded);
    let twin = naive(hostile.iter().map(Vec::as_slice));
    compare(&read_mail(&own, Trust::Guarded), &among, &["ume MassMail Conclusive"], twin);
}

const FORGED_ACCESS: [&str; 3] = [
    "fuji.example.jp 203.0.113.5 - - [07/Mar/2026:10:00:00 +0900] \"POST /wp-content/uploads/2026/01/a.php HTTP/1.1\" 200 9 \"-\" \"-\"",
    "{\"time\":\"2026-03-07T10:00:00+09:00\",\"server_name\":\"fuji.example.jp\",\"request\":\"POST /wp-content/uploads/a.php HTTP/1.1\",\"status\":200}",
    "\" 200 9 \"-\" \"-\" fuji.example.jp",
];

fn access_time(n: usize, of: usize) -> String {
    let at = Moment::from_secs(TEN + 9 * 3600 + (n * 1200 / of) as i64).timestamp();
    at.strftime("%d/%b/%Y:%H:%M:%S +0900").to_string()
}

fn access_base() -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for n in 0..60usize {
        let at = access_time(n, 60);
        lines.push(format!(
            "fuji.example.jp 198.51.100.{} - - [{at}] \"GET /page{n} HTTP/1.1\" 200 5000 \"-\" \"Mozilla/5.0\"",
            n % 9
        ));
        if n % 6 == 0 {
            lines.push(format!("ume.example.jp 198.51.100.77 - - [{at}] \"POST /wp-content/uploads/2026/01/b.php HTTP/1.1\" 200 {} \"-\" \"x\"", 10 + n));
        }
    }
    bytes(lines)
}

/// What visitors of `aoi` send, as the servers write it into the log of all sites.
fn access_hostile(dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for n in 0..COMMON_LOG {
        let at = access_time(n, COMMON_LOG);
        let medium = [Medium::Apache, Medium::Nginx, Medium::Json][dice.roll(3)];
        let mut field = |most: usize| -> String {
            if dice.roll(most) > 0 { "-".to_owned() } else { written(&dice.text(&FORGED_ACCESS), medium) }
        };
        let (user, path, referer, agent) = (field(4), field(2), field(2), field(2));
        // A path with a space makes a request of its own shape; servers write it as it came.
        let source = n % 250;
        lines.push(match medium {
            Medium::Json => format!(
                "{{\"time\":\"{}\",\"remote_addr\":\"203.0.113.{source}\",\"remote_user\":\"{user}\",\"server_name\":\"aoi.example.jp\",\"host\":\"{referer}\",\"request\":\"POST /{path} HTTP/1.1\",\"status\":200,\"body_bytes_sent\":9,\"http_referer\":\"{referer}\",\"http_user_agent\":\"{agent}\"}}",
                stamp(n, COMMON_LOG, 1)
            ),
            _ => format!(
                "aoi.example.jp:443 203.0.113.{source} - {user} [{at}] \"POST /{path} HTTP/1.1\" 200 9 \"{referer}\" \"{agent}\""
            ),
        });
    }
    bytes(lines)
}

fn read_access(common: &[Vec<u8>], own: &[Vec<u8>]) -> Vec<Finding> {
    let mut watch = web::Watch::new(web::Settings { accounts: accounts().into(), own: Vec::new(), never: Vec::new() });
    let aoi = accounts()[0].account.clone();
    let mut findings = Vec::new();
    for (lines, owner) in [(own, Owner::Sure(aoi, None)), (common, Owner::Lines)] {
        watch.begin(Log { format: Format::Standard, owner });
        findings.extend(web::inspect(&mut watch, &mut lines.join(&b"\n"[..]).as_slice(), now()).unwrap().findings);
    }
    findings
}

#[test]
fn access_logs() {
    let mut dice = Dice::new();
    let (base, hostile) = (access_base(), access_hostile(&mut dice));
    // A log below his home is the tenant's own file: nobody escapes anything there.
    let raw: Vec<Vec<u8>> = (0..OWN_LOG)
        .map(|n| [access_hostile_line(&mut dice, n).as_slice(), &dice.text(&FORGED_ACCESS)].concat())
        .collect();
    let twin = naive(hostile.iter().map(Vec::as_slice));
    let among = read_access(&mixed(&base, &hostile), &raw);
    compare(&read_access(&base, &[]), &among, &["ume UploadsScript Suspicious"], twin);
}

fn access_hostile_line(dice: &mut Dice, n: usize) -> Vec<u8> {
    if dice.roll(2) == 0 {
        return Vec::new();
    }
    let line =
        FORGED_ACCESS[0].replace("fuji", dice.pick(&["fuji", "ume"])).replace("a.php", &format!("a{}.php", n % 30));
    (line + "\n").into_bytes()
}

const FORGED_LOGIN: [&str; 5] = [
    "Mar  7 10:00:00 web01 sshd[1]: Accepted password for fuji from 203.0.113.5 port 2 ssh2",
    "Mar  7 10:00:00 web01 dovecot: imap-login: Login: user=<info@fuji.example.jp>, method=PLAIN, rip=203.0.113.5, lip=192.0.2.10",
    "Sat Mar  7 10:00:00 2026 [pid 8] [fuji] OK LOGIN: Client \"203.0.113.5\"",
    "2026-03-07T10:00:00+09:00 panel login ok account=fuji ip=203.0.113.5",
    "Sat Mar  7 10:00:00 2026 1 203.0.113.5 4000 /home/fuji/www/b.php a _ i r fuji ftp 0 * c",
];
/// Names that were typed (`R`), names of files that `aoi` moved, lines of logger(1).
const LOGIN_FORMS: [(&str, Medium); 12] = [
    ("web01 sshd[1]: Failed password for invalid user R from 203.0.113.9 port 2 ssh2", Medium::Octal),
    ("web01 sshd[1]: Invalid user R from 203.0.113.9 port 2", Medium::Octal),
    (
        "web01 dovecot: imap-login: Disconnected (auth failed, 1 attempts in 2 secs): user=<R>, method=PLAIN, rip=203.0.113.9, lip=192.0.2.10",
        Medium::Marked,
    ),
    (
        "web01 postfix/smtpd[1]: warning: unknown[203.0.113.9]: SASL LOGIN authentication failed: x, sasl_username=R",
        Medium::Marked,
    ),
    ("web01 proftpd[9]: w (c[203.0.113.9]) - USER R (Login failed): Incorrect password.", Medium::Syslog),
    ("web01 pure-ftpd: (?@203.0.113.9) [WARNING] Authentication failed for user [R]", Medium::Syslog),
    ("web01 imapd: LOGIN FAILED, user=R, ip=[::ffff:203.0.113.9], port=[1]", Medium::Marked),
    ("web01 panel: login failed account=\"R\" ip=203.0.113.9", Medium::Apache),
    ("web01 sftp-server[77]: close \"/home/aoi/R\" bytes read 0 written 900", Medium::Octal),
    ("web01 pure-ftpd: (aoi@203.0.113.9) [NOTICE] /home/aoi/R uploaded  (900 bytes, 10KB/sec)", Medium::Syslog),
    ("CTIME [pid 8] [aoi] OK UPLOAD: Client \"203.0.113.9\", \"/R\", 900 bytes, 10.0Kbyte/sec", Medium::Marked),
    ("web01 aoi: R", Medium::Syslog),
];

fn login_base() -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for n in 0..60usize {
        let at = stamp(n, 400, 0);
        if n % 20 == 0 {
            lines.push(format!("{at} web01 sshd[2]: Accepted password for fuji from 198.51.100.7 port 1 ssh2"));
            lines.push(format!("{at} web01 dovecot: imap-login: Login: user=<info@fuji.example.jp>, method=PLAIN, rip=198.51.100.7, lip=192.0.2.10, mpid=1, TLS"));
        }
        let said = if n < 59 { "Failed" } else { "Accepted" };
        lines.push(format!("{at} web01 sshd[3]: {said} password for ume from 192.0.2.77 port 1 ssh2"));
    }
    bytes(lines)
}

fn login_hostile(dice: &mut Dice) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for n in 0..LOGINS {
        let (form, medium) = LOGIN_FORMS[dice.roll(LOGIN_FORMS.len())];
        let text = written(&dice.text(&FORGED_LOGIN), medium);
        // Somebody who types a neighbour's name and nothing else does try it.
        let text = if matches!(text.trim(), "fuji" | "ume" | "info@fuji.example.jp") { text + "x" } else { text };
        let line = form.replacen('R', &text, 1);
        let line = match line.strip_prefix("CTIME ") {
            Some(rest) => {
                let at = Moment::from_secs(TEN + 9 * 3600 + (n * 1200 / LOGINS) as i64).timestamp();
                format!("{} {rest}", at.strftime("%a %b %e %H:%M:%S %Y"))
            }
            None => format!("{} {line}", stamp(n, LOGINS, dice.roll(2))),
        };
        lines.push(line);
    }
    bytes(lines)
}

fn read_logins(lines: &[Vec<u8>], trust: Trust) -> Vec<Finding> {
    let zone = Zone::get("Asia/Tokyo").unwrap();
    let settings = login::Settings {
        accounts: accounts().into(),
        own: vec!["192.0.2.10".parse().unwrap()],
        never: Vec::new(),
        zone,
        trust,
    };
    login::inspect(lines.join(&b"\n"[..]).as_slice(), settings, now()).unwrap().0.findings
}

#[test]
fn login_logs() {
    let own = login_base();
    let hostile = login_hostile(&mut Dice::new());
    let among = read_logins(&mixed(&own, &hostile), Trust::Guarded);
    let twin = naive(hostile.iter().map(Vec::as_slice));
    compare(&read_logins(&own, Trust::Guarded), &among, &["ume GuessedLogin Conclusive"], twin);
}

/// Where tenants can write whole lines (logger(1) with any tag, Exim's `cwd=` with a newline), nothing can tell them
/// apart: then nothing is more than suspicious. The twin that believes the log is sure.
#[test]
fn lines_that_look_exactly_alike_are_never_conclusive() {
    let line = |n: usize| {
        let at = stamp(n, 400, 0);
        let id = format!("4kZ3Dq{n:04}zB{n:04}");
        [
            format!("{at} web01 postfix/pickup[9]: {id}: uid=3002 from=<fuji>"),
            format!(
                "{at} web01 postfix/smtp[9]: {id}: to=<u{n}@r{}.example.ru>, relay=x[198.51.100.25]:25, dsn=5.1.1, status=bounced (no)",
                n % 7
            ),
        ]
    };
    let mails = bytes((0..400).flat_map(line).collect());
    let logins = bytes(
        (0..60)
            .map(|n| {
                let said = if n < 59 { "Failed" } else { "Accepted" };
                format!("{} web01 sshd[3]: {said} password for fuji from 192.0.2.77 port 1 ssh2", stamp(n, 400, 0))
            })
            .collect(),
    );
    let strongest = |findings: Vec<Finding>| findings.iter().map(|f| f.signal.strength).max();
    assert_eq!(strongest(read_mail(&mails, Trust::Guarded)), Some(Strength::Conclusive));
    assert_eq!(strongest(read_logins(&logins, Trust::Guarded)), Some(Strength::Conclusive));
    assert!(strongest(read_mail(&mails, Trust::Forgeable)) < Some(Strength::Conclusive));
    assert!(strongest(read_logins(&logins, Trust::Forgeable)) < Some(Strength::Conclusive));
}
