//! Access lines of several servers, and counting by account.

use model::{AccountRef, Site};

use super::*;

fn shown(format: &Format, line: &str) -> String {
    let read = format.read(line.as_bytes(), &mut Clock::default());
    read.map_or("dropped".to_owned(), |r| format!("{} {}", String::from_utf8_lossy(r.site).to_lowercase(), r.at))
}

#[test]
fn a_virtual_host_may_stand_first_with_or_without_a_port() {
    let table = [
        (
            r#"shop.yuri.example.jp:443 203.0.113.30 - - [07/Mar/2026:01:00:00 +0900] "GET /a HTTP/1.1" 200 1 "-" "x""#,
            "shop.yuri.example.jp 2026-03-06T16:00:00Z",
        ),
        (r#"203.0.113.30 - - [07/Mar/2026:01:00:00 +0900] "GET /b HTTP/1.1" 200 1"#, " 2026-03-06T16:00:00Z"),
        (
            r#"Blog.Yuri.example.jp 2001:db8::30 - bob [07/Mar/2026:01:00:00 -0330] "GET /c?x=\"y\" HTTP/1.1" 200 1"#,
            "blog.yuri.example.jp 2026-03-07T04:30:00Z",
        ),
        (r#"2001:db8::30 - - [07/Mar/2026:01:00:00 +0000] "-" 408 0"#, " 2026-03-07T01:00:00Z"),
        ("203.0.113.30 - - [07/Foo/2026:01:00:00 +0900] \"GET\"", "dropped"),
        ("203.0.113.30 - - [07/Mar/2026:01:00:00", "dropped"),
        ("../../x - - [07/Mar/2026:01:00:00 +0900]", "dropped"),
        ("", "dropped"),
    ];
    for (line, expected) in table {
        assert_eq!(shown(&Format::Standard, line), expected, "{line}");
    }
}

#[test]
fn nginx_formats_are_read_by_their_fields() {
    let json = Format::nginx(r#"{"t":"$time_iso8601","agent":"$http_user_agent","h":"${server_name}","x":$status}"#);
    let line = r#"{"t":"2026-03-07T01:00:00+09:00","agent":"a\x22b","h":"a.example.jp","x":200}"#;
    assert_eq!(shown(&json.unwrap(), line), "a.example.jp 2026-03-06T16:00:00Z");
    let msec = Format::nginx("$msec $host:$server_port $request").unwrap();
    assert_eq!(shown(&msec, "1772812800.123 b.example.jp:8080 GET / HTTP/1.1"), "b.example.jp 2026-03-06T16:00:00Z");
    let own = Format::nginx("$host $server_name $time_local").unwrap();
    assert_eq!(shown(&own, "victim.jp me.jp 07/Mar/2026:01:00:00 +0900"), "me.jp 2026-03-06T16:00:00Z");
}

#[test]
fn formats_that_cannot_be_read_are_refused_with_the_reason() {
    for (text, why) in [("$host", "time"), ("$host$msec", "side by side"), ("${host", "}")] {
        assert!(Format::nginx(text).unwrap_err().contains(why), "{text}");
    }
    assert!(Format::nginx(&"$msec ".repeat(5000)).is_err());
}

#[test]
fn requests_are_counted_by_account_and_forgotten() {
    let mut requests = Requests::default();
    let site = |domain: &str| Site {
        domain: domain.parse().unwrap(),
        aliases: Vec::new(),
        root: "/x".to_owned(),
        gates: Vec::new(),
        probes: Vec::new(),
    };
    let entry = |name: &str, uid, sites| AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
        home: "/x".to_owned(),
        sites,
        contacts: Vec::new(),
        time_zone: "UTC".to_owned(),
    };
    requests.set_accounts(&[entry("a", 1, vec![site("a.example.jp"), site("b.example.jp")]), entry("c", 2, vec![])]);
    let start = Moment::parse("2026-03-07T01:00:00Z").unwrap();
    assert_eq!(requests.per_second(1, 3, start), None);
    for second in 0..60 {
        let now = start + model::Span::secs(second);
        for host in ["a.example.jp", "b.example.jp:443", "nobody.example.jp"] {
            let line = format!("{host} 203.0.113.1 - - [07/Mar/2026:01:00:{second:02} +0000] \"GET / HTTP/1.1\" 200 1");
            requests.line(line.as_bytes(), &Format::Standard, None, now);
        }
        let line = format!("203.0.113.1 - - [07/Mar/2026:01:00:{second:02} +0000] \"GET / HTTP/1.1\" 200 1");
        requests.line(line.as_bytes(), &Format::Standard, Some(2), now);
        requests.line(b"broken", &Format::Standard, Some(2), now);
    }
    let now = start + model::Span::secs(60);
    assert_eq!((requests.per_second(1, 3, now), requests.per_second(2, 6, now)), (Some(2.0), Some(1.0)));
    assert_eq!(requests.per_second(9, 3, now), Some(0.0));
    assert_eq!(requests.counts(), Counts { lines: 300, dropped: 60, unknown_site: 60 });
    let later = start + model::Span::hours(1);
    assert_eq!(requests.per_second(1, 59, later), Some(0.0));
    requests.forget(later);
    assert!(requests.steps.is_empty());
}
