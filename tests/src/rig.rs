//! Plays a story against the real binary: its core role as a process, with the other roles played here.
//!
//! The roles' sockets, the store on disk, the letters and the clock file are the real ones. With [`Kills::All`]
//! the core is killed (SIGKILL) after every input, after every answer and between every two beats; the lines
//! must be the same.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use model::packet::{FromAct, FromCore, FromSense, PassKey, ToAct, ToCore, ToDesk, ToSense};
use model::{
    AccountEntry, Contact, Event, Input, Intent, IntentId, Language, Moment, Order, Outcome, Owner, Role, Seen,
};
use store::Store;
use sys::socket::{Connection, Listener};

use crate::memory::mode;
use crate::render::{Names, lines};
use crate::story::{Said, Story};
use crate::world;

/// Longest wait for anything that a healthy core does at once.
const PATIENCE: Duration = Duration::from_secs(20);

/// When the core is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kills {
    /// Never.
    None,
    /// At every place where a story can be interrupted.
    All,
}

/// What the played roles heard since the core last started.
#[derive(Default)]
struct Heard {
    orders: BTreeSet<IntentId>,
    stored: BTreeSet<u64>,
    letters: BTreeMap<IntentId, (String, String)>,
}

type Writer = Arc<Mutex<Option<Connection>>>;

struct Rig<'a> {
    story: &'a Story,
    folder: tempfile::TempDir,
    program: PathBuf,
    core: Child,
    kills: Kills,
    heard: Arc<Mutex<Heard>>,
    act: Writer,
    sense: Writer,
    desk: Writer,
    batches: u64,
    seen: u64,
}

/// The binary that was built beside the running test.
pub fn program() -> PathBuf {
    let own = std::env::current_exe().expect("a running test has a file");
    let folder = own.parent().and_then(Path::parent).expect("target/PROFILE/deps/TEST");
    let program = folder.join("hikeshi");
    let built = "is not built; run ./test.sh, or `cargo build --workspace --all-targets` first";
    assert!(program.exists(), "{} {built}", program.display());
    program
}

/// The release binary for a bench, built anew if it is not of today's source: an old one speaks another protocol.
pub fn release_program() -> PathBuf {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "--release", "--workspace", "--bins"])
        .current_dir(workspace)
        .status();
    assert!(built.is_ok_and(|status| status.success()), "`cargo build --release` failed");
    program()
}

/// Plays it; the lines of each beat.
pub fn play(story: &Story, program: &Path, kills: Kills) -> Vec<Vec<String>> {
    let mut rig = Rig::start(story, program, kills);
    let mut names = Names::default();
    let mut answers = Vec::new();
    for beat in &story.beats {
        rig.tell_time(beat.at);
        rig.deliver(beat.at, beat.said.as_ref(), &names);
        rig.maybe_kill();
        rig.settle(beat.at);
        answers.push(lines(&mut names, &rig.news()));
        rig.maybe_kill();
    }
    rig.check_letters();
    answers
}

impl<'a> Rig<'a> {
    fn start(story: &'a Story, program: &Path, kills: Kills) -> Rig<'a> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path();
        for name in ["run", "state", "gate", "etc"] {
            std::fs::create_dir(root.join(name)).expect("a folder");
        }
        std::fs::write(root.join("etc/hikeshi.toml"), configuration(root, story)).expect("a file");
        let heard: Arc<Mutex<Heard>> = Arc::default();
        let act = role(&root.join("run/act.sock"), heard.clone(), |heard, order: ToAct, _| {
            if let ToAct::Do(order) = order {
                heard.orders.insert(order.intent);
            }
        });
        let desk = role(&root.join("run/desk.sock"), heard.clone(), |heard, order: ToDesk, _| match order {
            ToDesk::Send { intent, subject, text, .. } => {
                heard.orders.insert(intent);
                heard.letters.insert(intent, (subject, text));
            }
            ToDesk::Probe { intent, .. } | ToDesk::Page { intent, .. } => {
                heard.orders.insert(intent);
            }
        });
        let accounts = entries(story);
        let sense = role(&root.join("run/sense.sock"), heard.clone(), move |heard, order: ToSense, back| match order {
            ToSense::Begin => {
                for entry in &accounts {
                    let _ = back.send_value(&FromSense::Account { entry: entry.clone(), more: false });
                }
                let accounts = accounts.len() as u64;
                let _ = back.send_value(&FromSense::InventoryEnd { accounts, unclear: vec![] });
            }
            ToSense::Stored(batch) => {
                heard.stored.insert(batch);
            }
            ToSense::Look { intent, .. } => {
                heard.orders.insert(intent);
            }
            ToSense::Cursor(_)
            | ToSense::Baseline(_)
            | ToSense::Known(_)
            | ToSense::Frozen(_)
            | ToSense::Restricted(_) => {}
        });
        let core = spawn(program, root);
        let program = program.to_owned();
        let mut rig = Rig { story, folder, program, core, kills, heard, act, sense, desk, batches: 0, seen: 0 };
        rig.tell_time(story.beats[0].at);
        wait("the inventory", || rig.view().accounts().is_ok_and(|a| a.len() == story.accounts.len()));
        rig.seen = rig.view().last_seq().expect("a store that can be read");
        rig
    }

