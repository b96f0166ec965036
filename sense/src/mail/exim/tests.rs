//! Lines as Exim writes them, and lines that tenants and strangers would like it to write.

use super::super::line::tests::Dice;
use super::*;

const ID: &str = "1wA0aa-0000B1-11";

fn shown(line: &str) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match parse(line.as_bytes()) {
        Parsed::Line(Line::Local { user, sender, recipients, pid, .. }) => {
            format!("local {} from <{}> for [{}] pid {pid:?}", text(user), text(sender), text(recipients))
        }
        Parsed::Line(Line::Login { login, client, sender, recipients, .. }) => {
            let sender = text(sender.unwrap_or_default());
            format!("login {} at {client} from <{sender}> for [{}]", text(login), text(recipients))
        }
        Parsed::Line(Line::Folder { path, pid }) => format!("folder {} pid {pid:?}", text(path)),
        Parsed::Line(Line::Identified { user, sender, .. }) => format!("for {} from <{}>", text(user), text(sender)),
        Parsed::Line(Line::Delivery { to, status, why, .. }) => format!("to <{}> {status:?} {why:?}", text(to)),
        Parsed::Line(Line::Arrived { .. }) => "arrived".to_owned(),
        Parsed::Line(other) => format!("{other:?}"),
        Parsed::Other => "other".to_owned(),
        Parsed::Malformed => "malformed".to_owned(),
    }
}

#[test]
fn lines_as_exim_writes_them_are_read() {
    let table = [
        (
            "ID <= a@b.example U=hana P=local S=9 T=\"x\" for c@d.example e@f.example",
            "local hana from <a@b.example> for [c@d.example e@f.example] pid None",
        ),
        ("[77] ID <= a@b.example U=hana P=local S=9", "local hana from <a@b.example> for [] pid Some(77)"),
        (
            "ID <= <> R=1wA0aa-0000B1-10 U=mailnull P=local S=9 T=\"Mail failure\" for a@b.example",
            "local mailnull from <> for [a@b.example] pid None",
        ),
        (
            "ID <= a@b U=hana P=local-smtp S=9 id=q@w T=\"wait for you\\\" for x@y\" from <a@b> for c@d",
            "local hana from <a@b> for [c@d] pid None",
        ),
        ("ID <= a@b U=hana P=local S=9 T=\"\\202\\240\\\\\" for c@d", "local hana from <a@b> for [c@d] pid None"),
        (
            "ID <= a@b H=(pc) [203.0.113.7]:4321 P=esmtpsa X=TLS1.3:AES:256 CV=no A=dovecot_plain:info@b.example S=9 for c@d",
            "login info@b.example at 203.0.113.7 from <a@b> for [c@d]",
        ),
        (
            "ID <= a@b H=h.example (h) [2001:db8::1] P=esmtpa A=login:x:y@z S=9",
            "login x at 2001:db8::1 from <a@b> for []",
        ),
        ("ID <= a@b H=mx.example [198.51.100.3]:25 U=hana P=esmtp S=9", "arrived"),
        ("ID <= a@b U=hana P=esmtp S=9", "arrived"),
        ("ID <= a@b H=h [203.0.113.1] P=esmtp A=login:x S=9", "arrived"),
        ("ID <= a@b H=localhost (x) [127.0.0.1]:4 P=esmtp S=9 id=U=hana", "arrived"),
        ("ID <= a@b H=h [198.51.100.3] P=esmtpa A=plain S=9", "arrived"),
        ("ID => c@d.example R=dnslookup T=remote_smtp H=mx [198.51.100.3] C=\"250 ok\"", "to <c@d.example> Sent Other"),
        ("ID => hana <hana@w.example> R=localuser T=local_delivery", "to <hana@w.example> Sent Other"),
        ("ID -> x@y (list@w) <all@w> R=aliases T=remote_smtp", "to <all@w> Sent Other"),
        ("ID => /home/h/a <b> c/mbox <i@w.example> F=<x> R=f T=file", "to <b> Sent Other"),
        ("ID => |/usr/bin/prog a <i@w.example> R=f T=pipe", "to <i@w.example> Sent Other"),
        (
            "ID ** a@b R=dnslookup T=remote_smtp: SMTP error from remote: 550 5.7.1 this is spam",
            "to <a@b> Bounced Spam",
        ),
        ("ID ** spam@b: Unrouteable address", "to <spam@b> Bounced Other"),
        ("ID == a@b R=dnslookup T=remote_smtp defer (-44): 451 4.7.1 greylisted", "to <a@b> Deferred Excused"),
        ("ID Sender identification U=hana D=w.example S=x@w.example", "for hana from <x@w.example>"),
        (
            "[9] cwd=/home/hana/public_html/a b 4 args: /usr/sbin/sendmail -t -i -fx@y",
            "folder /home/hana/public_html/a b pid Some(9)",
        ),
        ("cwd=/home/hana 3 args: /usr/sbin/sendmail -bs -i", "folder /home/hana pid None"),
        ("ID Completed", "Removed(1wA0aa-0000B1-11)"),
        ("ID frozen by root", "Held(1wA0aa-0000B1-11)"),
        ("1wA0aa-00000000B1Q-11ab Completed", "Removed(1wA0aa-00000000B1Q-11ab)"),
    ];
    for (line, expected) in table {
        assert_eq!(shown(&line.replace("ID", ID)), expected, "{line}");
    }
}

