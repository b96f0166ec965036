//! Reads the grammar of nginx configuration exactly, with the byte place of everything.
//!
//! The rules are those of `ngx_conf_read_token` (nginx 1.22, `src/core/ngx_conf_file.c`): words end at white
//! space, `;` or `{`; `#` begins a comment only where a word could begin; `"…"` and `'…'` are words; a
//! backslash before a quote or itself is dropped, before `t r n` it makes the control sign, else it stays;
//! `${` inside a word is no block. Where nginx stops at an error, we keep what was complete before it.

/// One directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    /// Its name and arguments, unescaped.
    pub words: Vec<Vec<u8>>,
    /// Line of the name, from 1.
    pub line: u32,
    /// Its block, when it has one.
    pub block: Option<Block>,
}

/// A block and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Byte offset just after the `{`.
    pub open: usize,
    /// Byte offset of the `}`; of the end of the text when it is missing.
    pub close: usize,
    /// False when the text ended or an error came before the `}`.
    pub complete: bool,
    /// What is inside.
    pub inner: Vec<Directive>,
}

impl Directive {
    /// The name.
    pub fn name(&self) -> &[u8] {
        &self.words[0]
    }
    /// The arguments.
    pub fn args(&self) -> &[Vec<u8>] {
        &self.words[1..]
    }
}

/// Where and why the text is no configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line, from 1.
    pub line: u32,
    /// What is wrong, for a person.
    pub what: &'static str,
}

/// Blocks inside blocks; nginx itself needs less than ten.
pub const NESTING_MAX: usize = 64;

/// Reads a text; what was complete before an error is returned with it.
pub fn parse(text: &[u8]) -> (Vec<Directive>, Option<SyntaxError>) {
    let mut lexer = Lexer { text, at: 0, line: 1 };
    // The open blocks, outermost first; the first frame is the file itself.
    let mut frames: Vec<Vec<Directive>> = vec![Vec::new()];
    let mut heads: Vec<Directive> = Vec::new();
    let error = loop {
        let (words, line, end) = match lexer.directive() {
            Ok(found) => found,
            Err(error) => break Some(error),
        };
        let level = frames.last_mut().expect("the file's frame stays");
        match end {
            End::Semicolon => level.push(Directive { words, line, block: None }),
            End::Open if heads.len() >= NESTING_MAX => {
                break Some(SyntaxError { line, what: "blocks are nested too deep" });
            }
            End::Open if words[0].ends_with(b"_by_lua_block") => {
                let open = lexer.at;
                let Some(close) = lexer.skip_lua() else {
                    break Some(SyntaxError { line, what: "a Lua block does not end" });
                };
                let block = Block { open, close, complete: true, inner: Vec::new() };
                level.push(Directive { words, line, block: Some(block) });
            }
            End::Open => {
                let block = Block { open: lexer.at, close: text.len(), complete: false, inner: Vec::new() };
                heads.push(Directive { words, line, block: Some(block) });
                frames.push(Vec::new());
            }
            End::Close => {
                let Some(mut head) = heads.pop() else {
                    break Some(SyntaxError { line, what: "a \"}\" that closes nothing" });
                };
                let inner = frames.pop().expect("one frame a head");
                if let Some(block) = &mut head.block {
                    *block = Block { open: block.open, close: lexer.at - 1, complete: true, inner };
                }
                frames.last_mut().expect("the file's frame stays").push(head);
            }
            End::Text if heads.is_empty() => break None,
            End::Text => break Some(SyntaxError { line, what: "the text ends before \"}\"" }),
        }
    };
    while let Some(mut head) = heads.pop() {
        let inner = frames.pop().expect("one frame a head");
        if let Some(block) = &mut head.block {
            block.inner = inner;
        }
        frames.last_mut().expect("the file's frame stays").push(head);
    }
    (frames.pop().expect("the file's frame stays"), error)
}

enum End {
    Semicolon,
    Open,
    Close,
    Text,
}