    fn view(&self) -> store::View {
        let path = self.folder.path().join("state/core/hikeshi.db");
        wait_for("the store", || Store::open_read_only(&path).ok())
    }

    fn tell_time(&self, now: Moment) {
        let file = self.folder.path().join("clock");
        let fresh = file.with_extension("new");
        std::fs::write(&fresh, format!("{} 0 0\n", now.0)).expect("the clock file");
        std::fs::rename(fresh, file).expect("the clock file");
    }

    fn maybe_kill(&mut self) {
        if self.kills == Kills::None {
            return;
        }
        self.core.kill().expect("the core can be killed");
        self.core.wait().expect("the core was ours");
        *self.heard.lock().expect("no panic holds this") = Heard { letters: self.letters(), ..Heard::default() };
        self.core = spawn(&self.program, self.folder.path());
    }

    fn letters(&self) -> BTreeMap<IntentId, (String, String)> {
        self.heard.lock().expect("no panic holds this").letters.clone()
    }

    fn ask(&self, asked: &ToCore) -> FromCore {
        let path = self.folder.path().join("run/core.sock");
        wait_for("an answer of the core", || {
            let connection = Connection::connect(&path).ok()?;
            connection.set_recv_timeout(Some(PATIENCE)).ok()?;
            connection.send_value(asked).ok()?;
            Some(connection.recv_value().ok()?.0)
        })
    }

    fn deliver(&mut self, now: Moment, said: Option<&Said>, names: &Names) {
        let Some(said) = said else { return };
        match said {
            Said::Signal { .. } => {
                self.batches += 1;
                let batch = self.batches;
                let findings = vec![world::finding(self.story, now, said)];
                let packet = FromSense::Batch { batch, findings, cursors: vec![], baselines: vec![] };
                send(&self.sense, &packet);
                let heard = self.heard.clone();
                wait("the batch to be stored", || heard.lock().expect("no panic holds this").stored.contains(&batch));
            }
            Said::Verdict { account, what } => {
                let waiting: Vec<IntentId> = self.outstanding();
                let mut intents = waiting.into_iter().map(|id| self.intent(id));
                let intent = intents.rfind(|i| world::concerns(i, account)).expect("a verification is under way");
                self.answer(&intent, world::verdict(what, now));
            }
            Said::Owner { account, text, .. } => {
                let Some(Input::Owner { quoted, what }) = world::spoken(said, names) else {
                    unreachable!("owners speak")
                };
                let pass =
                    matches!(what, Owner::Pass(_)).then(|| PassKey::Address("192.0.2.7".parse().expect("an address")));
                let text = (!text.is_empty()).then(|| text.clone());
                let account = account.parse().expect("a name");
                self.ask(&ToCore::Owner { account, quoted, what, text, pass });
            }
            Said::Operator { target, incident, .. } => {
                let Some(Input::Operator { by, what }) = world::spoken(said, names) else {
                    unreachable!("operators order")
                };
                let account = match target {
                    Some((account, _)) => account.parse().expect("a name"),
                    None => {
                        let number = names.number(*incident).expect("an incident of this story");
                        self.view().incident_account(number).expect("readable").expect("known").name
                    }
                };
                self.ask(&ToCore::Operator { account, by, what });
            }
        }
    }

    /// Orders that wait for an answer, as the core says.
    fn outstanding(&self) -> Vec<IntentId> {
        match self.ask(&ToCore::Settle) {
            FromCore::Done(ids) => ids.iter().map(|id| IntentId(id.parse().expect("a place in the log"))).collect(),
            other => panic!("the core does not settle: {other:?}"),
        }
    }

    fn intent(&self, id: IntentId) -> Intent {
        let page = self.view().event_range(id.0 - 1, 1).expect("a readable log");
        page[0].event.intent(id).expect("this event carries an order")
    }

    fn settle(&mut self, now: Moment) {
        let began = Instant::now();
        loop {
            assert!(began.elapsed() < PATIENCE * 3, "{}: the story does not settle", self.story.name);
            let waiting: Vec<Intent> = self.outstanding().into_iter().map(|id| self.intent(id)).collect();
            let answerable = |i: &&Intent| world::answer(self.story, &i.order, now).is_some();
            if !waiting.iter().any(|i| answerable(&i)) {
                return;
            }
            // Only what the core has really sent can be answered: letters wait until restrictions are settled.
            let sent = self.heard.lock().expect("no panic holds this").orders.clone();
            let Some(intent) = waiting.iter().filter(answerable).find(|i| sent.contains(&i.id)).cloned() else {
                continue;
            };
            let Some(seen) = world::answer(self.story, &intent.order, now) else { continue };
            self.answer(&intent, seen);
            self.maybe_kill();
        }
    }

