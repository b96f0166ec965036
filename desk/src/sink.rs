//! A small SMTP server on loopback that keeps what it is given: for the demo and for tests, never for real mail.
//!
//! It keeps the bytes as they were sent and reads them back as a person sees them, so that a letter can be compared
//! with what arrived. Everything has a bound, since anybody on the machine can connect to it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Most messages that are kept; more are answered with 452.
const MAILS_MAX: usize = 1000;
/// Longest message, bytes.
const MAIL_MAX: usize = 1 << 20;
/// Longest line, bytes (RFC 5321: 1000; we are generous).
const LINE_MAX: u64 = 4096;
/// A client that says nothing for so long is gone.
const WAIT: Duration = Duration::from_secs(30);

/// A message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mail {
    /// Envelope sender.
    pub from: String,
    /// Envelope recipients.
    pub to: Vec<String>,
    /// Headers and body as sent, without the dots that SMTP adds.
    pub raw: Vec<u8>,
}

/// How the server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Takes everything.
    Accepts,
    /// Answers each recipient with this line, such as `451 4.3.0 later` or `550 5.1.1 no such user`.
    Answers(String),
    /// Answers this recipient with that line and takes the others.
    AnswersFor(String, String),
}

/// The server; it ends with the process.
#[derive(Clone)]
pub struct Sink {
    address: SocketAddr,
    shared: Arc<(Mutex<State>, Condvar)>,
}

struct State {
    mood: Mood,
    mails: Vec<Mail>,
}

impl Sink {
    /// Listens on a free port of 127.0.0.1.
    pub fn open() -> io::Result<Sink> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let state = State { mood: Mood::Accepts, mails: Vec::new() };
        let sink = Sink { address: listener.local_addr()?, shared: Arc::new((Mutex::new(state), Condvar::new())) };
        let server = sink.clone();
        std::thread::Builder::new().name("smtp-sink".to_owned()).spawn(move || {
            // One client after the other: the desk sends one message at a time.
            for peer in listener.incoming().flatten() {
                // A client that breaks off has said all that it will say.
                let _ = server.talk(peer);
            }
        })?;
        Ok(sink)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers so from now on.
    pub fn set_mood(&self, mood: Mood) {
        self.state().mood = mood;
    }

    /// What has come so far.
    pub fn mails(&self) -> Vec<Mail> {
        self.state().mails.clone()
    }

    /// Waits until `count` messages have come, or the time is over; what has come by then.
    pub fn wait(&self, count: usize, longest: Duration) -> Vec<Mail> {
        let waiting = self.shared.1.wait_timeout_while(self.state(), longest, |state| state.mails.len() < count);
        let (state, _) = waiting.unwrap_or_else(PoisonError::into_inner);
        state.mails.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn talk(&self, peer: TcpStream) -> io::Result<()> {
        peer.set_read_timeout(Some(WAIT))?;
        let mut out = peer.try_clone()?;
        let mut lines = BufReader::new(peer);
        let mut say = |line: &str| out.write_all(format!("{line}\r\n").as_bytes());
        say("220 sink")?;
        let (mut from, mut to) = (String::new(), Vec::new());
        while let Some(line) = read_line(&mut lines)? {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            let command = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
            match command.as_str() {
                "EHLO" | "HELO" | "RSET" | "NOOP" => {
                    (from, to) = (String::new(), Vec::new());
                    say("250 sink")?;
                }
                "MAIL" => {
                    from = angle(&line);
                    say("250 ok")?;
                }
                "RCPT" if to.len() < 100 => {
                    let mood = self.state().mood.clone();
                    match mood {
                        Mood::Answers(answer) => say(&answer)?,
                        Mood::AnswersFor(whom, answer) if whom == angle(&line) => say(&answer)?,
                        Mood::Accepts | Mood::AnswersFor(..) => {
                            to.push(angle(&line));
                            say("250 ok")?;
                        }
                    }
                }
                "DATA" if !to.is_empty() => {
                    say("354 go on")?;
                    let raw = read_data(&mut lines)?;
                    let mail = Mail { from: std::mem::take(&mut from), to: std::mem::take(&mut to), raw };
                    let kept = self.keep(mail);
                    say(if kept { "250 kept" } else { "452 full" })?;
                }
                "QUIT" => return say("221 bye"),
                _ => say("503 not now")?,
            }
        }
        Ok(())
    }

    fn keep(&self, mail: Mail) -> bool {
        let mut state = self.state();
        let room = state.mails.len() < MAILS_MAX;
        if room {
            state.mails.push(mail);
            self.shared.1.notify_all();
        }
        room
    }
}

fn read_line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.take(LINE_MAX).read_until(b'\n', &mut line)?;
    Ok((!line.is_empty()).then_some(line))
}

