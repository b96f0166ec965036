//! Splits a shell text into lists, pipelines and commands: quotes, operators, groups, redirections, substitutions.
//!
//! Tolerant and smaller than the grammar (POSIX.1-2024, Shell Command Language): an unusual text is understood less,
//! never more. Words keep their substitutions apart, because what they print is unknown and where it came from is not.

/// Stands in a word's text where a substitution stood.
pub(super) const HOLE: u8 = 2;
/// Stands for a dollar sign that single quotes or a backslash protect.
pub(super) const DOLLAR: u8 = 1;
/// Groups within groups that are followed; deeper ones are read as flat text.
const DEPTH_MAX: u32 = 32;

/// One word, quotes taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Word {
    /// Its text; [`HOLE`] and [`DOLLAR`] stand for what the shell would put in or leave.
    pub text: Vec<u8>,
    /// Texts of `$(…)`, backquotes and `<(…)` in it.
    pub inner: Vec<Vec<u8>>,
}

/// Something that is run: a command or a group of lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// Words, and where input comes from and output goes to.
    Command { words: Vec<Word>, input: Vec<Input>, output: Vec<Word> },
    /// `( … )`, `{ … }`, the body of a loop or condition.
    Group(List),
}

/// Where a command's input comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// `< file`, also `< <(…)`.
    File(Word),
    /// `<<< text`.
    Text(Word),
}

/// Pipelines one after the other, each of them units that feed one another.
pub(super) type List = Vec<Vec<Unit>>;

/// Splits a text.
pub(super) fn split(text: &[u8]) -> List {
    let mut splitter = Splitter { text, at: 0 };
    let mut all = splitter.list(0);
    // A closing sign too many ends a list; what follows is a list of its own.
    while splitter.at < text.len() {
        splitter.at += 1;
        all.extend(splitter.list(0));
    }
    all
}

struct Splitter<'a> {
    text: &'a [u8],
    at: usize,
}

/// Words that open a group, close one, or only stand before a command.
fn keyword(word: &Word) -> Option<&'static str> {
    const WORDS: &[(&str, &str)] = &[
        ("{", "open"),
        ("then", "open"),
        ("do", "open"),
        ("else", "next"),
        ("elif", "next"),
        ("}", "close"),
        ("fi", "close"),
        ("done", "close"),
    ];
    let known = WORDS.iter().find(|(text, _)| text.as_bytes() == word.text && word.inner.is_empty());
    known.map(|(_, what)| *what)
}

