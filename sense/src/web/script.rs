//! One script of a site: who calls it directly, with what, at what pace, and what it answers.
//!
//! «Directly» is without a referer, or with the script itself as referer (the form of a web shell sends to itself). A
//! page of the site that leads to the script makes it a part of the site.

use memchr::memmem;

use super::request::{Method, Request, Source, decode, unescape};
use super::table::{Different, short};

/// Sources, agents and sizes told apart; more are «many».
const FEW: usize = 8;

/// What is remembered of a script that answered.
#[derive(Clone, Debug)]
pub struct Script {
    /// First and last answer, seconds since 1970.
    pub first: i64,
    /// See `first`.
    pub last: i64,
    /// Last direct call that was answered.
    pub called: i64,
    /// Who called it first.
    pub first_source: Source,
    /// Whether the first call was direct.
    pub first_direct: bool,
    /// Direct calls that were answered.
    pub hits: u32,
    /// Calls from pages.
    pub referred: u32,
    /// Direct POSTs.
    pub posts: u32,
    /// Direct GETs with parameters.
    pub asked: u32,
    /// Direct calls with an encoded value in the address.
    pub encoded: u32,
    /// Different encoded values.
    pub values: Different,
    /// Most bytes of an answer.
    pub size_max: u64,
    /// Fewest.
    pub size_min: u64,
    sizes: Different,
    /// Who calls it directly, at most eight; then `many`.
    pub sources: Vec<Source>,
    /// More callers than [`Script::sources`] holds.
    pub many: bool,
    agents: Vec<u64>,
    pace: Pace,
    /// Was asked for in vain before it answered.
    pub missing_before: bool,
    /// How it came there, as far as the log tells.
    pub origin: Option<Box<Origin>>,
    /// Highest strength that was told already, and [`Script::called`] then.
    pub told: Option<(model::Strength, i64)>,
}

/// The request that may have put a script there.
#[derive(Clone, Debug)]
pub struct Origin {
    /// Method and path.
    pub entry: String,
    /// When, seconds since 1970.
    pub at: i64,
    /// Who sent it.
    pub source: Source,
    /// What it was.
    pub way: Way,
    /// Signs that the script does not belong there, see [`super::judge`].
    pub signs: u32,
    /// Whether one of them is nothing that the callers made.
    pub proven: bool,
}

/// By what a script came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// A request that speaks of uploads.
    Upload,
    /// Some other request that sends data.
    Post,
    /// An administrator installed a component right after signing in.
    Install,
}

impl Script {
    /// A script that answers for the first time.
    pub fn new(request: &Request<'_>, direct: bool, missing_before: bool) -> Script {
        let at = request.at.secs();
        Script {
            first: at,
            last: at,
            called: at,
            first_source: request.source,
            first_direct: direct,
            hits: 0,
            referred: 0,
            posts: 0,
            asked: 0,
            encoded: 0,
            values: Different::default(),
            size_max: 0,
            size_min: u64::MAX,
            sizes: Different::default(),
            sources: Vec::new(),
            many: false,
            agents: Vec::new(),
            pace: Pace::default(),
            missing_before,
            origin: None,
            told: None,
        }
    }

    /// One more answer.
    pub fn hit(&mut self, request: &Request<'_>, direct: bool) {
        let at = request.at.secs();
        self.last = self.last.max(at);
        if !direct {
            self.referred = self.referred.saturating_add(1);
            return;
        }
        self.called = self.called.max(at);
        self.hits = self.hits.saturating_add(1);
        self.size_max = self.size_max.max(request.size);
        self.size_min = self.size_min.min(request.size);
        self.sizes.add(short(&request.size.to_le_bytes()));
        if !self.sources.contains(&request.source) {
            self.many |= self.sources.len() >= FEW;
            if !self.many {
                self.sources.push(request.source);
            }
        }
        let agent = short(request.agent());
        if !self.agents.contains(&agent) && self.agents.len() < FEW {
            self.agents.push(agent);
        }
        match request.method {
            Method::Post => self.posts = self.posts.saturating_add(1),
            _ if !request.query.is_empty() => self.asked = self.asked.saturating_add(1),
            _ => return,
        }
        self.pace.add(at);
        if let Some(value) = encoded(request.query) {
            self.encoded = self.encoded.saturating_add(1);
            self.values.add(value);
        }
    }

    /// Direct calls that carry orders.
    pub fn driven(&self) -> u32 {
        self.posts + self.asked
    }

    /// Different networks of its callers.
    pub fn networks(&self) -> usize {
        let mut networks: Vec<u128> = self.sources.iter().map(|s| s.network()).collect();
        networks.sort_unstable();
        networks.dedup();
        networks.len()
    }

