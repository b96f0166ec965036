//! What goes over the wire, as the sink saw it: the words arrive equal, and no value becomes a header or a command.

use super::*;
use crate::sink::{Mail, Mood, Sink};

const NUMBER: &str = "HK-20260321-7K30";

fn relay(sink: &Sink) -> Relay {
    Relay {
        host: sink.address().ip().to_string(),
        port: sink.address().port(),
        name: "例ホスティング サポート窓口".to_owned(),
        from: "desk@host.example".to_owned(),
    }
}

fn post(subject: &str, text: &str, to: &str, references: &[String]) -> (Try, Vec<Mail>) {
    let sink = Sink::open().unwrap();
    let letter = Outgoing { message_id: "hk.1@host.example", references, subject, text };
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_774_061_213);
    let result = send(&relay(&sink), &letter, to, now);
    (result, sink.mails())
}

fn one(subject: &str, text: &str) -> Mail {
    let (result, mails) = post(subject, text, "taro@example.jp", &[]);
    assert_eq!(result, Try::Accepted);
    assert_eq!(mails.len(), 1);
    mails.into_iter().next().unwrap()
}

#[test]
fn subject_and_text_arrive_as_they_were_written() {
    let subject = format!("サイト1件の公開とメール送信を止めています {NUMBER}");
    let text = "■止めているもの: サイト1件の公開、メール送信\n\n山田花子 様\n~!sh\n.\n..\nFrom here on\n-x\n";
    let mail = one(&subject, text);
    assert_eq!(mail.header("Subject").as_deref(), Some(subject.as_str()));
    assert_eq!(mail.text(), text);
    assert_eq!((mail.from.as_str(), mail.to.as_slice()), ("desk@host.example", &["taro@example.jp".to_owned()][..]));
    assert_eq!(mail.header("From").as_deref(), Some("例ホスティング サポート窓口 <desk@host.example>"));
}

#[test]
fn exactly_the_expected_headers_are_sent() {
    let references = ["hk.0@host.example".to_owned()];
    let (_, mails) = post(&format!("Stopped: 1 site {NUMBER}"), "x\n", "taro@example.jp", &references);
    let headers = mails[0].headers();
    let mut names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "Auto-Submitted",
            "Content-Transfer-Encoding",
            "Content-Type",
            "Date",
            "From",
            "In-Reply-To",
            "MIME-Version",
            "Message-ID",
            "References",
            "Subject",
            "To",
            "X-Hikeshi-Incident"
        ]
    );
    let header = |name| mails[0].header(name).unwrap();
    assert_eq!(header("Auto-Submitted"), "auto-generated");
    assert_eq!(header("X-Hikeshi-Incident"), NUMBER);
    assert_eq!(header("Message-ID"), "<hk.1@host.example>");
    assert_eq!(header("References"), "<hk.0@host.example>");
    assert_eq!(header("In-Reply-To"), "<hk.0@host.example>");
    assert_eq!(header("Content-Type"), "text/plain; charset=utf-8");
    assert_eq!(header("Content-Transfer-Encoding"), "base64");
    assert_eq!(header("Date"), "Sat, 21 Mar 2026 02:46:53 +0000");
}

#[test]
fn the_wire_is_plain_ascii_in_short_lines_that_end_in_cr_lf() {
    let references: Vec<_> = (0..16).map(|at| format!("hk.{at}.{}@host.example", "a".repeat(60))).collect();
    let (result, mails) = post(&"山".repeat(200), &"長い行".repeat(2000), "taro@example.jp", &references);
    assert_eq!(result, Try::Accepted);
    let raw = String::from_utf8(mails[0].raw.clone()).unwrap();
    assert!(raw.is_ascii());
    for line in raw.split("\r\n") {
        assert!(line.len() <= 998 && !line.contains(['\r', '\n']), "{line}");
        assert!(line.len() <= 100, "{line}");
    }
    assert_eq!(mails[0].text(), "長い行".repeat(2000));
}

#[test]
fn a_subject_with_line_breaks_is_one_header() {
    for attack in ["x\r\nBcc: a@bad.example", "x\nBcc: a@bad.example", "x\r\n\r\nbody", "x\0y", "=?utf-8?b?eAp5?="] {
        let mail = one(attack, "text\n");
        assert!(mail.header("Bcc").is_none(), "{attack:?}");
        assert_eq!(mail.to, ["taro@example.jp"]);
        assert_eq!(mail.text(), "text\n", "{attack:?}");
    }
}

#[test]
fn a_sender_name_with_line_breaks_is_one_header() {
    let sink = Sink::open().unwrap();
    let relay = Relay { name: "x\r\nBcc: a@bad.example\" <b@bad.example>".to_owned(), ..relay(&sink) };
    let letter = Outgoing { message_id: "hk.1@host.example", references: &[], subject: "x", text: "x" };
    assert_eq!(send(&relay, &letter, "taro@example.jp", SystemTime::now()), Try::Accepted);
    let mail = &sink.mails()[0];
    assert!(mail.header("Bcc").is_none());
    assert_eq!(mail.from, "desk@host.example");
}

