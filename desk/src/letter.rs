//! Letters to an owner: what happened, what is stopped, what works, the next step.
//!
//! [`LetterContent`] holds every value that a letter may say; [`render`] writes it in one language. What is not known
//! is said to be unknown, what is not true is left out. The texts stand in the code, never in data: a value is
//! printed once and never read as a template.

mod answer;
mod blocks;
mod findings;
mod kinds;
mod page;
mod phrases;
pub mod wrap;

use model::{Checked, Delivery, Domain, Evidence, Kind, Language, Measure, Moment, Number, Strength};

use crate::why::Cause;
use crate::words::{SiteState, SiteVerdict};

/// Everything that a letter can say.
#[derive(Clone, Debug)]
pub struct LetterContent {
    /// The incident.
    pub number: Number,
    /// Which notice of this incident, from 1.
    pub ordinal: u16,
    /// When it is written.
    pub sent: Moment,
    /// The contact's language.
    pub language: Language,
    /// IANA name of the owner's time zone.
    pub zone: String,
    /// The owner's name; may be empty.
    pub owner: String,
    /// The hosting company, in the letter's language.
    pub host: String,
    /// Its desk, in the letter's language: `サポート窓口`, `the support desk`.
    pub desk: String,
    /// The account's home directory; paths below it are shown as FTP shows them.
    pub home: String,
    /// The account's sites; empty when they are not known.
    pub sites: Vec<SiteLine>,
    /// What the owner has besides sites and mail, and which we never restrict.
    pub tools: Vec<Tool>,
    /// Restrictions in force now, in the order of their numbers.
    pub restrictions: Vec<Limit>,
    /// What was found, most telling first.
    pub findings: Vec<FindingFacts>,
    /// When the (newest) finding was made.
    pub detected: Moment,
    /// Whether the owner had been warned before anything was stopped.
    pub warned: bool,
    /// Whether check and release cost nothing at this host.
    pub free: bool,
    /// Why logins are not known; `None` leaves the block out (high load says nothing about logins).
    pub logins: Option<Unseen>,
    /// Why the way in is not known; `None` leaves the block out.
    pub entry: Option<Unseen>,
    /// What the owner is asked to do, in order.
    pub tasks: Vec<Task>,
    /// The latest closed incident of this account that could be mistaken for this one.
    pub earlier: Option<Earlier>,
    /// Notices of this incident sent before, oldest first.
    pub sent_notices: Vec<SentNotice>,
    /// Who decided the restrictions.
    pub decided: Decided,
    /// The rules that carried the restrictions.
    pub rules: Vec<String>,
    /// The clause of the host's terms, as configured: `規約第12条`, `terms section 12`.
    pub terms: Option<String>,
    /// Where to turn after a review, as configured.
    pub redress: Option<String>,
    /// The owner's portal, as configured.
    pub portal: Option<String>,
    /// Until when a person answers a review.
    pub by_time: Option<Moment>,
    /// Whether replies are read by machine at any hour; else a person reads them first.
    pub replies_by_machine: bool,
    /// When the next check runs.
    pub next_check: NextCheck,
    /// Whether this letter goes to an address on the restricted account itself.
    pub address_on_account: bool,
    /// What this letter is about.
    pub about: About,
}

/// The kind of a letter with the facts that only it has (numbers of the list of texts in brackets).
#[derive(Clone, Debug)]
pub enum About {
    /// Something was stopped (1); there is at least one restriction.
    Restricted,
    /// Something more was stopped (2); which, is marked in the restrictions.
    Added,
    /// The answer to a question (4).
    Answer(Answer),
    /// What a check still found (5).
    CheckFailed(Verification),
    /// Everything was lifted (7).
    Released(Released),
    /// Trouble again after a release (8).
    Relapse(Earlier),
    /// Our mistake (9).
    FalseAlarm(Mistake),
}

/// One site of the account.
#[derive(Clone, Debug)]
pub struct SiteLine {
    /// Its name.
    pub domain: Domain,
    /// What visitors get.
    pub state: SiteState,
    /// What was found.
    pub verdict: SiteVerdict,
    /// What exactly, when something was.
    pub reason: Option<SiteReason>,
}

/// What was found on a site.
#[derive(Clone, Copy, Debug)]
pub enum SiteReason {
    /// Programs that run out of its folder.
    Programs(u32),
    /// A script of it sent mass mail.
    MailScript,
}

/// What an owner works with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    /// File transfer.
    Ftp,
    /// The host's panel.
    Panel,
    /// Backups.
    Backup,
}

/// One restriction in force.
#[derive(Clone, Debug)]
pub struct Limit {
    /// Its number within the incident.
    pub ordinal: u16,
    /// What is limited.
    pub measure: Measure,
    /// Since when.
    pub since: Moment,
    /// When it ends by itself, if it does.
    pub until: Option<Moment>,
    /// What lifts it.
    pub lift: LiftWhen,
    /// Whether this letter announces it.
    pub new: bool,
}

/// What lifts a restriction.
#[derive(Clone, Debug)]
pub enum LiftWhen {
    /// These tasks (numbers of the letter, from 1) are checked.
    Tasks(Vec<usize>),
    /// That restriction is lifted first.
    After(u16),
    /// A check finds nothing.
    NothingFound,
    /// A person decides.
    Staff,
}

