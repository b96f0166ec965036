//! Slow logs as FPM writes them, what tenants can put into them, and whose a file is.

use model::AccountRef;

use super::*;

fn account(name: &str, uid: u32) -> AccountEntry {
    AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation: 1 },
        home: format!("/home/{name}"),
        sites: Vec::new(),
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    }
}

const NOW: Moment = Moment::from_secs(1_795_000_000);

fn read(log: &mut Log, text: &str) {
    text.split('\n').for_each(|line| log.line(line.as_bytes(), NOW));
}

fn shown(log: &mut Log) -> Vec<String> {
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let show = |s: &Slow| {
        let flags =
            [(s.is_part, " part"), (s.is_bad, " bad"), (s.by_door > 0, " by door"), (s.scheduled > 0, " scheduled")];
        let flags: String = flags.iter().filter(|(is, _)| *is).map(|(_, word)| *word).collect();
        format!("{} {} {:.0}s{flags} {:?}", text(&s.path), s.requests, s.seconds, s.pids)
    };
    log.slow(NOW + Span::secs(1)).iter().map(show).collect()
}

fn entry(pool: &str, pid: u32, script: &str, frames: &[&str]) -> String {
    let frames: String = frames.iter().map(|f| format!("[0x00007f0a1c2130c0] work() {f}:12\n")).collect();
    format!("\n[28-Nov-2026 10:00:00]  [pool {pool}] pid {pid}\nscript_filename = {script}\n{frames}")
}

#[test]
fn the_part_in_which_the_time_went_is_the_folder_below_a_folder_of_parts() {
    let check = |script: &str, frames: &[&str], expected: &str| {
        let mut log = Log::new(&account("aoi", 3001), Format::default());
        read(&mut log, &entry("aoi", 7, script, frames));
        assert_eq!(shown(&mut log), [expected], "{script} {frames:?}");
    };
    let web = "/home/aoi/public_html";
    let wp = format!("{web}/index.php");
    let at = |rest: &str| format!("{web}/{rest}");
    check(
        &wp,
        &[&at("wp-includes/a.php"), &at("wp-content/plugins/keeper/lib/zip.php"), &wp],
        "/home/aoi/public_html/wp-content/plugins/keeper 1 0s part by door [7]",
    );
    check(
        &at("wp-cron.php"),
        &[&at("wp-content/plugins/keeper/x.php"), &at("wp-cron.php")],
        "/home/aoi/public_html/wp-content/plugins/keeper 1 0s part by door scheduled [7]",
    );
    check(
        &wp,
        &[&at("sites/all/modules/contrib/views/v.inc")],
        "/home/aoi/public_html/sites/all/modules/contrib/views 1 0s part by door [7]",
    );
    check(
        &wp,
        &[&at("wp-content/mu-plugins/one.php")],
        "/home/aoi/public_html/wp-content/mu-plugins/one.php 1 0s part by door [7]",
    );
    check(&wp, &["/usr/share/php/lib.php", &at("lib/sum.php"), &wp], "/home/aoi/public_html/lib 1 0s by door [7]");
    check(&at("calc.php"), &[&at("calc.php")], "/home/aoi/public_html/calc.php 1 0s by door [7]");
    // Called directly, or where no program belongs: nothing that a front door runs.
    let direct = at("wp-content/plugins/keeper/run.php");
    check(&direct, &[&direct], "/home/aoi/public_html/wp-content/plugins/keeper 1 0s part [7]");
    let uploaded = at("wp-content/uploads/2026/x.php");
    check(&uploaded, &[&uploaded], "/home/aoi/public_html/wp-content/uploads/2026/x.php 1 0s bad [7]");
}

#[test]
fn an_access_log_with_durations_gives_seconds() {
    let format = Format::new("%R - %u %t \"%m %r%Q%q\" %s %f %{milli}d %{kilo}M %C%%").unwrap();
    let mut log = Log::new(&account("aoi", 3001), format);
    let line = |file: &str, took: &str| {
        format!("192.0.2.4 -  28/Nov/2026:10:00:00 +0900 \"GET /x\" 200 {file} {took} 2048 50.00%")
    };
    read(&mut log, &line("/home/aoi/public_html/report.php", "30000.000"));
    read(&mut log, &line("/home/aoi/public_html/quick.php", "200.000"));
    read(&mut log, &line("/home/fuji/public_html/report.php", "30000.000"));
    assert_eq!(shown(&mut log), ["/home/aoi/public_html/report.php 1 15s []"]);
}

