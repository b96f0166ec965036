//! Programs that live in the demo's accounts: they look like the seed's, and do no harm.
//!
//! They are copies of this binary that were told by an environment variable what to play, because a command line
//! would show it. They wait, or start one another again; nothing else.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Tells a copy what to play: `idle` or `guard:PROGRAM:NAME`.
const PART: &str = "HIKESHI_DEMO_PART";

/// Plays a part when the environment says so; then the process never comes back from here.
pub fn play_if_told() {
    let Ok(part) = std::env::var(PART) else { return };
    let words: Vec<&str> = part.split(':').collect();
    if let ["guard", program, name] = words[..] {
        guard(program, name);
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

/// Starts its program again whenever it ends.
fn guard(program: &str, name: &str) {
    loop {
        let Ok(mut child) = start(Path::new(program), name, "idle", None) else { return };
        let _ = child.wait();
        std::thread::sleep(Duration::from_millis(200));
    }
}
