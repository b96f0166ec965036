//! Runs one program of the node to its end: no shell, no environment of ours, bounded time and output.
//!
//! What hangs is killed with all that it started, and whoever waits for it goes on even when the kill has no effect (a
//! process that waits for a dead disk, or is traced): `std::process::Child::wait` would wait for ever.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Pid, Signal, WaitOptions};

use crate::process::Process;

/// Most bytes taken of what a program prints.
const OUTPUT_MAX: u64 = 256 * 1024;
/// How long a killed process may take to end.
const KILL_WAIT_MAX: Duration = Duration::from_secs(2);

/// How it ended.
#[derive(Debug)]
pub struct Ended {
    /// It ended by itself, in time, with 0.
    pub success: bool,
    /// False: it was still running after the given time and was killed.
    pub in_time: bool,
    /// What it printed, bounded by who ran it.
    pub output: Vec<u8>,
}

/// Runs `program` in `/`, with `input` on standard input; the output is both streams, at most 256 KiB.
///
/// It is the first of a process group; when it does not end within `wait` the group is killed. Errors: not started, or
/// killed and still there 2 s later; then it is left alone.
pub fn run(program: &Path, arguments: &[&str], input: &[u8], wait: Duration) -> io::Result<Ended> {
    // Memory files instead of pipes: a daemon that keeps one open cannot make us wait.
    let memory = |name| memfd_create(name, MemfdFlags::CLOEXEC).map(File::from);
    let (mut given, mut printed) = (memory("given")?, memory("printed")?);
    given.write_all(input)?;
    given.rewind()?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::from(given))
        .stdout(Stdio::from(printed.try_clone()?))
        .stderr(Stdio::from(printed.try_clone()?))
        .spawn()?;
    let pid = Pid::from_child(&child);
    // The pid is ours until it is reaped; who cannot be held has ended.
    let in_time = Process::open(child.id()).map_or(true, |process| process.wait_end(wait));
    if !in_time {
        let _ = rustix::process::kill_process_group(pid, Signal::KILL);
    }
    let success = reap(pid)?;
    let mut output = Vec::new();
    printed.rewind()?;
    printed.take(OUTPUT_MAX).read_to_end(&mut output)?;
    Ok(Ended { success: in_time && success, in_time, output })
}

/// Kills a child that is still there and takes its status, without waiting for one that somebody else holds on to.
pub(crate) fn reap(child: Pid) -> io::Result<bool> {
    let _ = rustix::process::kill_process(child, Signal::KILL);
    let step = Duration::from_millis(10);
    for _ in 0..KILL_WAIT_MAX.as_millis() / step.as_millis() {
        if let Some((_, status)) = rustix::process::waitpid(Some(child), WaitOptions::NOHANG)? {
            return Ok(status.exit_status() == Some(0));
        }
        std::thread::sleep(step);
    }
    let pid = child.as_raw_nonzero();
    Err(io::Error::other(format!(
        "process {pid} was killed and did not go; another process traces it, or it waits for a disk"
    )))
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(200);

    fn shell(script: &str, input: &str, wait: Duration) -> io::Result<Ended> {
        run(Path::new("/bin/sh"), &["-c", script], input.as_bytes(), wait)
    }

    #[test]
    fn it_reads_its_input_has_none_of_our_environment_and_prints_within_bounds() {
        let ended = shell("cat; echo err >&2; env; pwd", "in\n", LONG).unwrap();
        let text = String::from_utf8(ended.output).unwrap();
        assert!(ended.success && ended.in_time && text.starts_with("in\nerr\n"), "{text}");
        assert!(text.contains("LC_ALL=C\n") && text.ends_with("\n/\n"), "{text}");
        assert!(!text.contains("CARGO"), "{text}");
        let ended = shell("exit 3", "", LONG).unwrap();
        assert!(!ended.success && ended.in_time);
        assert_eq!(run(Path::new("/no/such"), &[], b"", LONG).unwrap_err().kind(), io::ErrorKind::NotFound);
        let much = shell("head -c 300000 /dev/zero", "", LONG).unwrap();
        assert_eq!(much.output.len() as u64, OUTPUT_MAX);
    }

    #[test]
    fn what_hangs_is_killed_with_all_that_it_started_and_its_twin_leaves_a_child() {
        let script = "sleep 60 & echo $!; wait";
        let pid = |output: &[u8]| String::from_utf8_lossy(output).trim().parse::<u32>().unwrap();
        let ended = shell(script, "", SHORT).unwrap();
        assert!(!ended.in_time && !ended.success);
        if let Ok(child) = Process::open(pid(&ended.output)) {
            assert!(child.wait_end(LONG), "its child lives");
        }
        // The naive twin kills the child alone.
        let mut twin = Command::new("/bin/sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut output = [0; 16];
        let length = twin.stdout.take().unwrap().read(&mut output).unwrap();
        twin.kill().and_then(|()| twin.wait()).unwrap();
        let left = Process::open(pid(&output[..length])).expect("the twin leaves a child");
        left.kill().unwrap();
    }

    #[test]
    fn a_killed_program_that_does_not_go_is_an_error_where_the_naive_twin_waits_for_ever() {
        let python = Path::new("/usr/bin/python3");
        if !python.exists() || !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: a process that holds on to another needs root and Python");
            return;
        }
        // A zombie whose tracer does not wait for it cannot be reaped. The tracer is no child of the group.
        let script = "import ctypes, os, time\nus = os.getpid()\nr, w = os.pipe()\nif os.fork() == 0:\n os.setsid()\n \
                      ctypes.CDLL(None).ptrace(0x4206, us, 0, 0)\n print(os.getpid(), flush=True)\n os.close(r)\n \
                      os.write(w, b'x')\n time.sleep(60)\nos.read(r, 1)\nwhile True: time.sleep(60)\n";
        let folder = tempfile::tempdir().unwrap();
        let tracers = folder.path().join("tracers");
        let script = script
            .replace("print(os.getpid(), flush=True)", &format!("open({tracers:?}, 'w').write(str(os.getpid()))"));
        let free = || {
            let tracer = std::fs::read_to_string(&tracers).unwrap().parse().unwrap();
            Process::open(tracer).unwrap().kill().unwrap();
        };
        let why = run(python, &["-c", &script], b"", Duration::from_secs(3)).unwrap_err();
        assert!(why.to_string().contains("did not go"), "{why}");
        free();
        std::fs::remove_file(&tracers).unwrap();
        let mut twin = Command::new(python).args(["-c", &script]).spawn().unwrap();
        for _ in 0..10_000 {
            if std::fs::read_to_string(&tracers).is_ok_and(|text| !text.is_empty()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        let (tell, told) = channel();
        let waits = std::thread::spawn(move || {
            twin.kill().and_then(|()| twin.wait()).unwrap();
            let _ = tell.send(());
        });
        assert!(told.recv_timeout(Duration::from_secs(3)).is_err(), "the twin must wait for ever");
        free();
        waits.join().unwrap();
    }
}