#[test]
fn lines_that_say_nothing_we_need_are_no_error_and_broken_ones_are_dropped() {
    for line in [
        "Start queue run: pid=1234",
        "H=x [203.0.113.5] F=<a@b> rejected RCPT <c@d>: no",
        "no host name found for IP address 203.0.113.5",
        "cwd=/var/spool/exim 3 args: /usr/sbin/exim -Mc 1wA0aa-0000B1-11",
        "cwd=/ 2 args: /usr/sbin/exim -bp",
        "cwd=/home/hana 2 args: sendmail -q",
        "ID *> a@b R=x T=y",
        "ID SMTP connection outbound 1 x y z",
        "ID DKIM: d=x s=y",
        "1wA0aa-0000B1-11",
        "1wA0aa-0000B1- <= a@b U=hana P=local S=9",
        "",
    ] {
        assert_eq!(shown(&line.replace("ID", ID)), "other", "{line}");
    }
    for line in [
        "ID <= a@b U=hana P=local",
        "ID <= a@b U=hana U=kiku P=local S=9",
        "ID <= a@b U=hana S=9",
        "ID <= \"a@b U=hana P=local S=9",
        "ID <= a@b H=(x U=hana P=local S=1) [203.0.113.7] P=esmtp S=9",
        "ID <= a@b H=nowhere P=esmtp S=9",
        "ID <= a@b H=h [203.0.113.1] U= A=login:x P=esmtpa S=9",
        "ID <= a@b H=h [203.0.113.1] [203.0.113.2] P=esmtp S=9",
        "cwd=/home/hana 3 args: x 3 args: y",
        "cwd=/home/hana args: x",
        "ID => ",
        "ID => |/usr/bin/prog R=f",
        "ID Sender identification D=x S=y",
    ] {
        assert_eq!(shown(&line.replace("ID", ID)), "malformed", "{line}");
    }
}

#[test]
fn in_syslog_the_same_lines_are_found() {
    for line in [
        "web01 exim[77]: 2026-03-07 15:16:20 1wA0aa-0000B1-11 Completed",
        "web01 exim4[77]: 1wA0aa-0000B1-11 Completed",
    ] {
        assert!(matches!(in_syslog(line.as_bytes()), Some(Parsed::Line(Line::Removed(_)))), "{line}");
    }
    assert!(in_syslog(b"web01 sshd[1]: 1wA0aa-0000B1-11 Completed").is_none());
}

/// What a careless reader does.
fn naive(line: &str) -> Option<&str> {
    let at = line.find(" U=")? + 3;
    line.contains(" <= ").then(|| line[at..].split(' ').next())?
}

#[test]
fn no_injected_text_ever_attributes_to_its_victim() {
    const SEED: u64 = 0x5eed_0051;
    println!("seed {SEED:#x}");
    let mut dice = Dice(SEED);
    let pieces = [
        " U=victim",
        " P=local",
        " S=9",
        "\"",
        "\\",
        " ",
        "<",
        ">",
        "[203.0.113.9]",
        " A=login:info@victim.example",
        "H=",
        " <= ",
        "for ",
        ":",
        "=> ",
        "@x.example",
        "(",
        ")",
        "\0",
        "\\n",
        "é",
        "1wA0aa-0000B1-12",
        " T=\"",
        "cwd=/home/victim",
        " 3 args: ",
    ];
    // Every place where Exim logs text that a tenant, a visitor or a stranger chooses. A sender with spaces is quoted
    // (RFC 5321, section 4.1.2), quotes and backslashes in it are escaped; so are they in a subject.
    let carriers = [
        ("ID <= \"{q}\"@x.example U=tenant P=local S=9 T=\"x\" for a@b", true),
        ("ID <= a@b U=tenant P=local S=9 id={} T=\"x\" for a@b", false),
        ("ID <= a@b U=tenant P=local S=9 T=\"{q}\" for a@b", true),
        ("ID <= a@b U=tenant P=local S=9 T=\"x\" for {}", false),
        ("ID <= a@b H=h.example ({}) [203.0.113.1]:5 P=esmtp S=9 id=x", false),
        ("ID <= a@b H=h.example [203.0.113.1]:5 U={} P=esmtp S=9 id=x", false),
        ("ID => {} R=dnslookup T=remote_smtp H=mx [203.0.113.1]", false),
        ("ID ** a@b R=dnslookup T=remote_smtp: 550 {}", false),
        ("ID Sender identification U=tenant D={} S=x@y", false),
        ("H=h ({}) [203.0.113.1] rejected EHLO", false),
        ("cwd=/home/tenant/{} 3 args: /usr/sbin/sendmail -t", false),
        ("cwd=/home/tenant 3 args: /usr/sbin/sendmail {}", false),
    ];
    let (mut fooled, mut wrong) = (0, Vec::new());
    for _ in 0..60_000 {
        let text: String = (0..1 + dice.roll(7)).map(|_| pieces[dice.roll(pieces.len())]).collect();
        let (carrier, quoted) = carriers[dice.roll(carriers.len())];
        let text = if quoted { text.replace('\\', "\\\\").replace('"', "\\\"") } else { text };
        let line = carrier.replace("ID", ID).replace("{q}", &text).replace("{}", &text);
        fooled += usize::from(naive(&line) == Some("victim"));
        let victims = match parse(line.as_bytes()) {
            Parsed::Line(Line::Local { user, .. } | Line::Identified { user, .. }) => user != b"tenant",
            Parsed::Line(Line::Login { .. }) => true, // none of the carriers logs in
            Parsed::Line(Line::Folder { path, .. }) => !path.starts_with(b"/home/tenant"),
            _ => false,
        };
        if victims {
            wrong.push(line);
        }
    }
    assert!(fooled > 500, "the naive reader was fooled only {fooled} times");
    assert!(wrong.is_empty(), "seed {SEED:#x}: {} such as {:?}", wrong.len(), wrong[0]);
}