    /// Answers one order once the core has really sent it, and waits until the answer is taken in.
    fn answer(&self, intent: &Intent, seen: Seen) {
        let heard = self.heard.clone();
        let id = intent.id;
        wait(&format!("order {id} {:?}", intent.order), || {
            heard.lock().expect("no panic holds this").orders.contains(&id)
        });
        let outcome = Outcome { intent: id, seen };
        match &intent.order {
            Order::Act(_) => {
                let packet = match outcome.seen {
                    Seen::Failed(why) => FromAct::Failed { intent: id, why },
                    _ => FromAct::Done { intent: id, what: "done".into() },
                };
                send(&self.act, &packet);
            }
            Order::Look(model::Look::Probe { .. }) | Order::Tell { .. } | Order::Page { .. } => {
                send(&self.desk, &outcome)
            }
            Order::Look(_) => send(&self.sense, &FromSense::Looked { outcome, capture: None }),
        }
        wait(&format!("the answer to {id}"), || !self.outstanding().contains(&id));
    }

    /// What happened since the last time it was asked.
    fn news(&mut self) -> Vec<Event> {
        let page = self.view().event_range(self.seen, 10_000).expect("a readable log");
        self.seen = page.last().map_or(self.seen, |s| s.seq);
        page.into_iter().map(|s| s.event).collect()
    }

    /// Every letter that left carries the number of its own incident, in its subject and at its end.
    fn check_letters(&self) {
        for (id, (subject, text)) in self.letters() {
            let Order::Tell { notice, .. } = self.intent(id).order else { panic!("a letter without a notice") };
            let number = notice.incident.to_string();
            assert!(subject.ends_with(&number), "{}: {subject}", self.story.name);
            assert!(text.contains(&number), "{}: {text}", self.story.name);
        }
    }
}

impl Drop for Rig<'_> {
    fn drop(&mut self) {
        let _ = self.core.kill();
        let _ = self.core.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.folder.path().join("core.log")).unwrap_or_default();
            eprintln!("--- log of the core\n{}", log.lines().rev().take(40).collect::<Vec<_>>().join("\n"));
        }
    }
}

/// Listens as a role and hands what it hears on; the latest connection is the one that is answered.
fn role<T>(path: &Path, heard: Arc<Mutex<Heard>>, take: impl Fn(&mut Heard, T, &Connection) + Send + 'static) -> Writer
where
    T: serde::de::DeserializeOwned + 'static,
{
    let listener = Listener::bind(path, 0o600).expect("a socket in our own folder");
    let writer: Writer = Arc::default();
    let current = writer.clone();
    std::thread::spawn(move || {
        while let Ok(connection) = listener.accept() {
            *current.lock().expect("no panic holds this") = connection.try_clone().ok();
            while let Ok((packet, _)) = connection.recv_value::<T>() {
                take(&mut heard.lock().expect("no panic holds this"), packet, &connection);
            }
        }
    });
    writer
}

/// Sends on the connection of the running core.
fn send<T: serde::Serialize>(writer: &Writer, packet: &T) {
    wait("the core's line", || {
        let line = writer.lock().expect("no panic holds this");
        line.as_ref().is_some_and(|c| c.send_value(packet).is_ok())
    });
}

fn spawn(program: &Path, root: &Path) -> Child {
    let log = std::fs::OpenOptions::new().create(true).append(true).open(root.join("core.log")).expect("a log file");
    Command::new(program)
        .arg("--config")
        .arg(root.join("etc/hikeshi.toml"))
        .args(["role", "core", "--clock"])
        .arg(root.join("clock"))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the binary under test can be started")
}

fn configuration(root: &Path, story: &Story) -> String {
    let root = root.display();
    let mode = format!("{:?}", mode(story)).to_lowercase();
    format!(
        "mode = \"{mode}\"\n\
         [release]\nstage_minutes = 10\n\
         [notice]\noperator_mail = \"ops@host.example\"\n\
         [paths]\nstate = \"{root}/state\"\nrun = \"{root}/run\"\ngate = \"{root}/gate\"\n\
         quarantine = [\"{root}/quarantine\"]\n"
    )
}

fn entries(story: &Story) -> Vec<AccountEntry> {
    let entry = |(name, sites): &(String, Vec<String>)| AccountEntry {
        account: world::account(story, name),
        home: format!("/home/{name}"),
        sites: world::sites(sites),
        contacts: vec![Contact {
            address: format!("owner@{name}-contact.example"),
            role: Role::Owner,
            language: Language::Ja,
            name: String::new(),
        }],
        time_zone: "Asia/Tokyo".into(),
    };
    story.accounts.iter().map(entry).collect()
}

fn wait(what: &str, done: impl Fn() -> bool) {
    wait_for(what, || done().then_some(()));
}

/// Polls until there is an answer; a story never sleeps for a fixed time.
fn wait_for<T>(what: &str, done: impl Fn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = done() {
            return answer;
        }
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
