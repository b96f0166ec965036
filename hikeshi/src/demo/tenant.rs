//! Programs that live in the demo's accounts: they behave like the seed's, and do no harm.
//!
//! They are copies of this binary that were told by an environment variable what to play, because a command line
//! would show it. The only thing that they reach is the demo's own mail port on loopback.

use std::io::Write;
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Tells a copy what to play: `idle`, `mail:PORT:UID:DOMAIN:PER_SECOND:MESSAGES` or `guard:PROGRAM:NAME`.
const PART: &str = "HIKESHI_DEMO_PART";

/// Plays a part when the environment says so; then the process never comes back from here.
pub fn play_if_told() {
    let Ok(part) = std::env::var(PART) else { return };
    let words: Vec<&str> = part.split(':').collect();
    match words[..] {
        ["mail", port, uid, domain, rate, count] => send_mail(port, uid, domain, rate, count),
        ["guard", program, name] => guard(program, name),
        _ => {}
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// Starts `program` under another name, in a process group of its own, as `uid` when we are root.
pub fn start(program: &Path, name: &str, part: &str, uid: Option<u32>) -> std::io::Result<Child> {
    let mut command = Command::new(program);
    command.arg0(name).env_clear().env(PART, part).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.process_group(0).current_dir(program.parent().unwrap_or(Path::new("/")));
    if let Some(uid) = uid {
        command.uid(uid).gid(uid);
    }
    command.spawn()
}

/// Sends short lines to the demo's mail port: most of them to addresses abroad, each one used once.
fn send_mail(port: &str, uid: &str, domain: &str, rate: &str, count: &str) {
    let (Ok(port), Ok(rate), Ok(count)) = (port.parse::<u16>(), rate.parse::<u32>(), count.parse::<u32>()) else { return };
    let Ok(mut mta) = TcpStream::connect(("127.0.0.1", port)) else { return };
    let began = Instant::now();
    let abroad = ["ru", "br", "de", "pl", "vn"];
    for n in 0..count {
        let country = if n % 25 == 0 { "jp" } else { abroad[n as usize % abroad.len()] };
        let line = format!("{uid} web{n}@{domain} u{n}@mx{}.example.{country} x.php\n", n % 97);
        if mta.write_all(line.as_bytes()).is_err() {
            return;
        }
        // The pace is kept against the clock, so that a machine that is slow for a moment catches up.
        let due = began + Duration::from_secs(u64::from(n)) / rate.max(1);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
}

/// Starts its program again whenever it ends.
fn guard(program: &str, name: &str) {
    loop {
        let Ok(mut child) = start(Path::new(program), name, "idle", None) else { return };
        let _ = child.wait();
        std::thread::sleep(Duration::from_millis(200));
    }
}
