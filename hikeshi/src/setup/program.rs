//! Runs the servers' own programs: fixed arguments, no shell, no inherited environment, an end after a minute.

use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use sense::inventory::files::Reader;
use sense::inventory::{ApacheSource, NginxSource, apache_sites};

use crate::config::Config;

/// Longest time that a configuration test may take; 10,000 virtual hosts need about ten seconds.
const TIME_MAX: Duration = Duration::from_secs(120);

/// What a program said.
pub struct Said {
    /// Whether it ended with 0.
    pub ok: bool,
    /// Its output and errors, at most 64 KiB.
    pub text: String,
}

/// Runs one program to its end.
pub fn run<S: AsRef<OsStr>>(program: &Path, args: &[S], env: &HashMap<Vec<u8>, Vec<u8>>) -> Said {
    let mut command = Command::new(program);
    command.args(args).env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LC_ALL", "C");
    for (name, value) in env {
        command.env(OsString::from_vec(name.clone()), OsString::from_vec(value.clone()));
    }
    let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) => return Said { ok: false, text: format!("{}: {e}", program.display()) },
    };
    // One thread a pipe, so that neither fills while we wait for the other.
    let pipes: [Option<Box<dyn Read + Send>>; 2] =
        [child.stdout.take().map(|p| Box::new(p) as _), child.stderr.take().map(|p| Box::new(p) as _)];
    let readers = pipes.map(|pipe| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(pipe) = pipe {
                let _ = pipe.take(65_536).read_to_end(&mut bytes);
            }
            bytes
        })
    });
    let begun = Instant::now();
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if begun.elapsed() < TIME_MAX => std::thread::sleep(Duration::from_millis(10)),
            _ => {
                let _ = child.kill();
                let _ = child.wait();
                break None;
            }
        }
    };
    let Some(status) = status else {
        return Said { ok: false, text: format!("{} did not end within {TIME_MAX:?}", program.display()) };
    };
    let mut bytes = Vec::new();
    // A daemon that keeps the pipe open (a first start by accident) must not keep us.
    for reader in readers.into_iter().filter(wait) {
        bytes.extend(reader.join().unwrap_or_default());
    }
    Said { ok: status.success(), text: String::from_utf8_lossy(&bytes).trim().to_owned() }
}

fn wait(reader: &std::thread::JoinHandle<Vec<u8>>) -> bool {
    let begun = Instant::now();
    while !reader.is_finished() && begun.elapsed() < Duration::from_secs(2) {
        std::thread::sleep(Duration::from_millis(5));
    }
    reader.is_finished()
}

/// `nginx -t -c FILE`.
pub fn nginx_test(config: &Config, source: &NginxSource) -> Said {
    let args = [OsStr::new("-t"), OsStr::new("-q"), OsStr::new("-c"), source.conf.as_os_str()];
    run(&config.web.nginx_program.0, &args, &HashMap::new())
}

/// `nginx -s reload -c FILE`.
pub fn nginx_reload(config: &Config, source: &NginxSource) -> Said {
    let args = [OsStr::new("-q"), OsStr::new("-c"), source.conf.as_os_str(), OsStr::new("-s"), OsStr::new("reload")];
    run(&config.web.nginx_program.0, &args, &HashMap::new())
}

/// `apache2 -t -f FILE`, with Debian's environment and the server's defines.
pub fn apache_test(config: &Config, source: &ApacheSource) -> Said {
    apache(config, source, &["-t"])
}

/// `apache2 -k graceful -f FILE`. Only for a server that runs: httpd takes this as an order to start one.
pub fn apache_reload(config: &Config, source: &ApacheSource) -> Said {
    apache(config, source, &["-k", "graceful"])
}

fn apache(config: &Config, source: &ApacheSource, order: &[&str]) -> Said {
    let mut args: Vec<OsString> = vec!["-f".into(), source.conf.clone().into()];
    for define in &source.defines {
        args.extend(["-D".into(), define.into()]);
    }
    args.extend(order.iter().map(OsString::from));
    run(&config.web.apache_program.0, &args, &apache_sites::environment(source, &mut Reader::default()))
}

/// Whether the process of a pid file runs. A dead daemon may stay as a zombie, which has no program any more.
pub fn runs(pid_file: Option<&Path>) -> bool {
    let pid = pid_file.and_then(|path| fs::read_to_string(path).ok()).and_then(|text| text.trim().parse::<u32>().ok());
    pid.is_some_and(|pid| fs::read_link(format!("/proc/{pid}/exe")).is_ok())
}