/// The lines up to the single dot, without the dot that each line beginning with one got (RFC 5321, 4.5.2).
fn read_data(from: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut raw = Vec::new();
    while let Some(line) = read_line(from)? {
        if line == b".\r\n" {
            return Ok(raw);
        }
        raw.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        if raw.len() > MAIL_MAX {
            return Err(io::Error::other("message too large"));
        }
    }
    Err(io::ErrorKind::UnexpectedEof.into())
}

/// What stands between `<` and `>`.
fn angle(line: &str) -> String {
    line.split_once('<').and_then(|(_, rest)| rest.split_once('>')).map_or("", |(inner, _)| inner).to_owned()
}

impl Mail {
    /// A header with its folded lines joined and its encoded words read; the first of that name.
    pub fn header(&self, name: &str) -> Option<String> {
        let (_, value) = self.headers().into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name))?;
        Some(decode_words(&value))
    }

    /// All headers in order, as sent, folded lines joined.
    pub fn headers(&self) -> Vec<(String, String)> {
        let text = String::from_utf8_lossy(&self.raw);
        let head = text.split("\r\n\r\n").next().unwrap_or_default();
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in head.split("\r\n") {
            match (line.starts_with([' ', '\t']), headers.last_mut(), line.split_once(':')) {
                (true, Some((_, value)), _) => value.push_str(line),
                (_, _, Some((name, value))) => headers.push((name.to_owned(), value.trim().to_owned())),
                _ => headers.push((line.to_owned(), String::new())),
            }
        }
        headers
    }

    /// The body as its reader sees it, lines ended by LF (base64 or plain).
    pub fn text(&self) -> String {
        let end = self.raw.windows(4).position(|four| four == b"\r\n\r\n").map_or(self.raw.len(), |at| at + 4);
        let body = &self.raw[end..];
        let base64 = self.header("Content-Transfer-Encoding").is_some_and(|how| how.eq_ignore_ascii_case("base64"));
        let bytes = if base64 { decode_base64(body) } else { body.to_vec() };
        String::from_utf8_lossy(&bytes).replace("\r\n", "\n")
    }
}

/// Reads RFC 2047 words in base64 (the only form that the desk sends).
fn decode_words(value: &str) -> String {
    let mut out = Vec::new();
    let mut after_word = false;
    for part in value.split_inclusive(' ') {
        let word = part.trim().strip_prefix("=?utf-8?b?").and_then(|word| word.strip_suffix("?="));
        match word {
            Some(word) => {
                // Space between two encoded words belongs to neither.
                while after_word && out.last() == Some(&b' ') {
                    out.pop();
                }
                out.extend(decode_base64(word.as_bytes()));
                out.extend(part.ends_with(' ').then_some(b' '));
                after_word = true;
            }
            None => {
                after_word &= part.trim().is_empty();
                out.extend_from_slice(part.as_bytes());
            }
        }
    }
    String::from_utf8_lossy(&out).trim_end().to_owned()
}

fn decode_base64(text: &[u8]) -> Vec<u8> {
    let value = |c: u8| match c {
        b'A'..=b'Z' => Some(c - b'A'),
        b'a'..=b'z' => Some(c - b'a' + 26),
        b'0'..=b'9' => Some(c - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for six in text.iter().filter_map(|c| value(*c)) {
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}
