//! `hikeshi demo`: the whole story on this machine, with real processes, files, HTTP and mail, and no root.
//!
//! The roles are the real ones; what is played is the world around them: a web server, a mail server, a mailbox,
//! three accounts, an intruder's programs (which do no harm), an owner. The clock runs faster, and says so. The
//! command ends with 0 only when every step really happened.

mod mta;
mod scene;
pub mod tenant;
mod web;

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use desk::sink::Sink;
use engine::{Account, State};
use model::packet::{FromCore, ToCore};
use model::{Fact, Hash, Language, Measure, Moment, NoticeKind, Number, Owner};
use owo_colors::OwoColorize;
use store::{Store, View};
use sys::socket::Connection;

use crate::cli::{ask, print};
use crate::clock::{Clock, Pace, system_now};
use crate::config::Config;
use crate::exit::{Answer, CommandError, Exit};
use crate::role::serve::Supervisor;
use scene::{BLOG, HIJACKED, Scene};

/// Story minutes that pass in a real second, twice over: one real second is two minutes.
const FACTOR: i64 = 120;
/// Longest real wait for any step.
const PATIENCE: Duration = Duration::from_secs(40);

/// Arguments of `demo`.
#[derive(clap::Args)]
pub struct DemoArgs {
    /// Leave everything running at the end, to look around (Ctrl-C ends it)
    #[arg(long)]
    keep: bool,
}

/// Plays the story.
pub fn demo(args: DemoArgs) -> Answer {
    if rustix::process::geteuid().is_root() {
        return without_root(&args);
    }
    let folder = tempfile::Builder::new().prefix("hikeshi-demo-").tempdir()?;
    let mut play = Play::begin(folder.path())?;
    play.run()?;
    if args.keep {
        play.keep()?;
    }
    Ok(Exit::Ok)
}

/// The demo never runs as root: root starts a copy of this program under a uid that nobody has.
fn without_root(args: &DemoArgs) -> Answer {
    use std::os::unix::fs::{PermissionsExt, chown};
    use std::os::unix::process::CommandExt;
    /// Above what Debian's adduser gives and below what systemd takes for itself.
    const STRANGER: u32 = 61_001;
    let folder = tempfile::Builder::new().prefix("hikeshi-demo-").tempdir()?;
    let copy = folder.path().join("hikeshi");
    std::fs::copy(std::env::current_exe()?, &copy)?;
    std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o755))?;
    for path in [folder.path(), &copy] {
        chown(path, Some(STRANGER), Some(STRANGER))?;
    }
    anstream::println!(
        "{}",
        "Started as root: the demo runs under uid 61001 instead, because it needs no rights.".dimmed()
    );
    let mut command = Command::new(&copy);
    command.arg("demo").uid(STRANGER).gid(STRANGER).current_dir(folder.path()).env("TMPDIR", folder.path());
    if args.keep {
        command.arg("--keep");
    }
    let ended = command.status()?;
    match ended.success() {
        true => Ok(Exit::Ok),
        false => Err(CommandError::failure("the demo did not end well; see above")),
    }
}

/// The play under way.
struct Play {
    scene: Scene,
    config: Config,
    clock: Clock,
    roles: Supervisor,
    hand: Connection,
    /// The other end, open for an `act` that is started again.
    _theirs: Connection,
    mailbox: Sink,
    mail: Arc<mta::Counts>,
    mail_port: u16,
    programs: Vec<Child>,
    probes: Arc<Probes>,
    stop: Arc<AtomicBool>,
    /// Whether the script that sends mail is still there; the owner removes it with the rest.
    script: Arc<AtomicBool>,
    seen: u64,
    letters: usize,
}

/// Requests to all sites all the time, as visitors make them.
#[derive(Default)]
struct Probes {
    good: AtomicU64,
    lost: AtomicU64,
}