    /// Called from several networks by one and the same program.
    pub fn is_spread(&self) -> bool {
        self.networks() >= 2 && self.agents.len() == 1 && !self.many
    }

    /// Few callers that each come back.
    pub fn is_handful(&self) -> bool {
        !self.many && self.hits as usize >= 3 * self.sources.len()
    }

    /// Its answers differ in length as those of a program that does what it is told.
    pub fn is_varied(&self) -> bool {
        self.sizes.count() >= (self.hits / 4).clamp(3, 12)
    }

    /// Its calls come at an even pace.
    pub fn is_regular(&self) -> bool {
        self.pace.is_even()
    }

    /// Encoded values that are different ones: a key that is always the same is a password, not an order.
    pub fn has_orders(&self) -> bool {
        self.encoded >= 6
            && self.encoded * 5 >= self.driven() * 4
            && self.values.count() * 10 >= self.encoded.min(30) * 4
    }
}

/// Whether the call is direct, see the head of this file.
pub fn is_direct(request: &Request<'_>, script: &[u8]) -> bool {
    if request.is_bare() {
        return true;
    }
    let referer = request.referer();
    let page = &referer[..referer.iter().position(|b| *b == b'?').unwrap_or(referer.len())];
    let page = &page[..page.iter().position(|b| *b == b'#').unwrap_or(page.len())];
    script.len() > 1 && page.ends_with(script)
}

/// The spread of the pauses between calls (Welford), seconds.
#[derive(Clone, Copy, Debug, Default)]
struct Pace {
    last: i64,
    gaps: u32,
    mean: f64,
    squares: f64,
}

impl Pace {
    fn add(&mut self, at: i64) {
        if self.last != 0 {
            let gap = (at - self.last).abs() as f64;
            self.gaps += 1;
            let off = gap - self.mean;
            self.mean += off / f64::from(self.gaps);
            self.squares += off * (gap - self.mean);
        }
        self.last = at;
    }

    /// Five pauses or more, at least five seconds long, that differ from their mean by a third or less.
    fn is_even(self) -> bool {
        self.gaps >= 5 && self.mean >= 5.0 && (self.squares / f64::from(self.gaps)).sqrt() <= self.mean / 3.0
    }
}

/// The hash of the first value that is encoded: base64 with its padding or long and mixed, hexadecimal from 16 digits,
/// 200 bytes or more, or a shell command.
pub fn encoded(query: &[u8]) -> Option<u64> {
    let query = unescape(&query[..query.len().min(8192)]);
    let mut values = query.split(|b| matches!(b, b'&' | b';')).take(32);
    values.find_map(|pair| {
        let value = pair.iter().position(|b| *b == b'=').map_or(pair, |at| &pair[at + 1..]);
        let value = decode(value);
        (is_encoded(&value) || is_command(&value)).then(|| short(&value))
    })
}

fn is_encoded(value: &[u8]) -> bool {
    if value.len() >= 200 {
        return true;
    }
    let body = value.strip_suffix(b"==").or_else(|| value.strip_suffix(b"=")).unwrap_or(value);
    let alphabet = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_');
    if body.len() < 7 || !body.iter().all(alphabet) {
        return false;
    }
    let padded = body.len() < value.len() && value.len().is_multiple_of(4);
    let hex = body.len() >= 16 && body.iter().all(u8::is_ascii_hexdigit);
    let both = body.iter().any(u8::is_ascii_alphabetic) && body.iter().any(u8::is_ascii_digit);
    let cases = body.iter().any(u8::is_ascii_uppercase) && body.iter().any(u8::is_ascii_lowercase);
    padded || (hex && both) || (body.len() >= 16 && both && cases && turns(body) * 3 >= body.len())
}

/// How often the kind of letter changes: words and names keep it, encodings do not.
fn turns(text: &[u8]) -> usize {
    let kind = |b: &u8| (b.is_ascii_uppercase(), b.is_ascii_lowercase(), b.is_ascii_digit());
    text.windows(2).filter(|w| kind(&w[0]) != kind(&w[1])).count()
}

/// Whether a value is an order for a shell or interpreter; each is a whole value or stands before a space.
fn is_command(value: &[u8]) -> bool {
    const WORDS: &[&[u8]] =
        &[b"id", b"whoami", b"uname", b"ls", b"pwd", b"cat", b"wget", b"curl", b"ifconfig", b"phpinfo();", b"ps"];
    let first = value.split(|b| matches!(b, b' ' | b'+')).next().unwrap_or_default();
    let alone =
        first.len() == value.len() || memmem::find(value, b"/").is_some() || memmem::find(value, b"-").is_some();
    WORDS.contains(&first) && alone
}
