//! The text of a story: what the world does (`>`), what we answer (indented), and nothing else happens.
//!
//! ```text
//! # One line that says what must hold.
//! given  account alice, sites blog shop
//! given  mode enforce
//! given  world close-site unseen
//! Sat 21 Mar 2026 11:46:53
//!   > process alice faked-name, by blog, pids 31 32
//!     incident H-1 opened: process
//!     impose   H-1/1 freeze-process alice
//!     notice   H-1 restricted
//! ```
//! A time line alone lets time pass. Numbers H-1, H-2 count the incidents of the story in order of opening.

use model::{Moment, Strength};

/// A parsed story.
#[derive(Debug)]
pub struct Story {
    /// The file's name, for messages.
    pub name: String,
    /// Its first line.
    pub title: String,
    /// Accounts and their sites.
    pub accounts: Vec<(String, Vec<String>)>,
    /// Mode of the policy.
    pub mode: String,
    /// Oddities of the world, such as `close-site unseen` or `notice bounces`.
    pub quirks: Vec<String>,
    /// What happens.
    pub beats: Vec<Beat>,
}

/// One thing that the world does, and what must follow.
#[derive(Debug)]
pub struct Beat {
    /// Line in the file.
    pub line: usize,
    /// When.
    pub at: Moment,
    /// What the world does; `None`: time passes.
    pub said: Option<Said>,
    /// What must follow, complete and in order.
    pub expected: Vec<String>,
}

/// What the world does.
#[derive(Clone, Debug)]
pub enum Said {
    /// A sense saw something.
    Signal {
        /// Account.
        account: String,
        /// Mechanism, in kebab-case.
        kind: String,
        /// Strength.
        strength: Strength,
        /// Site, if bound to one.
        site: Option<String>,
        /// Processes, if any.
        pids: Vec<u32>,
    },
    /// The owner of an account says something: word, quoted number, text.
    Owner {
        /// Account.
        account: String,
        /// `done`, `asks`, `objects`, `cannot`, `was-me`, `resend`, `pass`.
        word: String,
        /// H-number that he quotes.
        quoted: Option<usize>,
        /// His words.
        text: String,
    },
    /// An operator orders something about an incident.
    Operator {
        /// `confirm`, `lift`, `release`, `dismiss`, `uphold`, `close-site`.
        word: String,
        /// H-number, for all but `close-site`.
        incident: usize,
        /// Ordinal of the restriction, for `lift`.
        ordinal: u16,
        /// Account and site, for `close-site`.
        target: Option<(String, String)>,
        /// Reason or truth.
        text: String,
    },
    /// The verification under way comes back: `clean`, `found PATH`, `blind`.
    Verdict {
        /// Account.
        account: String,
        /// What came out.
        what: String,
    },
}

/// Reads a story; a line that is not understood is an error with its number.
pub fn parse(name: &str, text: &str) -> Result<Story, String> {
    let mut story = Story {
        name: name.into(),
        title: String::new(),
        accounts: vec![],
        mode: "enforce".into(),
        quirks: vec![],
        beats: vec![],
    };
    let mut at = None;
    let mut year = 2026;
    for (i, raw) in text.lines().enumerate() {
        let number = i + 1;
        let wrong = |why: &str| format!("{name}:{number}: {why}: {raw}");
        let line = raw.trim();
        if line.is_empty() {
            continue;
        }
        if let Some(title) = line.strip_prefix('#') {
            if story.title.is_empty() {
                story.title = title.trim().into();
            }
        } else if let Some(given) = line.strip_prefix("given") {
            take_given(&mut story, given.trim()).map_err(|e| wrong(&e))?;
        } else if let Some(said) = line.strip_prefix('>') {
            let at = at.ok_or_else(|| wrong("no time before it"))?;
            let said = Some(take_said(said.trim()).map_err(|e| wrong(&e))?);
            story.beats.push(Beat { line: number, at, said, expected: vec![] });
        } else if raw.starts_with(' ') {
            let beat = story.beats.last_mut().ok_or_else(|| wrong("nothing happened before it"))?;
            beat.expected.push(squeeze(line));
        } else {
            let moment =
                take_time(line, &mut year).ok_or_else(|| wrong("not a time such as «Sat 21 Mar 2026 11:46:53»"))?;
            at = Some(moment);
            story.beats.push(Beat { line: number, at: moment, said: None, expected: vec![] });
        }
    }
    Ok(story)
}