#[test]
fn an_address_is_one_plain_mailbox_or_nothing_is_sent() {
    let odd = [
        "",
        "a",
        "a@b@c.example",
        "a,b@c.example",
        "\"a b\"@c.example",
        "a@c.example\r\nRCPT TO:<b@bad.example>",
        "<a@c.example>",
        "a@c.example, b@bad.example",
        "a＠c.example",
        "-oQ/tmp@c.example",
        "a(comment)@c.example",
        "a@c.example\n",
    ];
    for to in odd {
        let (result, mails) = post("x", "x", to, &[]);
        assert_eq!(result, Try::Never("recipient address not usable".to_owned()), "{to:?}");
        assert!(mails.is_empty());
    }
}

#[test]
fn a_message_id_with_other_signs_is_refused() {
    let sink = Sink::open().unwrap();
    for id in ["", "x", "a@b>\r\nBcc: c@d", "a b@c"] {
        let letter = Outgoing { message_id: id, references: &[], subject: "x", text: "x" };
        let result = send(&relay(&sink), &letter, "taro@example.jp", SystemTime::now());
        assert_eq!(result, Try::Never("message id not usable".to_owned()), "{id:?}");
    }
}

#[test]
fn temporary_refusals_wait_and_final_ones_do_not() {
    let sink = Sink::open().unwrap();
    let letter = Outgoing { message_id: "hk.1@host.example", references: &[], subject: "x", text: "x" };
    let try_now = || send(&relay(&sink), &letter, "taro@example.jp", SystemTime::now());
    sink.set_mood(Mood::Answers("451 4.3.0 <taro@example.jp> greylisted".to_owned()));
    match try_now() {
        Try::Later(why) => assert!(why.contains("greylisted") && !why.contains("taro"), "{why}"),
        other => panic!("{other:?}"),
    }
    sink.set_mood(Mood::Answers("550 5.1.1 <taro@example.jp> no such user".to_owned()));
    match try_now() {
        Try::Never(why) => assert!(why.contains("no such user") && !why.contains("taro"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert!(sink.mails().is_empty());
    sink.set_mood(Mood::Accepts);
    assert_eq!(try_now(), Try::Accepted);
}

#[test]
fn a_relay_that_is_not_there_makes_a_letter_wait() {
    let sink = Sink::open().unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let relay = Relay { port: closed.port(), ..relay(&sink) };
    let letter = Outgoing { message_id: "hk.1@host.example", references: &[], subject: "x", text: "x" };
    assert!(matches!(send(&relay, &letter, "taro@example.jp", SystemTime::now()), Try::Later(_)));
}

#[test]
fn one_recipient_that_waits_keeps_the_letter_waiting() {
    let later = || Try::Later("later".to_owned());
    let never = || Try::Never("never".to_owned());
    assert_eq!(delivery(&[Try::Accepted, later()]), Delivery::Waiting { why: "later".to_owned() });
    assert_eq!(delivery(&[Try::Accepted, never()]), Delivery::Accepted { addresses: 1 });
    assert_eq!(delivery(&[never(), never()]), Delivery::Undeliverable { why: "never".to_owned() });
    assert_eq!(delivery(&[]), Delivery::Undeliverable { why: "no address of record".to_owned() });
}

#[test]
fn tries_grow_rarer_and_end_after_five_days() {
    let mut waited = Span::ZERO;
    let mut tries = 1;
    while let Some(pause) = next_try(tries, waited) {
        waited = Span(waited.0 + pause.0);
        tries += 1;
    }
    let days = waited.whole_secs() / 86_400;
    assert_eq!(days, 5);
    assert!((100..150).contains(&tries), "{tries}");
    assert_eq!(
        [1, 2, 3, 4, 500].map(|attempt| next_try(attempt, Span::ZERO).unwrap().whole_secs() / 60),
        [1, 5, 15, 60, 60]
    );
}

#[test]
fn lines_that_begin_with_a_dot_are_stuffed_and_unstuffed() {
    // Our own bodies are base64; the relay's library must still do it right for whatever it is given.
    let sink = Sink::open().unwrap();
    let smtp = SmtpTransport::builder_dangerous("127.0.0.1").port(sink.address().port()).build();
    let envelope =
        Envelope::new(Some("a@host.example".parse().unwrap()), vec!["b@host.example".parse().unwrap()]).unwrap();
    let raw = b"X: y\r\n\r\n.\r\n..\r\n.x\r\nFrom z\r\n~!sh\r\n".to_vec();
    smtp.send_raw(&envelope, &raw).unwrap();
    assert_eq!(sink.mails()[0].raw.strip_suffix(b"\r\n"), Some(&raw[..]), "the library ends the last line itself");
}