#[test]
fn what_is_old_is_forgotten_and_the_rest_is_bounded() {
    let mut log = Log::new(&account("aoi", 3001), Format::default());
    for n in 0..1000 {
        read(&mut log, &entry("aoi", n, "/home/aoi/w/index.php", &[&format!("/home/aoi/w/plugins/p{}/a.php", n % 50)]));
    }
    assert_eq!(log.slow(NOW + Span::secs(1)).len(), PARTS_MAX);
    assert!(log.slow(NOW + Span::secs(1)).iter().all(|slow| slow.pids.len() <= PIDS_MAX));
    assert!(log.slow(NOW + KEPT).is_empty());
}

#[test]
fn a_file_in_which_two_pools_write_says_nothing() {
    let mut log = Log::new(&account("aoi", 3001), Format::default());
    read(&mut log, &entry("aoi", 1, "/home/aoi/a.php", &[]));
    read(&mut log, &entry("fuji", 2, "/home/aoi/b.php", &[]));
    read(&mut log, &entry("aoi", 1, "/home/aoi/a.php", &[]));
    assert!(log.is_shared() && log.slow(NOW + Span::secs(1)).is_empty());
}

#[test]
fn a_log_is_of_the_account_that_its_place_names() {
    let accounts = [account("aoi", 1), account("fuji-y", 2), account("fuji", 3), account("slow", 4)];
    let owners = Owners::new(&accounts);
    let check = |path: &str, name: Option<&str>| {
        assert_eq!(owners.of(Path::new(path)).map(|at| accounts[at].account.name.as_str()), name, "{path}");
    };
    check("/var/log/php8.2-fpm.aoi.slow.log", Some("aoi"));
    check("/var/log/php-fpm/fuji-y.slow.log", Some("fuji-y"));
    check("/var/log/php-fpm/fuji_slow.log", Some("fuji"));
    check("/var/log/php-fpm/aoi/slow.log", Some("aoi"));
    check("/home/aoi/logs/fuji.slow.log", Some("aoi"));
    check("/var/log/php-fpm/aoi-fuji.slow.log", None);
    check("/var/log/php8.2-fpm.log", None);
    check("/var/log/php-fpm/www-slow.log", None);
    check("/var/log/php-fpm/aoiro.slow.log", None);
}

/// Whatever bytes come: nothing panics, and of an account only paths below its own folders are ever told.
#[test]
fn hostile_lines_never_name_what_is_not_the_accounts_own() {
    let parts = [
        "[28-Nov-2026 10:00:00]  [pool aoi] pid 7",
        "[28-Nov-2026 10:00:00.123456]  [pool ",
        "script_filename = ",
        "/home/fuji/public_html/plugins/x/a.php",
        "/home/aoi/../fuji/plugins/x/a.php",
        "/home/aoi/public_html/wp-content/plugins/k/b.php",
        "/home/aoifuji/plugins/a.php",
        "[0x00007f0a1c2130c0] work() ",
        "[0x",
        ":12",
        ":",
        "\n",
        "\n\n",
        "\0",
        "] pid 99999999999999999999",
        "é",
        " \"GET /",
        "\" 200",
        "192.0.2.4 -  28/Nov/2026:10:00:00 +0900",
        " 9999999.000 1 99.00%",
        "//",
        "plugins/",
    ];
    let seed = 0x5eed_f00d_0000_0011_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut next = move |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let format = Format::new("%R - %u %t \"%m %r%Q%q\" %s %f %{milli}d %{kilo}M %C%%").unwrap();
    let mut log = Log::new(&account("aoi", 3001), format.clone());
    let mut told = 0;
    for round in 0..40_000 {
        if log.is_shared() || round % 500 == 0 {
            log = Log::new(&account("aoi", 3001), format.clone());
        }
        let mut some = |most: usize| (0..next(most)).map(|_| parts[next(parts.len())]).collect::<String>();
        let (loose, script, frame) = (some(9), some(3), some(3));
        let text = match round % 3 {
            0 => loose,
            1 => entry("aoi", 7, &format!("/home/aoi/{script}"), &[&frame]),
            _ => entry("aoi", 7, "/home/aoi/public_html/index.php", &[&format!("/home/aoi/{script}"), &frame]),
        };
        for line in text.split('\n') {
            let cut = line.as_bytes().get(next(4)..).unwrap_or_default();
            log.line(if next(3) == 0 { cut } else { line.as_bytes() }, NOW);
        }
        for slow in log.slow(NOW + Span::secs(1)) {
            told += 1;
            assert!(below(&slow.path, b"/home/aoi"), "{:?}", String::from_utf8_lossy(&slow.path));
            assert!(!slow.path.windows(4).any(|w| w == b"/../"));
        }
        assert!(log.slow.len() <= PARTS_MAX);
    }
    assert!(told > 100, "the test sees nothing");
    let mut log = Log::new(&account("aoi", 3001), format);
    for long in [vec![b'"'; 65_536], vec![b'['; 65_536], vec![0; 65_536], b"[0x".repeat(20_000)] {
        log.line(&long, NOW);
    }
    assert_eq!(log.dropped, 4);
}
