//! `hikeshi serve`: starts the roles, `act` first, and starts again what ends. Parses nothing itself.
//!
//! When it ends, the roles end; what is restricted stays restricted, because that lives in flag files, queues and
//! cgroups, not in a process.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::cli::Common;
use crate::exit::{Answer, CommandError, Exit};
use crate::role::Role;
use crate::role::rights::{Rights, Users};

/// Shortest and longest pause before a role that ended is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// A role that ran so long is healthy: its pause begins anew.
const HEALTHY: Duration = Duration::from_secs(60);
/// How often the core is asked whether it lives.
const ALIVE: Duration = Duration::from_secs(5);
/// How long a role may take to end.
const FAREWELL: Duration = Duration::from_secs(10);

/// Arguments of `serve`.
#[derive(clap::Args)]
pub struct ServeArgs {}

/// Runs until SIGTERM or SIGINT.
pub fn serve(common: &Common, _: ServeArgs) -> Answer {
    let config = crate::parts::load(&common.config)?;
    for folder in [&config.paths.run.0, &config.paths.state.0] {
        // Each role's sockets and files have their own bits; the folders only let through.
        make_folder(folder, 0o711)?;
        if rustix::process::geteuid().is_root() {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o711))?;
        }
    }
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
        signal_hook::flag::register(signal, stop.clone())?;
    }
    if rustix::process::geteuid().as_raw() != 0 {
        anstream::eprintln!("hikeshi: without root this only observes; `hikeshi status` says what cannot be seen");
    }
    let mut roles = Supervisor::new(&common.config, None, None)?;
    crate::role::start_log("serve");
    Rights::of_parent(&config, &Users::find(&config)).enter()?;
    roles.start_all()?;
    let mut told = false;
    let mut asked = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        roles.look_after()?;
        // Asked every five seconds, and until it answers first: the watchdog is fed by a core that decides.
        if (!told || asked.elapsed() >= ALIVE) && crate::cli::ask::ask(&config, &model::packet::ToCore::Status).is_ok()
        {
            asked = Instant::now();
            // Without systemd there is nobody to tell, which is fine.
            if !told {
                let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
            }
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
            told = true;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    roles.end_all();
    Ok(Exit::Ok)
}

/// Makes a folder with this mode; an existing one keeps its own.
pub fn make_folder(folder: &Path, mode: u32) -> Result<(), CommandError> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(mode).create(folder).map_err(|e| {
        CommandError::failure(format!("cannot make {}: {e}; set [paths] in the configuration", folder.display()))
    })
}

/// The roles as processes.
pub struct Supervisor {
    program: PathBuf,
    config: PathBuf,
    clock: Option<PathBuf>,
    hand: Option<i32>,
    log: Option<PathBuf>,
    running: Vec<Running>,
}

struct Running {
    role: Role,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
}

impl Supervisor {
    /// Roles of this same program with this configuration; `clock` and `hand` are those of a demo or story.
    pub fn new(config: &Path, clock: Option<PathBuf>, hand: Option<i32>) -> Result<Supervisor, CommandError> {
        // /proc/self/exe would be the new file after an upgrade; the path is what the operator installed.
        let program = std::env::current_exe()?;
        Ok(Supervisor { program, config: config.to_owned(), clock, hand, log: None, running: Vec::new() })
    }

    /// Sends what the roles log to this folder, one file each, instead of our standard error.
    pub fn log_to(mut self, folder: &Path) -> Supervisor {
        self.log = Some(folder.to_owned());
        self
    }

    /// Starts every role.
    pub fn start_all(&mut self) -> Result<(), CommandError> {
        // Without rights there is nothing to act with; a demo hands over what may be touched.
        let can_act = rustix::process::geteuid().is_root() || self.hand.is_some();
        for role in Role::ALL.into_iter().filter(|role| can_act || *role != Role::Act) {
            let child = Some(self.start(role)?);
            self.running.push(Running { role, child, started: Instant::now(), pause: BACKOFF.0 });
        }
        Ok(())
    }

    fn start(&self, role: Role) -> Result<Child, CommandError> {
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&self.config).arg("role").arg(role.name()).stdin(Stdio::null());
        if let Some(clock) = &self.clock {
            command.arg("--clock").arg(clock);
        }
        if let (Some(hand), Role::Act) = (self.hand, role) {
            command.arg("--hand").arg(hand.to_string());
        }
        if let Some(folder) = &self.log {
            let file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join(format!("{}.log", role.name())))?;
            command.stdout(Stdio::null()).stderr(file);
        }
        command.spawn().map_err(|e| CommandError::failure(format!("cannot start the role {}: {e}", role.name())))
    }

    /// Starts again what ended, after a pause that doubles each time.
    pub fn look_after(&mut self) -> Result<(), CommandError> {
        for at in 0..self.running.len() {
            let one = &mut self.running[at];
            if let Some(child) = &mut one.child
                && let Some(status) = child.try_wait()?
            {
                one.pause = match one.started.elapsed() >= HEALTHY {
                    true => BACKOFF.0,
                    false => (one.pause * 2).min(BACKOFF.1),
                };
                anstream::eprintln!(
                    "hikeshi: the role {} ended ({status}); started again in {:?}",
                    one.role.name(),
                    one.pause
                );
                one.child = None;
                one.started = Instant::now();
            }
            if one.child.is_none() && one.started.elapsed() >= one.pause {
                let role = one.role;
                let child = self.start(role)?;
                let one = &mut self.running[at];
                one.child = Some(child);
                one.started = Instant::now();
            }
        }
        Ok(())
    }

    /// Ends the roles, `core` first and `act` last.
    pub fn end_all(&mut self) {
        for one in self.running.iter_mut().rev() {
            let Some(child) = &mut one.child else { continue };
            if let Some(pid) = rustix::process::Pid::from_raw(child.id() as i32) {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
            }
            let began = Instant::now();
            while matches!(child.try_wait(), Ok(None)) && began.elapsed() < FAREWELL {
                std::thread::sleep(Duration::from_millis(10));
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        self.running.clear();
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        self.end_all();
    }
}