struct Lexer<'a> {
    text: &'a [u8],
    at: usize,
    line: u32,
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = *self.text.get(self.at)?;
        self.at += 1;
        if byte == b'\n' {
            self.line += 1;
        }
        Some(byte)
    }

    fn fail<T>(&self, what: &'static str) -> Result<T, SyntaxError> {
        Err(SyntaxError { line: self.line, what })
    }

    /// The words up to `;`, `{`, `}` or the end.
    fn directive(&mut self) -> Result<(Vec<Vec<u8>>, u32, End), SyntaxError> {
        let mut words: Vec<Vec<u8>> = Vec::new();
        let mut line = self.line;
        loop {
            let Some(byte) = self.next() else {
                return match words.is_empty() {
                    true => Ok((words, self.line, End::Text)),
                    false => self.fail("the text ends before \";\""),
                };
            };
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => continue,
                b'#' => {
                    while !matches!(self.next(), None | Some(b'\n')) {}
                    continue;
                }
                b';' | b'{' if words.is_empty() => return self.fail("\";\" or \"{\" without a directive before it"),
                b';' => return Ok((words, line, End::Semicolon)),
                b'{' => return Ok((words, line, End::Open)),
                b'}' if words.is_empty() => return Ok((words, self.line, End::Close)),
                b'}' => return self.fail("\"}\" before the \";\" of a directive"),
                _ => {}
            }
            if words.is_empty() {
                line = self.line;
            }
            let ended = match byte {
                b'"' | b'\'' => self.quoted(byte, &mut words)?,
                _ => self.plain(&mut words)?,
            };
            if let Some(end) = ended {
                return Ok((words, line, end));
            }
        }
    }

    /// A quoted word; what follows it must be a space or an end.
    fn quoted(&mut self, quote: u8, words: &mut Vec<Vec<u8>>) -> Result<Option<End>, SyntaxError> {
        let from = self.at;
        loop {
            match self.next() {
                None => return self.fail("a quoted word does not end"),
                Some(b'\\') => {
                    self.next();
                }
                Some(b) if b == quote => break,
                Some(_) => {}
            }
        }
        words.push(unescape(&self.text[from..self.at - 1]));
        match self.next() {
            Some(b' ' | b'\t' | b'\r' | b'\n') => Ok(None),
            Some(b';') => Ok(Some(End::Semicolon)),
            Some(b'{') => Ok(Some(End::Open)),
            // nginx lets `)` follow a quote and begins a new word with it: `if ($a = "b")`.
            Some(b')') => {
                self.at -= 1;
                Ok(None)
            }
            _ => self.fail("no space after a quoted word"),
        }
    }

    /// A bare word; its first byte was read.
    fn plain(&mut self, words: &mut Vec<Vec<u8>>) -> Result<Option<End>, SyntaxError> {
        let from = self.at - 1;
        self.at = from;
        let mut variable = false;
        let end = loop {
            let Some(byte) = self.next() else { return self.fail("the text ends before \";\"") };
            let was_variable = std::mem::replace(&mut variable, byte == b'$');
            match byte {
                b'{' if was_variable => {}
                b'\\' => {
                    self.next();
                }
                b' ' | b'\t' | b'\r' | b'\n' => break None,
                b';' => break Some(End::Semicolon),
                b'{' => break Some(End::Open),
                _ => {}
            }
        };
        words.push(unescape(&self.text[from..self.at - 1]));
        Ok(end)
    }

    /// Goes past a Lua block (openresty): braces count outside of Lua's strings and comments.
    fn skip_lua(&mut self) -> Option<usize> {
        let mut depth = 1u32;
        loop {
            match self.next()? {
                b'{' => depth += 1,
                b'}' => {
                    depth -= 1;
                    if depth == 0 {
                        return Some(self.at - 1);
                    }
                }
                quote @ (b'"' | b'\'') => loop {
                    match self.next()? {
                        b'\\' => {
                            self.next()?;
                        }
                        b if b == quote => break,
                        _ => {}
                    }
                },
                b'-' if self.text[self.at..].starts_with(b"-[[") => {
                    self.at += 3;
                    self.past(b"]]")?;
                }
                b'-' if self.text[self.at..].starts_with(b"-") => self.past(b"\n")?,
                b'[' if self.text[self.at..].starts_with(b"[") => self.past(b"]]")?,
                _ => {}
            }
        }
    }

    fn past(&mut self, end: &[u8]) -> Option<()> {
        while !self.text[self.at..].starts_with(end) {
            self.next()?;
        }
        end.iter().for_each(|_| {
            self.next();
        });
        Some(())
    }
}

fn unescape(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b @ (b'"' | b'\'' | b'\\')) => out.push(b),
            Some(b't') => out.push(b'\t'),
            Some(b'r') => out.push(b'\r'),
            Some(b'n') => out.push(b'\n'),
            Some(other) => out.extend([b'\\', other]),
            None => out.push(b'\\'),
        }
    }
    out
}

#[cfg(test)]
#[path = "nginx_tests.rs"]
mod tests;
