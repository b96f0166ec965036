//! Lines of several servers, formats of operators, addresses in their shapes, whose a line is.

use std::path::Path;

use super::super::request::{Method, address, plain_path};
use super::*;

fn shown(format: &Format, line: &str) -> String {
    format.read(line.as_bytes(), &mut Clock::default()).map_or("dropped".to_owned(), |r| {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let source = r.source.address().map_or("?".to_owned(), |a| a.to_string());
        format!(
            "{}|{source}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
            text(r.site),
            r.user,
            r.at,
            r.method.name(),
            text(r.path),
            text(r.query),
            r.status,
            r.size,
            text(r.referer()),
            text(r.agent())
        )
    })
}

#[test]
fn combined_and_its_relatives_are_read_by_what_they_say() {
    let table = [
        (
            r#"shop.fuji.example.jp:8443 203.0.113.30 - - [07/Mar/2026:01:00:00 +0900] "GET /a?b=c HTTP/1.1" 200 1 "-" "x""#,
            "shop.fuji.example.jp|203.0.113.30|false|2026-03-06T16:00:00Z|GET|/a|b=c|200|1||x",
        ),
        (
            r#"203.0.113.30 - bob [07/Mar/2026:01:00:00 +0900] "POST /b HTTP/2.0" 302 -"#,
            "|203.0.113.30|true|2026-03-06T16:00:00Z|POST|/b||302|0||",
        ),
        (
            r#"blog.fuji.example.jp 2001:db8::30 - - [07/Mar/2026:01:00:00 +0900] "GET /z?k=\"v\" HTTP/1.1" 200 1 "https://r.example/?w=\"b\"" "odd \" name""#,
            r#"blog.fuji.example.jp|2001:db8::30|false|2026-03-06T16:00:00Z|GET|/z|k=\"v\"|200|1|https://r.example/?w=\"b\"|odd \" name"#,
        ),
        (
            r#"::ffff:203.0.113.9 - - [07/Mar/2026:01:00:00 -0330] "\x16\x03\x01" 400 166 "-" "-""#,
            "|203.0.113.9|false|2026-03-07T04:30:00Z|-|||400|166||",
        ),
        (
            r#"[2001:db8::1]:5000 - - [07/Mar/2026:01:00:00 +0000] "-" 408 0"#,
            "|2001:db8::1|false|2026-03-07T01:00:00Z|-|||408|0||",
        ),
        (
            r#"host.example.com - - [07/Mar/2026:01:00:00 +0000] "GET http://aoi.example.jp/z HTTP/1.0" 200 5 "-" "a" 0.001 "extra""#,
            "|?|false|2026-03-07T01:00:00Z|GET|/z||200|5||a",
        ),
        // The user may hold a time, a bracket and spaces, but no quote.
        (
            r#"203.0.113.30 - a [01/Jan/1990:00:00:00 +0000] b [07/Mar/2026:01:00:00 +0000] "GET / HTTP/1.1" 200 1 "-" "-""#,
            "|203.0.113.30|true|2026-03-07T01:00:00Z|GET|/||200|1||",
        ),
        (r#"2001:db8::7:40022 - - [07/Mar/2026:01:00:00 +0000] "GET / HTTP/1.1" 200 1"#, "dropped"),
        (r#"3001 - - [07/Mar/2026:01:00:00 +0000] "GET / HTTP/1.1" 200 1"#, "dropped"),
        (r#"203.0.113.30 - - [07/Foo/2026:01:00:00 +0900] "GET / HTTP/1.1" 200 1"#, "dropped"),
        (r#"203.0.113.30 - - [07/Mar/2026:01:00:00 +0900] "GET / HTTP/1.1" 2x0 1"#, "dropped"),
        (r#"203.0.113.30 - - [07/Mar/2026:01:00:00 +0900] "GET / HTTP/1.1"#, "dropped"),
        (r#"203.0.113.30 - - [07/Mar/2026:01:00"#, "dropped"),
        ("", "dropped"),
    ];
    for (line, expected) in table {
        assert_eq!(shown(&Format::Standard, line), expected, "{line}");
    }
}

#[test]
fn json_lines_are_read_by_their_names_and_twice_the_same_name_is_dropped() {
    let caddy = r#"{"level":"info","ts":1772812800.5,"logger":"http.log.access","request":{"remote_ip":"203.0.113.9","remote_port":"1","proto":"HTTP/2.0","method":"POST","host":"aoi.example.jp","uri":"/x.php?a=1\u0026b=2","headers":{"User-Agent":["curl/8"],"Referer":["https://r.example/"]}},"user_id":"","duration":0.01,"size":12,"status":200,"resp_headers":{"Server":["Caddy"]}}"#;
    assert_eq!(
        shown(&Format::Standard, caddy),
        r"aoi.example.jp|203.0.113.9|false|2026-03-06T16:00:00Z|POST|/x.php|a=1\u0026b=2|200|12|https://r.example/|curl/8"
    );
    let nginx = r#"{"time":"2026-03-07T01:00:00+09:00","remote_addr":"2001:db8::7","host":"evil.example","server_name":"aoi.example.jp","request":"GET /a\x22b HTTP/1.1","status":"404","body_bytes_sent":"7","http_user_agent":"-"}"#;
    assert_eq!(
        shown(&Format::Standard, nginx),
        r"aoi.example.jp|2001:db8::7|false|2026-03-06T16:00:00Z|GET|/a\x22b||404|7||"
    );
    for broken in [
        r#"{"time":"2026-03-07T01:00:00+09:00","status":200,"status":404}"#,
        r#"{"status":200}"#,
        r#"{"time":"2026-03-07T01:00:00+09:00","status":200"#,
        r#"{"time":"2026-03-07T01:00:00+09:00","a":[[[[[[[[[1]]]]]]]]]}"#,
        "{}",
        "{",
    ] {
        assert_eq!(shown(&Format::Standard, broken), "dropped", "{broken}");
    }
}

#[test]
fn formats_of_operators_become_fields() {
    let table = [
        (
            r#"%v:%p %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\""#,
            r#"aoi.example.jp:443 203.0.113.9 - - [07/Mar/2026:01:00:00 +0900] "GET /a?b HTTP/1.1" 200 9 "-" "x \"y\"""#,
            r#"aoi.example.jp|203.0.113.9|false|2026-03-06T16:00:00Z|GET|/a|b|200|9||x \"y\""#,
        ),
        (
            "%{sec}t %a %m %U%q %s %b %{X-Id}o",
            "1772812800 203.0.113.9 POST /up.php?x=1 201 - abc",
            "|203.0.113.9|false|2026-03-06T16:00:00Z|POST|/up.php|x=1|201|0||",
        ),
        (
            r#"$remote_addr - $remote_user [$time_local] $server_name "$request" $status $body_bytes_sent $request_time "$http_referer" "$http_user_agent""#,
            r#"203.0.113.9 - - [07/Mar/2026:01:00:00 +0900] aoi.example.jp "GET / HTTP/2.0" 200 10 0.002 "-" "y""#,
            "aoi.example.jp|203.0.113.9|false|2026-03-06T16:00:00Z|GET|/||200|10||y",
        ),
        (
            r#"{"t":"$time_iso8601","h":"${server_name}","ip":"$remote_addr","u":"$request_uri","m":"$request_method","s":$status}"#,
            r#"{"t":"2026-03-07T01:00:00+09:00","h":"a.example.jp","ip":"203.0.113.9","u":"/x?\x22","m":"GET","s":200}"#,
            r"a.example.jp|203.0.113.9|false|2026-03-06T16:00:00Z|GET|/x|\x22|200|0||",
        ),
        ("%h %t %r", "garbage", "dropped"),
        ("%h %t %s", "203.0.113.9 [07/Mar/2026:01:00:00 +0900] 200 more", "dropped"),
    ];
    for (format, line, expected) in table {
        assert_eq!(shown(&Format::new(format).unwrap(), line), expected, "{format}");
    }
    for (format, why) in
        [("$host", "time"), ("%h %s", "time"), ("%h%t%s", "side by side"), ("%{x", "}"), ("words", "no format")]
    {
        let said = Format::new(format).map_or_else(|e| e, |_| "read".to_owned());
        assert!(said.contains(why) || (format == "%h%t%s" && said == "read"), "{format}: {said}");
    }
}

#[test]
fn addresses_in_their_shapes_and_nothing_that_has_two_readings() {
    let table = [
        ("2001:db8:0:0:0:0:0:7", "2001:db8::7"),
        ("[2001:db8::7]:40022", "2001:db8::7"),
        ("[2001:db8::7]", "2001:db8::7"),
        ("::ffff:198.51.100.9", "198.51.100.9"),
        ("198.51.100.9:443", "198.51.100.9"),
        ("198.51.100.9", "198.51.100.9"),
        ("2001:db8::7:40022", "-"),
        ("3001", "-"),
        ("198.51.100.009", "-"),
        ("198.51.100.256", "-"),
        ("198.51.100", "-"),
        ("198.51.100.9.", "-"),
        ("[198.51.100.9", "-"),
        ("198.51.100.9:port", "-"),
        ("", "-"),
    ];
    for (text, expected) in table {
        let read = address(text.as_bytes()).and_then(|s| s.address());
        assert_eq!(read.map_or("-".to_owned(), |a| a.to_string()), expected, "{text}");
    }
}

#[test]
fn a_path_is_what_the_server_made_of_it() {
    for (written, plain) in [
        ("/a/b.php", "/a/b.php"),
        ("/a//b%2Ephp", "/a/b.php"),
        ("/a/./../b.php", "/b.php"),
        (r"/a\x2fb\x22.php", "/a/b\".php"),
        ("/../..", "/"),
        ("/a/%", "/a/%"),
    ] {
        assert_eq!(String::from_utf8_lossy(&plain_path(written.as_bytes())), plain, "{written}");
    }
}

#[test]
fn a_line_belongs_to_the_file_it_stands_in_or_to_the_servers_own_word() {
    let watch = watch();
    let of = |path: &str| match watch.owner_of(Path::new(path)) {
        Owner::Sure(account, site) => format!("{} {}", account.name, site.map(String::from).unwrap_or_default()),
        owner => format!("{owner:?}"),
    };
    assert_eq!(of("/home/aoi/logs/access.log"), "aoi ");
    assert_eq!(of("/home/fuji/logs/shop.fuji.example.jp-ssl.log"), "fuji shop.fuji.example.jp");
    assert_eq!(of("/home/aoi/logs/shop.fuji.example.jp.log"), "aoi ");
    assert_eq!(of("/var/log/nginx/shop.fuji.example.jp.access.log.1"), "fuji shop.fuji.example.jp");
    assert_eq!(of("/var/log/apache2/www.aoi.example.jp/access.log"), "aoi aoi.example.jp");
    assert_eq!(of("/var/log/nginx/notaoi.example.jp.log"), "Lines");
    assert_eq!(of("/var/log/nginx/aoi.example.jp.evil.example.log"), "Lines");
    assert_eq!(of("/var/log/nginx/access.log"), "Lines");
    // In one's own log another's name changes nothing; in a common log a name of nobody is nobody's.
    let text = log("0..3 203.0.113.5 POST /wp-content/uploads/2026/01/a.php 200 10");
    let named = text.replace("203.0.113.5", "kiku.example.jp 203.0.113.5");
    let mut own = watch;
    own.begin(Log { format: Format::Standard, owner: own.owner_of(Path::new("/home/aoi/access.log")) });
    let reading = inspect(&mut own, &mut named.as_bytes(), late()).unwrap();
    assert!(told(&reading).starts_with("aoi "), "{}", told(&reading));
    assert!(told(&read("aoi", &named)).starts_with("kiku "));
    assert_eq!(told(&read("aoi", &text.replace("203.0.113.5", "nobody.example.jp 203.0.113.5"))), "");
    assert_eq!(told(&read("", &text)), "");
}

#[test]
fn methods_have_their_names() {
    for method in [Method::Get, Method::Head, Method::Post, Method::Put] {
        let line = format!("203.0.113.9 - - [07/Mar/2026:01:00:00 +0900] \"{} / HTTP/1.1\" 200 1", method.name());
        let read = Format::Standard.read(line.as_bytes(), &mut Clock::default()).unwrap();
        assert_eq!(read.method, method);
    }
}