impl Play {
    fn begin(root: &Path) -> Result<Play, CommandError> {
        let mailbox = Sink::open()?;
        let (scene, listener) = Scene::set(root, mailbox.address())?;
        std::fs::write(root.join("etc/passwd"), "")?;
        let clock_file = scene.clock();
        Pace { story: at("2026-02-07T13:26:00+09:00"), real: system_now(), factor: FACTOR }.write(&clock_file)?;
        let clock = Clock::File(clock_file.clone());
        web::serve(listener, web::Sites { gate: root.join("gate"), names: Scene::sites() })?;
        let (mail_port, mail) = mta::serve(&scene.mail_log(), scene.hold_file(), clock.clone())?;
        let config = crate::parts::load(&scene.config())?;
        let (hand, theirs) = Connection::pair()?;
        theirs.keep_on_exec()?;
        let number = std::os::fd::AsRawFd::as_raw_fd(&theirs.as_fd());
        let mut roles = Supervisor::new(&scene.config(), Some(clock_file), Some(number))?.log_to(&root.join("log"));
        roles.start_all()?;
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [signal_hook::consts::SIGTERM, signal_hook::consts::SIGINT] {
            signal_hook::flag::register(signal, stop.clone())?;
        }
        let play = Play {
            scene,
            config,
            clock,
            roles,
            hand,
            _theirs: theirs,
            mailbox,
            mail,
            mail_port,
            programs: Vec::new(),
            probes: Arc::default(),
            stop,
            script: Arc::default(),
            seen: 0,
            letters: 0,
        };
        play.intro();
        Ok(play)
    }

    fn intro(&self) {
        anstream::println!(
            "{}\n  folder {}   sites http://{}/ (Host: {BLOG}, …)\n  one real second is {} minutes of the story; three accounts; real processes, files, HTTP and mail\n",
            "Hikeshi demo".bold(),
            self.scene.root.display(),
            self.scene.web,
            FACTOR / 60
        );
    }

    fn run(&mut self) -> Result<(), CommandError> {
        self.wait("the roles to know the accounts", |play| {
            play.view().is_some_and(|v| v.accounts().is_ok_and(|a| a.len() == scene::ACCOUNTS.len()))
        })?;
        self.watch_sites();
        let lookalikes = self.start_lookalikes()?;

        self.chapter("Saturday 7 February: a first incident, repaired and released");
        self.plant("httpd", "idle")?;
        let first = self.wait_for("the first incident to be contained", |play| {
            let account = play.account()?;
            let incident = account.open_incidents().next()?;
            (incident.state() == State::AwaitingOwner).then_some(incident.number)
        })?;
        self.letter("the notice", 1)?;
        self.clean()?;
        self.say(first, Owner::Done, None)?;
        self.wait_closed(first)?;
        self.letter("the release", 2)?;

        self.jump(at("2026-03-21T11:46:00+09:00"))?;
        self.chapter("Saturday 21 March: hijacked again; another hole, a guard, mass mail");
        self.plant_with_guard()?;
        let second = self.wait_for("program, mail and site to be contained", |play| {
            let account = play.account()?;
            let incident = account.open_incidents().next()?;
            let held = |m: &dyn Fn(&Measure) -> bool| {
                incident
                    .restrictions
                    .iter()
                    .any(|g| matches!(g.status, engine::Status::Imposed(_)) && m(&g.restriction.measure))
            };
            let all = held(&|m| matches!(m, Measure::FreezeProcess { .. }))
                && held(&|m| matches!(m, Measure::HoldMail { .. }))
                && held(&|m| matches!(m, Measure::CloseSite { .. }));
            // A sweep may see the program before its guard has started it again.
            let still = play.programs[play.programs.len() - 2..].iter().all(|child| is_stopped(child.id()));
            (all && still && incident.state() == State::AwaitingOwner).then_some(incident.number)
        })?;
        self.check_contained(first, second)?;
        self.show_letter_in_english(second)?;

        self.chapter("The owner asks, quoting the February number; the answer is about the March one");
        self.say(first, Owner::Question(Hash::of(QUESTION.as_bytes())), Some(QUESTION))?;
        self.check_answer(first, second)?;

        self.chapter("The owner removes the planted files and says: done. It is the weekend; the check runs at once");
        self.clean()?;
        self.say(second, Owner::Done, None)?;
        self.wait_closed(second)?;
        self.check_released(second, &lookalikes)?;
        Ok(())
    }