/// One finding as the letter shows it.
#[derive(Clone, Debug)]
pub struct FindingFacts {
    /// The main mechanism.
    pub kind: Kind,
    /// Further mechanisms.
    pub also: Vec<Kind>,
    /// How much it says.
    pub strength: Strength,
    /// The site, when that is sure.
    pub site: Option<Domain>,
    /// Its facts.
    pub evidence: Evidence,
}

/// Why something is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unseen {
    /// The records exist, but nobody read them.
    NotRead,
    /// There are no records.
    NoLog,
    /// They may not be read.
    NoRights,
}

/// What the owner is asked to do.
#[derive(Clone, Debug)]
pub enum Task {
    /// Remove the program file of a stopped program; never a file of the system, such as an interpreter.
    RemoveFile {
        /// Absolute path.
        path: String,
    },
    /// Remove or repair the script that sent mail.
    RepairScript {
        /// Absolute path or base name.
        script: String,
    },
    /// Delete one line of the crontab.
    RemoveCronLine {
        /// Its text, printable.
        line: String,
    },
    /// New passwords (own word).
    Passwords,
    /// Update a component with a known weakness.
    Update {
        /// Its name.
        component: String,
        /// The version that has no such weakness, if known.
        version: Option<String>,
    },
    /// Remove a plugin that the owner does not know.
    UnknownPlugin {
        /// Its name.
        plugin: String,
        /// Its folder, absolute.
        path: String,
    },
}

/// A closed incident of the same account.
#[derive(Clone, Debug)]
pub struct Earlier {
    /// Its number.
    pub number: Number,
    /// When it began.
    pub opened: Moment,
    /// When its restrictions were lifted and it ended.
    pub closed: Moment,
    /// The check that carried the release: when, and what came out; `None` when a person lifted it unchecked.
    pub check: Option<(Moment, Vec<Checked>)>,
}

/// A notice that went out before.
#[derive(Clone, Debug)]
pub struct SentNotice {
    /// When.
    pub sent: Moment,
    /// Its subject.
    pub subject: String,
    /// To which addresses (they are masked here).
    pub to: Vec<String>,
    /// What became of it.
    pub delivery: Delivery,
}

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decided {
    /// The rules, by machine.
    Automatically,
    /// A person of the host.
    Staff,
}

/// When the next check runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextCheck {
    /// After the owner's reply.
    OnReply,
    /// At this time.
    At(Moment),
    /// Every day (watch).
    Daily,
    /// Not at all.
    None,
}

/// An answer, bound to its incident by machine.
#[derive(Clone, Debug)]
pub struct Answer {
    /// When the question came.
    pub received: Moment,
    /// What it is about.
    pub topic: Topic,
    /// What a look at the address showed, when the question named one and nothing of ours stands in the way.
    pub fails: Option<(String, Cause)>,
}

/// What a question is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// A site answers 403.
    Error403,
    /// Mail does not go out.
    Mail,
    /// Anything else: the state is told, and a person answers.
    Other,
}

impl Topic {
    /// Reads the topic from the words of a question. Unclear ones are [`Topic::Other`]: a wrong answer is worse
    /// than none.
    pub fn of(question: &str) -> Topic {
        let text = question.to_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
        let site = has(&[
            "403",
            "forbidden",
            "４０３",
            "アクセスでき",
            "表示されな",
            "表示されませ",
            "見られ",
            "開けな",
            "開けませ",
            "開きませ",
        ]);
        let mail = has(&["メール", "mail", "送信"]);
        match (site, mail) {
            (true, false) => Topic::Error403,
            (false, true) => Topic::Mail,
            // "Why 403? You may answer by mail" is about the 403.
            (true, true) if has(&["403", "４０３", "forbidden"]) => Topic::Error403,
            _ => Topic::Other,
        }
    }
}

/// A check and its lines.
#[derive(Clone, Debug)]
pub struct Verification {
    /// When it was made.
    pub at: Moment,
    /// What came out, each with the task (from 1) that would end it.
    pub facts: Vec<(Checked, Option<usize>)>,
}

/// A release.
#[derive(Clone, Debug)]
pub struct Released {
    /// When everything was lifted.
    pub lifted: Moment,
    /// The check that carried it; `None` when a person lifted it without one.
    pub check: Option<(Moment, Vec<Checked>)>,
    /// End of the watch.
    pub watch_until: Moment,
}

/// A false alarm.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// What was imposed and taken back.
    pub undone: Vec<Undone>,
    /// What it really was, in the words of the person who found out.
    pub truth: String,
    /// Messages that were late because of it, if any.
    pub late: Option<u64>,
    /// What was seen afterwards, such as a probe's answer.
    pub proof: Option<String>,
}

/// One restriction that was taken back.
#[derive(Clone, Debug)]
pub struct Undone {
    /// What it limited.
    pub measure: Measure,
    /// Since when.
    pub since: Moment,
    /// When it was undone.
    pub until: Moment,
}

/// A letter, ready to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// One line; the fact first, the number last.
    pub subject: String,
    /// The text, lines ended by LF, at most 72 columns wide.
    pub text: String,
}

/// Writes the letter.
pub fn render(content: &LetterContent) -> Letter {
    let subject = format!("{} {}", kinds::subject(content), content.number);
    let mut page = page::Page::new(content.language);
    blocks::top(&mut page, content);
    kinds::body(&mut page, content);
    blocks::foot(&mut page, content);
    Letter { subject, text: page.finish() }
}

#[cfg(test)]
mod tests;
