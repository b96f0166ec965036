//! Hostile lines: nothing panics, nothing is guessed, nobody else is blamed.

use super::*;

fn dice(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    }
}

#[test]
fn no_line_of_one_account_changes_the_verdict_about_another() {
    let seed = 0x5eed_2026_0307;
    println!("seed {seed}");
    let mut roll = dice(seed);
    let parts: [&[u8]; 20] = [
        b"aoi.example.jp",
        b"kiku.example.jp:443 ",
        b"203.0.113.7",
        b" - - ",
        b"[07/Mar/2026:01:00:00 +0000] ",
        b"\"",
        b"\\\"",
        b"POST /wp-content/uploads/2026/01/a.php HTTP/1.1",
        b"\" 200 31 ",
        b"\"-\" \"-\"",
        b"\x00",
        b"\xff\xfe",
        b"\\x22",
        b"{\"host\":\"aoi.example.jp\",",
        b"\"server_name\":\"kiku.example.jp\"",
        b"}",
        b"%2e%2e/",
        b"\r",
        b" ",
        b"2001:db8::1",
    ];
    let mut watch = watch();
    let fuji = accounts()[1].account.clone();
    for kind in [Owner::Sure(fuji.clone(), None), Owner::Sure(fuji, Some("shop.fuji.example.jp".parse().unwrap()))] {
        watch.begin(Log { format: Format::Standard, owner: kind });
        for _ in 0..20_000 {
            let mut line = Vec::new();
            for _ in 0..roll(14) {
                line.extend_from_slice(parts[roll(20) as usize]);
            }
            watch.line(&line, late());
            // A line that is right but names somebody else.
            let whole = format!(
                "kiku.example.jp 203.0.113.{} - aoi.example.jp [07/Mar/2026:01:00:{:02} +0000] \"POST /wp-content/uploads/2026/01/a{}.php HTTP/1.1\" 200 {} \"https://aoi.example.jp/\" \"-\"",
                roll(250),
                roll(60),
                roll(30),
                roll(900)
            );
            watch.line(whole.as_bytes(), late());
        }
    }
    let reading = watch.news(late());
    let wrong = reading.findings.iter().filter(|f| f.signal.account.name.as_str() != "fuji").count();
    assert_eq!(wrong, 0, "{}", told(&reading));
}

#[test]
fn nothing_panics_on_any_bytes() {
    let seed = 20_260_307;
    println!("seed {seed}");
    let mut roll = dice(seed);
    let whole = br#"shop.fuji.example.jp:443 [2001:db8::1]:9 - - [07/Mar/2026:01:00:00 +0900] "POST /a/%2e./x.php/y?z=aW5lcnQtMDA%3D&q=\x00 HTTP/1.1" 200 31 "https://e.example/\"" "a""#;
    let json = br#"{"time":"2026-03-07T01:00:00+09:00","request":{"remote_ip":"203.0.113.9","uri":"/x.php?a=1"},"status":200,"a":[1,{"b":"c"}]}"#;
    let formats = [
        Format::Standard,
        Format::new("%h %t \"%r\" %s \"%{Referer}i\"").unwrap(),
        Format::new("$msec $host $request").unwrap(),
    ];
    for format in formats {
        let mut watch = watch();
        watch.begin(Log { format, owner: Owner::Lines });
        for _ in 0..30_000 {
            let mut line = if roll(2) == 0 { whole.to_vec() } else { json.to_vec() };
            for _ in 0..roll(5) {
                let at = roll(line.len() as u64) as usize;
                match roll(4) {
                    0 => line[at] = roll(256) as u8,
                    1 => line.truncate(at + 1),
                    2 => line.insert(at, roll(256) as u8),
                    _ => drop(line.remove(at)),
                }
                if line.is_empty() {
                    break;
                }
            }
            watch.line(&line, late());
        }
        watch.news(late());
    }
    let mut long = vec![b'"'; 64 * 1024];
    let mut watch = watch();
    watch.line(&long, late());
    long.fill(b'{');
    watch.line(&long, late());
    assert_eq!(watch.counts().dropped, 2);
}

#[test]
fn endless_and_cut_lines_are_counted_and_the_next_ones_are_read() {
    let good = "203.0.113.9 - - [07/Mar/2026:01:00:00 +0900] \"GET / HTTP/1.1\" 200 1\n";
    let text = [good.as_bytes(), &vec![b'x'; 200_000], b"\n", good.as_bytes(), b"203.0.113.9 - - [07/Mar"].concat();
    for size in [1, 7, 4096, 1 << 18] {
        let mut watch = watch();
        watch.begin(Log::default());
        let mut input = io::BufReader::with_capacity(size, &text[..]);
        let reading = inspect(&mut watch, &mut input, late()).unwrap();
        assert_eq!((reading.lines, reading.dropped), (4, 2), "buffer {size}");
    }
}

#[test]
fn a_clock_that_runs_backwards_changes_nothing() {
    let text = log("0..5 203.0.113.5 POST /wp-content/uploads/2026/01/a.php 200 10");
    let back: String = text.lines().rev().map(|l| format!("{l}\n")).collect();
    assert_eq!(told(&read("aoi", &text)), told(&read("aoi", &back)));
}
