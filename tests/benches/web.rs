//! How fast an access log is read and judged, beside `goaccess` and `wc -l` on the same file.
//!
//! `cargo bench -p tests --bench web`; all times are CPU time. Goals: three times goaccess, a third of `wc -l` (what reading alone costs), and
//! less than 150 MiB of memory that does not grow with the log.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufReader, BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use model::{AccountEntry, AccountRef, Moment, Site};
use sense::web::{Format, Log, Owner, Settings, Watch, inspect};

const LINES: usize = 5_000_000;
const ROUNDS: usize = 3;
/// 7 March 2026, 00:00 UTC.
const START: i64 = 1_772_841_600;

fn main() {
    let path = std::env::temp_dir().join(format!("bench-web-{}.log", std::process::id()));
    combined_log(&path, LINES).expect("the temporary folder takes the log");
    let size = fs::metadata(&path).map_or(0, |m| m.len());
    println!("log: {LINES} lines, {} MB", size >> 20);

    let before = peak_kib();
    let (half, ..) = best(1, || read(&path, LINES / 2));
    let after_half = peak_kib();
    let (ours, findings, dropped) = best(ROUNDS, || read(&path, LINES));
    let after = peak_kib();
    report("sense::web", LINES, ours);
    println!("  {findings} findings, {dropped} lines dropped; half of the log took {:.1} s", half.as_secs_f64());
    println!(
        "  peak memory {} MiB before, {} after half, {} after all; goal 150: {}",
        before >> 10,
        after_half >> 10,
        after >> 10,
        met(after < 150 << 10)
    );
    let (wc, ..) = best(ROUNDS, || (run(Command::new("wc").arg("-l").arg(&path)).expect("wc is there"), 0, 0));
    report("wc -l", LINES, wc);
    let share = ours.as_secs_f64() / wc.as_secs_f64();
    println!("  sense::web takes {share:.1} times as long; goal 3: {}", met(share <= 3.0));
    let mut goaccess = Command::new("goaccess");
    goaccess.arg(&path).args(["--log-format=COMBINED", "--no-global-config", "--no-progress", "-o", "/dev/null"]);
    goaccess.args(["--output-format=json"]);
    let theirs = best(1, || (run(&mut goaccess).unwrap_or_default(), 0, 0)).0;
    match theirs.is_zero() {
        false => {
            report("goaccess", LINES, theirs);
            let times = theirs.as_secs_f64() / ours.as_secs_f64();
            println!("  sense::web is {times:.1} times as fast; goal 3: {}", met(times >= 3.0));
        }
        true => println!("goaccess  SKIPPED: not installed or it failed, so the goal was NOT measured"),
    }
    let _ = fs::remove_file(&path);
}

fn met(is: bool) -> &'static str {
    if is { "met" } else { "MISSED" }
}

fn report(name: &str, lines: usize, took: Duration) {
    println!("{name:12} {:>12.0} lines/s  {:>8.1} ms", lines as f64 / took.as_secs_f64(), took.as_secs_f64() * 1e3);
}

fn best(rounds: usize, mut round: impl FnMut() -> (Duration, usize, usize)) -> (Duration, usize, usize) {
    (0..rounds).map(|_| round()).min().expect("some rounds")
}

fn run(command: &mut Command) -> Option<Duration> {
    let began = cpu();
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
    status.success().then(|| cpu() - began)
}

/// CPU time of this process and of the children that it waited for (proc(5), fields 14 to 17, hundredths of a second):
/// on a machine that others use too, the clock on the wall measures them.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(4);
    Duration::from_millis(10 * fields.filter_map(|n| n.parse::<u64>().ok()).sum::<u64>())
}