impl Splitter<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn takes(&mut self, sign: u8) -> bool {
        let is = self.peek() == Some(sign);
        self.at += usize::from(is);
        is
    }

    /// Reads up to the end or a closing sign, which is left where it is.
    fn list(&mut self, depth: u32) -> List {
        let mut list: List = vec![Vec::new()];
        let (mut words, mut input, mut output) = (Vec::new(), Vec::new(), Vec::new());
        let flush = |list: &mut List, words: &mut Vec<Word>, input: &mut Vec<Input>, output: &mut Vec<Word>| {
            if !words.is_empty() || !output.is_empty() || !input.is_empty() {
                let command = Unit::Command {
                    words: std::mem::take(words),
                    input: std::mem::take(input),
                    output: std::mem::take(output),
                };
                list.last_mut().expect("never empty").push(command);
            }
        };
        while let Some(b) = self.peek() {
            match b {
                b'\n' | b';' | b'&' | b'|' => {
                    self.at += 1;
                    flush(&mut list, &mut words, &mut input, &mut output);
                    let pipe = b == b'|' && !self.takes(b'|');
                    if pipe || b == b'&' {
                        self.takes(b'&');
                    }
                    if !pipe && !list.last().expect("never empty").is_empty() {
                        list.push(Vec::new());
                    }
                }
                b'(' if depth < DEPTH_MAX => {
                    self.at += 1;
                    flush(&mut list, &mut words, &mut input, &mut output);
                    let group = self.list(depth + 1);
                    self.takes(b')');
                    list.last_mut().expect("never empty").push(Unit::Group(group));
                }
                b')' if depth > 0 => break,
                b'(' | b')' => self.at += 1,
                b'#' => {
                    let rest = &self.text[self.at..];
                    self.at += rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
                }
                b'<' if self.text.get(self.at + 1) == Some(&b'(') => words.push(self.word()),
                b'<' | b'>' => self.redirection(&mut input, &mut output),
                _ if b.is_ascii_whitespace() => self.at += 1,
                _ => {
                    let word = self.word();
                    match keyword(&word).filter(|_| words.is_empty()) {
                        Some("open") if depth < DEPTH_MAX => {
                            let group = self.list(depth + 1);
                            list.last_mut().expect("never empty").push(Unit::Group(group));
                        }
                        Some("close") if depth > 0 => break,
                        Some(_) => {}
                        None => words.push(word),
                    }
                }
            }
        }
        flush(&mut list, &mut words, &mut input, &mut output);
        list.retain(|pipeline| !pipeline.is_empty());
        list
    }

    /// `<`, `<<<`, `>`, `>>`, `>&`, `>|` and the word behind.
    fn redirection(&mut self, input: &mut Vec<Input>, output: &mut Vec<Word>) {
        let reads = self.takes(b'<');
        let text = reads && self.text[self.at..].starts_with(b"<<");
        while self.peek().is_some_and(|b| matches!(b, b'<' | b'>' | b'&' | b'|' | b'-'))
            && !self.text[self.at..].starts_with(b"<(")
        {
            self.at += 1;
        }
        while self.peek().is_some_and(|b| b == b' ' || b == b'\t') {
            self.at += 1;
            if self.text[self.at..].starts_with(b"<(") {
                break;
            }
        }
        let word = self.word();
        let number = word.text.iter().all(u8::is_ascii_digit) && word.inner.is_empty();
        match (reads, text) {
            (true, true) => input.push(Input::Text(word)),
            (true, false) => input.push(Input::File(word)),
            (false, _) if !number => output.push(word),
            _ => {}
        }
    }

    fn word(&mut self) -> Word {
        let mut word = Word::default();
        let mut quoted = false;
        while let Some(b) = self.peek() {
            let ends = b.is_ascii_whitespace() || matches!(b, b'|' | b';' | b'(' | b')');
            if !quoted && ends {
                break;
            }
            match b {
                b'"' => {
                    quoted = !quoted;
                    self.at += 1;
                }
                b'\'' if !quoted => self.single(&mut word),
                b'$' if !quoted && self.text.get(self.at + 1) == Some(&b'\'') => {
                    self.at += 1;
                    self.single(&mut word);
                }
                b'$' if self.text.get(self.at + 1) == Some(&b'(') => self.substitution(2, &mut word),
                b'<' if !quoted && self.text.get(self.at + 1) == Some(&b'(') => self.substitution(2, &mut word),
                b'`' => {
                    let rest = &self.text[self.at + 1..];
                    let end = rest.iter().position(|b| *b == b'`').unwrap_or(rest.len());
                    word.inner.push(rest[..end].to_vec());
                    word.text.push(HOLE);
                    self.at = (self.at + end + 2).min(self.text.len());
                }
                // `2>file`: the number is the descriptor's.
                b'<' | b'>' if !quoted => {
                    if word.text.iter().all(u8::is_ascii_digit) && word.inner.is_empty() {
                        word.text.clear();
                    }
                    break;
                }
                b'&' if !quoted => {
                    if self.text.get(self.at + 1) != Some(&b'>') {
                        break;
                    }
                    self.at += 1;
                }
                b'\\' => {
                    self.at += 1;
                    if let Some(next) = self.peek() {
                        self.at += 1;
                        if quoted && !matches!(next, b'$' | b'`' | b'"' | b'\\') {
                            word.text.push(b'\\');
                        }
                        word.text.push(if next == b'$' { DOLLAR } else { next });
                    }
                }
                HOLE | DOLLAR | 0 => {
                    word.text.push(b' ');
                    self.at += 1;
                }
                _ => {
                    word.text.push(b);
                    self.at += 1;
                }
            }
        }
        word
    }

    fn single(&mut self, word: &mut Word) {
        let rest = &self.text[self.at + 1..];
        let end = rest.iter().position(|b| *b == b'\'').unwrap_or(rest.len());
        word.text.extend(rest[..end].iter().map(|b| match b {
            b'$' => DOLLAR,
            &HOLE | &DOLLAR | 0 => b' ',
            b => *b,
        }));
        self.at = (self.at + end + 2).min(self.text.len());
    }

    /// `$( … )` or `<( … )` up to the matching sign, or to the end, so that no text is read twice.
    fn substitution(&mut self, opening: usize, word: &mut Word) {
        let start = self.at + opening;
        let (mut open, mut quote, mut at) = (1u32, 0u8, start);
        while let Some(b) = self.text.get(at) {
            match *b {
                b'\\' if quote != b'\'' => at += 1,
                b if quote != 0 => quote = if b == quote { 0 } else { quote },
                b @ (b'\'' | b'"') => quote = b,
                b'(' => open += 1,
                b')' => open -= 1,
                _ => {}
            }
            if open == 0 {
                break;
            }
            at += 1;
        }
        let at = at.min(self.text.len());
        word.inner.push(self.text[start..at].to_vec());
        word.text.push(HOLE);
        self.at = (at + 1).min(self.text.len());
    }
}
