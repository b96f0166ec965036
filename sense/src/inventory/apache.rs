//! Reads the grammar of Apache httpd configuration, with the byte place of every section.
//!
//! The rules are those of `ap_cfg_getline` and `ap_getword_conf` (httpd 2.4, `server/util.c`): a line that ends
//! in a backslash goes on in the next one, also inside a comment; a comment has a line of its own; words are
//! separated by white space and may stand in quotes. Where httpd stops at an error, we keep what was complete.

use super::nginx::NESTING_MAX;
pub use super::nginx::SyntaxError;

/// A directive or a section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name, lower case (httpd compares without case).
    pub name: String,
    /// Everything after the name, untouched; without the `>` of a section.
    pub args: Vec<u8>,
    /// Line, from 1.
    pub line: u32,
    /// The inside, when it is a section.
    pub section: Option<Section>,
}

/// A `<Name …> … </Name>`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// Byte offset of the line after `<Name …>`.
    pub open: usize,
    /// Byte offset of the start of the line of `</Name>`; of the end of the text when it is missing.
    pub close: usize,
    /// False when the text ended or an error came before `</Name>`.
    pub complete: bool,
    /// What is inside.
    pub inner: Vec<Node>,
}

impl Node {
    /// The arguments as words.
    pub fn words(&self) -> Vec<Vec<u8>> {
        words(&self.args)
    }
}

/// Reads a text; what was complete before an error is returned with it.
pub fn parse(text: &[u8]) -> (Vec<Node>, Option<SyntaxError>) {
    let mut frames: Vec<Vec<Node>> = vec![Vec::new()];
    let mut heads: Vec<Node> = Vec::new();
    let (mut at, mut line) = (0, 1u32);
    let mut error = None;
    while at < text.len() {
        let (from, first) = (at, line);
        let logical = logical_line(text, &mut at, &mut line);
        let content = logical.trim_ascii();
        if content.is_empty() || content.starts_with(b"#") {
            continue;
        }
        if let Some(closing) = content.strip_prefix(b"</") {
            let name = closing.strip_suffix(b">").unwrap_or(closing).trim_ascii();
            match heads.pop_if(|h| h.name.as_bytes() == name.to_ascii_lowercase()) {
                Some(mut head) => {
                    let inner = frames.pop().expect("one frame a head");
                    if let Some(section) = &mut head.section {
                        *section = Section { open: section.open, close: from, complete: true, inner };
                    }
                    frames.last_mut().expect("the file's frame stays").push(head);
                    continue;
                }
                None => {
                    error = Some(SyntaxError { line: first, what: "a section ends that is not open here" });
                    break;
                }
            }
        }
        let opens = content.starts_with(b"<");
        let body = if opens { &content[1..] } else { content };
        let end = body.iter().position(|b| b.is_ascii_whitespace() || (opens && *b == b'>')).unwrap_or(body.len());
        let name = String::from_utf8_lossy(&body[..end]).to_ascii_lowercase();
        let args = body[end..].trim_ascii();
        if !opens {
            let node = Node { name, args: args.to_vec(), line: first, section: None };
            frames.last_mut().expect("the file's frame stays").push(node);
            continue;
        }
        let Some(args) = args.strip_suffix(b">") else {
            error = Some(SyntaxError { line: first, what: "a section without \">\"" });
            break;
        };
        if heads.len() >= NESTING_MAX {
            error = Some(SyntaxError { line: first, what: "sections are nested too deep" });
            break;
        }
        let section = Section { open: at, close: text.len(), complete: false, inner: Vec::new() };
        heads.push(Node { name, args: args.trim_ascii().to_vec(), line: first, section: Some(section) });
        frames.push(Vec::new());
    }
    if error.is_none()
        && let Some(open) = heads.last()
    {
        error = Some(SyntaxError { line: open.line, what: "a section does not end" });
    }
    while let Some(mut head) = heads.pop() {
        let inner = frames.pop().expect("one frame a head");
        if let Some(section) = &mut head.section {
            section.inner = inner;
        }
        frames.last_mut().expect("the file's frame stays").push(head);
    }
    (frames.pop().expect("the file's frame stays"), error)
}

/// One line with its continuations; `at` and `line` move behind it.
fn logical_line(text: &[u8], at: &mut usize, line: &mut u32) -> Vec<u8> {
    let mut out = Vec::new();
    while *at < text.len() {
        let rest = &text[*at..];
        let end = rest.iter().position(|b| *b == b'\n').unwrap_or(rest.len());
        *at += (end + 1).min(rest.len());
        *line += 1;
        let part = rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]);
        match part.strip_suffix(b"\\") {
            Some(part) => out.extend_from_slice(part),
            None => {
                out.extend_from_slice(part);
                break;
            }
        }
    }
    out
}

/// Splits arguments as `ap_getword_conf` does.
pub fn words(args: &[u8]) -> Vec<Vec<u8>> {
    let mut out = Vec::new();
    let mut rest = args.trim_ascii();
    while let Some(&first) = rest.first() {
        let quote = matches!(first, b'"' | b'\'').then_some(first);
        let mut word = Vec::new();
        let mut at = usize::from(quote.is_some());
        loop {
            match (rest.get(at), quote) {
                (None, _) => break,
                (Some(b'\\'), _) if rest.get(at + 1).is_some_and(|n| *n == b'\\' || Some(*n) == quote) => {
                    word.push(rest[at + 1]);
                    at += 1;
                }
                (Some(b), Some(q)) if *b == q => {
                    at += 1;
                    break;
                }
                (Some(b), None) if b.is_ascii_whitespace() => break,
                (Some(b), _) => word.push(*b),
            }
            at += 1;
        }
        out.push(word);
        rest = rest[at.min(rest.len())..].trim_ascii_start();
    }
    out
}

#[cfg(test)]
#[path = "apache_tests.rs"]
mod tests;