/// Most memory that this process ever had, KiB (proc(5), `VmHWM`).
fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// As `inspect` does it: the whole file, judged now and then.
fn read(path: &Path, lines: usize) -> (Duration, usize, usize) {
    let account = AccountRef { name: "aoi".parse().expect("a name"), uid: 3001, generation: 1 };
    let site = Site {
        domain: "aoi.example.jp".parse().expect("a domain"),
        aliases: Vec::new(),
        root: "/home/aoi/public_html".to_owned(),
        gates: Vec::new(),
        probes: Vec::new(),
    };
    let entry = AccountEntry {
        account: account.clone(),
        home: "/home/aoi".to_owned(),
        sites: vec![site],
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    };
    let size = fs::metadata(path).map_or(0, |m| m.len());
    let began = cpu();
    let mut watch = Watch::new(Settings { accounts: vec![entry].into(), ..Settings::default() });
    watch.begin(Log { format: Format::Standard, owner: Owner::Otherwise(account) });
    let file = File::open(path).expect("the log is readable");
    let part = std::io::Read::take(file, size * lines as u64 / LINES as u64);
    let mut input = BufReader::with_capacity(1 << 18, part);
    let reading = inspect(&mut watch, &mut input, Moment::from_secs(START + 86_400)).expect("the log is readable");
    (cpu() - began, reading.findings.len(), reading.dropped as usize)
}

/// A busy day of one site, always the same: pages, pictures and styles, a shop's calls, an office at work, crawlers,
/// probes for what is not there.
fn combined_log(path: &Path, lines: usize) -> std::io::Result<()> {
    const AGENTS: [&str; 4] = [
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/133.0.0.0 Safari/537.36",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.3 Mobile/15E148 Safari/604.1",
        "Mozilla/5.0 (X11; Linux x86_64; rv:135.0) Gecko/20100101 Firefox/135.0",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    ];
    let mut dice = 0x9e37_79b9_7f4a_7c15u64;
    let mut roll = |below: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % below
    };
    let mut out = BufWriter::with_capacity(1 << 20, File::create(path)?);
    let (mut line, mut target) = (String::new(), String::new());
    for n in 0..lines {
        let second = n as u64 * 86_399 / lines as u64;
        let (hour, minute, sec) = (second / 3600, second / 60 % 60, second % 60);
        let visitor = roll(200_000);
        let agent = AGENTS[(visitor % 16).min(3) as usize];
        target.clear();
        let (method, status, size) = match roll(100) {
            0..=59 => {
                let kind = ["css", "js", "png", "jpg", "woff2"][roll(5) as usize];
                write!(target, "/wp-content/themes/t/assets/file-{}.{kind}?ver=6.7.{}", roll(400), roll(3))
                    .expect("text");
                ("GET", if roll(4) == 0 { 304 } else { 200 }, roll(80_000))
            }
            60..=87 => {
                write!(target, "/archive/{}/page-{}/", roll(300), roll(5000)).expect("text");
                ("GET", if roll(50) == 0 { 404 } else { 200 }, 20_000 + roll(9000))
            }
            88..=93 => {
                write!(target, "/wp-admin/admin-ajax.php").expect("text");
                ("POST", 200, roll(900))
            }
            94..=96 => {
                write!(target, "/index.php?s={}&paged={}", roll(9000), roll(9)).expect("text");
                ("GET", 200, 18_000 + roll(5000))
            }
            97 => {
                write!(target, "/wp-cron.php?doing_wp_cron=17728{}.1", roll(99_999)).expect("text");
                ("POST", 200, 0)
            }
            98 => {
                write!(target, "/x{}.php", roll(5000)).expect("text");
                ("GET", 404, 1200)
            }
            _ => {
                write!(target, "/wp-login.php").expect("text");
                ("POST", if roll(3) == 0 { 200 } else { 302 }, 4300)
            }
        };
        line.clear();
        let (a, b) = (visitor / 250 % 250, visitor % 250);
        let referer = if roll(5) == 0 { "-" } else { "https://aoi.example.jp/archive/12/" };
        writeln!(line, "198.{}.{a}.{b} - - [07/Mar/2026:{hour:02}:{minute:02}:{sec:02} +0900] \"{method} {target} HTTP/1.1\" {status} {size} \"{referer}\" \"{agent}\"", 18 + visitor / 62_500 % 2).expect("text");
        out.write_all(line.as_bytes())?;
    }
    out.flush()
}