    // --- the world

    /// Visitors: every site ten times a second; only what is closed may answer otherwise.
    fn watch_sites(&self) {
        let (probes, stop, web, root) =
            (self.probes.clone(), self.stop.clone(), self.scene.web, self.scene.root.join("gate"));
        std::thread::spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                for site in Scene::sites() {
                    let closed = root.join("nginx").join(&site).exists();
                    let answer = desk::probe::ask(&site, "/", &model::ProbeTarget { address: web, tls: false });
                    let good = matches!(answer, desk::probe::Answer::Page { status: 200, .. });
                    if good {
                        probes.good.fetch_add(1, Ordering::Relaxed);
                    } else if !closed && !root.join("nginx").join(&site).exists() && site != BLOG {
                        probes.lost.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    }

    /// Harmless programs and mail that other tools alarm about: they must be left alone.
    fn start_lookalikes(&mut self) -> Result<Vec<u32>, CommandError> {
        let backup = Command::new("/bin/sh")
            .args(["-c", "while :; do sleep 1; done"])
            .current_dir(self.scene.home("sakura"))
            .stdin(std::process::Stdio::null())
            .spawn()?;
        let pid = backup.id();
        self.programs.push(backup);
        let mut mta = std::net::TcpStream::connect(("127.0.0.1", self.mail_port))?;
        for n in 0..12 {
            let line = format!("{} news@kaede.example.jp reader{n}@mail.example.jp newsletter.php\n", scene::uid(2));
            std::io::Write::write_all(&mut mta, line.as_bytes())?;
        }
        Ok(vec![pid])
    }

    /// Puts a program where an intruder would, and starts it under a daemon's name.
    fn plant(&mut self, name: &str, part: &str) -> Result<PathBuf, CommandError> {
        let folder = self.scene.hideout();
        std::fs::create_dir_all(&folder)?;
        let program = folder.join("kw");
        std::fs::copy(std::env::current_exe()?, &program)?;
        let child = tenant::start(&program, name, part, None)?;
        self.hand_over(&child)?;
        self.programs.push(child);
        Ok(program)
    }

    fn plant_with_guard(&mut self) -> Result<(), CommandError> {
        self.send_through_php();
        self.wait("the first hundred messages", |play| play.mail.sent.load(Ordering::Relaxed) > 100)?;
        let program = self.plant("[kworker/u8:2]", "idle")?;
        let guard = program.with_file_name("gd");
        std::fs::copy(&program, &guard)?;
        let child = tenant::start(&guard, "sshd", &format!("guard:{}:[kworker/u8:3]", program.display()), None)?;
        self.hand_over(&child)?;
        self.programs.push(child);
        Ok(())
    }

    /// A page of the site sends mail by itself, as an exploited plugin does: to strangers, most of them abroad.
    fn send_through_php(&self) {
        let (port, script) = (self.mail_port, self.script.clone());
        script.store(true, Ordering::Relaxed);
        std::thread::spawn(move || {
            let Ok(mut mta) = std::net::TcpStream::connect(("127.0.0.1", port)) else { return };
            let abroad = ["ru", "br", "de", "pl", "vn"];
            for n in 0..1500 {
                let country = if n % 25 == 0 { "jp" } else { abroad[n % abroad.len()] };
                let line = format!("{} web{n}@{BLOG} u{n}@mx{}.example.{country} x.php\n", scene::uid(0), n % 97);
                if !script.load(Ordering::Relaxed) || std::io::Write::write_all(&mut mta, line.as_bytes()).is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
        });
    }

    /// `act` may touch only what it is handed: a descriptor of this very process.
    fn hand_over(&self, child: &Child) -> Result<(), CommandError> {
        let pid = rustix::process::Pid::from_child(child);
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty())?;
        self.hand.send_with_fds(b"pidfd", &[pidfd.as_fd()])?;
        Ok(())
    }

    /// What the owner does: removes the planted files.
    fn clean(&mut self) -> Result<(), CommandError> {
        std::fs::remove_dir_all(self.scene.hideout())?;
        self.script.store(false, Ordering::Relaxed);
        self.line("world", "the owner removes wp-content/uploads/2026/.t and x.php by FTP");
        Ok(())
    }

    fn say(&mut self, quoted: Number, what: Owner, text: Option<&str>) -> Result<(), CommandError> {
        let said = text.map_or("done".to_owned(), |t| format!("«{t}» (quotes {quoted})"));
        self.line("world", &format!("the owner writes: {said}"));
        let account = HIJACKED.parse().expect("a name");
        let asked = ToCore::Owner { account, quoted: Some(quoted), what, text: text.map(str::to_owned), pass: None };
        match ask::ask(&self.config, &asked)? {
            FromCore::Done(_) => Ok(()),
            other => Err(CommandError::failure(format!("the core answered {other:?}"))),
        }
    }

    /// The story's clock jumps; what is scaled stays scaled.
    fn jump(&mut self, to: Moment) -> Result<(), CommandError> {
        self.line("clock", "six weeks pass");
        Pace { story: to, real: system_now(), factor: FACTOR }.write(&self.scene.clock())?;
        Ok(())
    }

    // --- what must have happened

    fn wait_closed(&mut self, number: Number) -> Result<(), CommandError> {
        self.wait("the release", |play| {
            play.account().and_then(|a| Some(a.incident(number)?.state() == State::Closed)).unwrap_or(false)
        })
    }

    /// The next letter that arrived, checked for its number.
    fn letter(&mut self, what: &str, least: usize) -> Result<String, CommandError> {
        self.wait(what, |play| play.mailbox.mails().iter().filter(|m| is_to_owner(m)).count() >= least)?;
        let mails: Vec<_> = self.mailbox.mails().into_iter().filter(is_to_owner).collect();
        let mail = &mails[least - 1];
        let text = mail.text();
        self.letters = self.letters.max(least);
        let subject = mail.header("subject").unwrap_or_default();
        self.line("mailbox", &subject);
        Ok(text)
    }

    fn check_contained(&mut self, first: Number, second: Number) -> Result<(), CommandError> {
        let ask = |site: &str| desk::probe::ask(site, "/", &model::ProbeTarget { address: self.scene.web, tls: false });
        let closed = ask(BLOG);
        let desk::probe::Answer::Page { status: 403, number: Some(shown) } = closed else {
            return Err(CommandError::failure(format!("{BLOG} answers {closed:?}, not our 403 page")));
        };
        must(shown == second, "the 403 page shows the open incident's number")?;
        must(shown != first, "the two incidents have two numbers")?;
        for site in Scene::sites().iter().filter(|s| *s != BLOG) {
            must(matches!(ask(site), desk::probe::Answer::Page { status: 200, .. }), &format!("{site} stays open"))?;
        }
        let before = self.mail.sent.load(Ordering::Relaxed);
        self.line("world", &format!("403 with {second}: curl -H 'Host: {BLOG}' http://{}/", self.scene.web));
        self.line(
            "world",
            &format!(
                "{before} messages had left, {} are held; all other sites answer 200",
                self.mail.held.load(Ordering::Relaxed)
            ),
        );
        for child in &self.programs[self.programs.len() - 2..] {
            must(is_stopped(child.id()), "program and guard still stand still")?;
        }
        Ok(())
    }

    fn show_letter_in_english(&mut self, second: Number) -> Result<(), CommandError> {
        let count = self.mailbox.mails().iter().filter(|m| is_to_owner(m)).count();
        let japanese = self.letter("the notice of March", count.max(3))?;
        must(japanese.contains(&second.to_string()), "the notice carries its incident's number")?;
        let account = self.account().ok_or_else(|| CommandError::failure("the account is not known"))?;
        let incident = account.incident(second).ok_or_else(|| CommandError::failure("the incident is not known"))?;
        let told = incident.notices.iter().rev().find(|n| !matches!(n.kind, NoticeKind::Answer { .. }));
        let notice = told.ok_or_else(|| CommandError::failure("no notice was ordered"))?.id;
        let view = self.view().ok_or_else(|| CommandError::failure("the store cannot be read"))?;
        let now = self.clock.now();
        let english = crate::core::letters::render_in(&view, &self.config, &account, notice, now, Language::En)
            .map_err(|e| CommandError::failure(e.to_string()))?
            .ok_or_else(|| CommandError::failure("the notice is not known"))?;
        boxed("The notice as the owner got it", &japanese);
        boxed(&format!("The same in English: {}", english.subject), &english.text);
        Ok(())
    }

    fn check_answer(&mut self, first: Number, second: Number) -> Result<(), CommandError> {
        let count = self.mailbox.mails().iter().filter(|m| is_to_owner(m)).count();
        let answered = self.wait_for("the answer", |play| {
            let mails: Vec<_> = play.mailbox.mails().into_iter().filter(is_to_owner).collect();
            let found = mails
                .iter()
                .skip(count.saturating_sub(1))
                .find(|m| m.header("subject").is_some_and(|s| s.contains("ご質問")));
            found.map(|m| (m.header("subject").unwrap_or_default(), m.text()))
        })?;
        let (subject, text) = answered;
        self.line("mailbox", &subject);
        must(subject.contains(&second.to_string()), "the answer carries the open incident's number")?;
        must(!subject.contains(&first.to_string()), "the answer is not about the closed one")?;
        must(text.contains(&first.to_string()), "it says that the quoted one is closed")?;
        boxed(&format!("The answer: {subject}"), &text);
        Ok(())
    }

    fn check_released(&mut self, second: Number, lookalikes: &[u32]) -> Result<(), CommandError> {
        let released = self.wait_for("the letter of release", |play| {
            let mails: Vec<_> = play.mailbox.mails().into_iter().filter(is_to_owner).collect();
            let last = mails.last()?;
            let subject = last.header("subject")?;
            (subject.contains("解除しました") && subject.contains(&second.to_string()))
                .then(|| (subject.clone(), last.text()))
        })?;
        self.line("mailbox", &released.0);
        boxed(&released.0, &released.1);
        let answer = desk::probe::ask(BLOG, "/", &model::ProbeTarget { address: self.scene.web, tls: false });
        must(matches!(answer, desk::probe::Answer::Page { status: 200, .. }), "the blog answers everybody again")?;
        for pid in lookalikes {
            must(
                Path::new(&format!("/proc/{pid}/exe")).exists() && !is_stopped(*pid),
                "the harmless program was left alone",
            )?;
        }
        let view = self.view().ok_or_else(|| CommandError::failure("the store cannot be read"))?;
        let known = view.accounts().map_err(|e| CommandError::failure(e.to_string()))?;
        must(
            known.iter().map(|k| k.entry.sites.len()).sum::<usize>() == Scene::sites().len(),
            "every site has its owner",
        )?;
        let incidents = view.incidents(100).map_err(|e| CommandError::failure(e.to_string()))?;
        must(
            incidents.len() == 2 && incidents.iter().all(|i| i.account.name.as_str() == HIJACKED),
            "nobody else was accused",
        )?;
        must(self.probes.lost.load(Ordering::Relaxed) == 0, "no visitor of another site was turned away")?;
        anstream::println!(
            "\n{} {} requests to open sites answered, none lost. Two incidents, two numbers; every step happened.",
            "Done.".green().bold(),
            self.probes.good.load(Ordering::Relaxed)
        );
        Ok(())
    }

    // --- telling it

    fn chapter(&mut self, title: &str) {
        self.news();
        anstream::println!("\n{}", title.bold().underline());
    }

    fn line(&mut self, who: &str, what: &str) {
        self.news();
        anstream::println!("{}  {:<9} {what}", self.time(self.clock.now()).dimmed(), who.magenta().bold());
    }

    /// What was decided since the last time, line by line.
    fn news(&mut self) {
        let Some(view) = self.view() else { return };
        let Ok(page) = view.event_range(self.seen, 1000) else { return };
        for stored in page {
            self.seen = stored.seq;
            if matches!(stored.event.fact, Fact::SitesSeen { .. } | Fact::OutcomeStale { .. }) {
                continue;
            }
            let line = print::event_line(&stored.event);
            anstream::println!("{}  {}", self.time(stored.event.at).dimmed(), print::coloured(&line));
        }
    }

    fn time(&self, moment: Moment) -> String {
        desk::words::time::Clock::new("Asia/Tokyo", Language::En).fence(moment).chars().take(19).collect()
    }

    fn view(&self) -> Option<View> {
        Store::open_read_only(self.config.store()).ok()
    }

    fn account(&self) -> Option<Account> {
        let view = self.view()?;
        let entry = view.account(&HIJACKED.parse().expect("a name")).ok()??.entry;
        crate::core::fold(&view, &entry.account).ok()
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Play) -> bool) -> Result<(), CommandError> {
        self.wait_for(what, |play| done(play).then_some(()))
    }

    fn wait_for<T>(&mut self, what: &str, done: impl Fn(&Play) -> Option<T>) -> Result<T, CommandError> {
        let began = Instant::now();
        loop {
            self.roles.look_after()?;
            self.news();
            if let Some(answer) = done(self) {
                return Ok(answer);
            }
            if self.stop.load(Ordering::Relaxed) {
                return Err(CommandError { code: 130, message: "interrupted".into() });
            }
            if began.elapsed() > PATIENCE {
                let logs = ["core", "sense", "act", "desk"].map(|r| self.scene.root.join(format!("log/{r}.log")));
                let tails: BTreeMap<_, _> = logs.iter().map(|p| (p.display().to_string(), tail(p))).collect();
                return Err(CommandError::failure(format!("waited in vain for {what}\n{tails:#?}")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Leaves it running until Ctrl-C.
    fn keep(&mut self) -> Result<(), CommandError> {
        let config = self.scene.config();
        anstream::println!(
            "\nStill running. Look around, for instance:\n  hikeshi --config {c} status\n  hikeshi --config {c} incident list --all\n  Ctrl-C ends it.",
            c = config.display()
        );
        while !self.stop.load(Ordering::Relaxed) {
            self.roles.look_after()?;
            self.news();
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }
}

impl Drop for Play {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.script.store(false, Ordering::Relaxed);
        self.roles.end_all();
        // The guard's own children are in its process group.
        for child in &mut self.programs {
            let pid = rustix::process::Pid::from_child(child);
            let _ = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the owner asks; he does not know that February is over.
const QUESTION: &str = "サイトが403になっています。2月の件は解決したはずですが、なぜですか?";

fn at(text: &str) -> Moment {
    Moment::parse(text).expect("a time of ours")
}

fn is_to_owner(mail: &desk::sink::Mail) -> bool {
    mail.to.iter().any(|to| to.contains("owner@hinata-contact"))
}

fn must(held: bool, what: &str) -> Result<(), CommandError> {
    match held {
        true => Ok(()),
        false => Err(CommandError::failure(format!("this did not hold: {what}"))),
    }
}

/// Whether a process stands still (proc(5): state T).
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('T'))
}

fn tail(path: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.iter().rev().take(8).rev().map(|l| l.to_string()).collect()
}

/// A letter in a frame that is not as wide as its lines, so that no terminal breaks them.
fn boxed(title: &str, text: &str) {
    anstream::println!("\n  {}", title.cyan().bold());
    for line in text.lines() {
        anstream::println!("  {} {line}", "│".cyan());
    }
    anstream::println!();
}