/// One blank between words, so that stories may be laid out in columns.
pub fn squeeze(line: &str) -> String {
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn take_given(story: &mut Story, given: &str) -> Result<(), String> {
    let given = squeeze(given);
    if let Some(rest) = given.strip_prefix("account ") {
        let (name, sites) = rest.split_once(", sites ").unwrap_or((rest, ""));
        story.accounts.push((name.into(), sites.split_whitespace().map(str::to_owned).collect()));
    } else if let Some(mode) = given.strip_prefix("mode ") {
        story.mode = mode.into();
    } else if let Some(quirk) = given.strip_prefix("world ") {
        story.quirks.push(quirk.into());
    } else {
        return Err("given what? (account, mode, world)".into());
    }
    Ok(())
}

/// `Sat 21 Mar 2026 11:46[:53]`, Japanese time; the year may be left out when it is that of the line before.
fn take_time(line: &str, year: &mut i32) -> Option<Moment> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let (day, month, clock) = match words[..] {
        [_, day, month, y, clock] => {
            *year = y.parse().ok()?;
            (day, month, clock)
        }
        [_, day, month, clock] => (day, month, clock),
        _ => return None,
    };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|m| *m == month)? + 1;
    let seconds = if clock.matches(':').count() == 2 { "" } else { ":00" };
    Moment::parse(&format!("{year:04}-{month:02}-{:02}T{clock}{seconds}+09:00", day.parse::<u32>().ok()?))
}

fn take_said(said: &str) -> Result<Said, String> {
    let (text, said) = quoted(said);
    let mut parts = said.split(',').map(str::trim);
    let head: Vec<&str> = parts.next().unwrap_or("").split_whitespace().collect();
    match head[..] {
        ["signal", account, kind] => {
            let mut said = Said::Signal {
                account: account.into(),
                kind: kind.into(),
                strength: Strength::Conclusive,
                site: None,
                pids: vec![],
            };
            let Said::Signal { strength, site, pids, .. } = &mut said else { unreachable!("made above") };
            for part in parts {
                match part.split_whitespace().collect::<Vec<_>>()[..] {
                    ["suspicious"] => *strength = Strength::Suspicious,
                    ["hint"] => *strength = Strength::Hint,
                    ["by", name] => *site = Some(name.into()),
                    ["pids", ref list @ ..] => {
                        *pids = list
                            .iter()
                            .map(|p| p.parse())
                            .collect::<Result<_, _>>()
                            .map_err(|_| "a pid is no number")?;
                    }
                    _ => return Err(format!("signal with what? «{part}»")),
                }
            }
            Ok(said)
        }
        ["owner", account, word, ref rest @ ..] => Ok(Said::Owner {
            account: account.into(),
            word: word.into(),
            quoted: rest.first().and_then(|w| number(w)).map(|(n, _)| n),
            text,
        }),
        ["operator", word, target] => {
            let (incident, ordinal) = number(target).ok_or("about which incident? (H-1 or H-1/2)")?;
            Ok(Said::Operator { word: word.into(), incident, ordinal, target: None, text })
        }
        ["operator", "close-site", account, site] => {
            let target = Some((account.into(), site.into()));
            Ok(Said::Operator { word: "close-site".into(), incident: 0, ordinal: 0, target, text })
        }
        ["verdict", account, ref what @ ..] => Ok(Said::Verdict { account: account.into(), what: what.join(" ") }),
        _ => Err("who does what? (signal, owner, operator, verdict)".into()),
    }
}

/// Takes «words» out of a line.
fn quoted(said: &str) -> (String, String) {
    match (said.find('«'), said.find('»')) {
        (Some(open), Some(close)) if open < close => {
            let text = said[open + '«'.len_utf8()..close].to_owned();
            (text, format!("{}{}", &said[..open], &said[close + '»'.len_utf8()..]))
        }
        _ => (String::new(), said.to_owned()),
    }
}

/// `H-2` or `H-2/1`.
fn number(word: &str) -> Option<(usize, u16)> {
    let rest = word.strip_prefix("H-")?;
    let (incident, ordinal) = rest.split_once('/').unwrap_or((rest, "1"));
    Some((incident.parse().ok()?, ordinal.parse().ok()?))
}
