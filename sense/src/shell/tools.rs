//! What the arguments of single tools mean: wrappers, downloaders, decoders, copies.

use crate::process::word::{base, contains, is_downloader};

/// `NAME=value` before a command.
pub(super) fn assignment(word: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = word.iter().position(|b| *b == b'=')?;
    let name = word[..at].strip_suffix(b"+").unwrap_or(&word[..at]);
    let plain = !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_');
    (plain && !name[0].is_ascii_digit()).then_some((name, &word[at + 1..]))
}

/// How many words stand before the command proper: wrappers with their options, keywords, assignments behind `env`.
pub(super) fn unwrap(words: &[Vec<u8>]) -> usize {
    /// Name, options that take the next word, plain words of its own that come before the command.
    const WRAPPERS: &[(&str, &[u8], usize)] = &[
        ("sudo", b"ugCpTDRh", 0),
        ("doas", b"u", 0),
        ("nohup", b"", 0),
        ("env", b"uCS", 0),
        ("exec", b"a", 0),
        ("time", b"fo", 0),
        ("nice", b"n", 0),
        ("ionice", b"cnp", 0),
        ("chrt", b"TPD", 1),
        ("taskset", b"", 1),
        ("setsid", b"", 0),
        ("command", b"", 0),
        ("builtin", b"", 0),
        ("busybox", b"", 0),
        ("toybox", b"", 0),
        ("stdbuf", b"ioe", 0),
        ("unbuffer", b"", 0),
        ("proxychains", b"f", 0),
        ("proxychains4", b"f", 0),
        ("torsocks", b"", 0),
        ("torify", b"", 0),
        ("timeout", b"sk", 1),
        ("flock", b"wE", 1),
        ("lockf", b"t", 1),
        ("setlock", b"", 1),
        ("chronic", b"", 0),
        ("cronic", b"", 0),
        ("systemd-cat", b"tp", 0),
        ("run-one", b"", 0),
        ("ifne", b"", 0),
        ("prlimit", b"", 0),
        ("strace", b"opeP", 0),
        ("fakeroot", b"", 0),
        ("if", b"", 0),
        ("while", b"", 0),
        ("until", b"", 0),
        ("!", b"", 0),
    ];
    let mut at = 0;
    while let Some(word) = words.get(at) {
        if at > 0 && assignment(word).is_some() {
            at += 1;
            continue;
        }
        let wrapper = WRAPPERS.iter().find(|(name, ..)| name.as_bytes() == base(word));
        let Some((name, valued, own)) = wrapper else { return at };
        let rest = &words[at + 1..];
        if *name == "busybox" && rest.is_empty() || *name == "flock" && text_after(rest, b"-c").is_some() {
            return at;
        }
        at += 1 + (rest.len() - after_options(rest, valued).len()) + own;
    }
    words.len().min(at)
}

/// What follows the options; `valued` are the letters whose value is the next word.
pub(super) fn after_options<'a>(args: &'a [Vec<u8>], valued: &[u8]) -> &'a [Vec<u8>] {
    let mut at = 0;
    while let Some(arg) = args.get(at).filter(|arg| arg.len() > 1 && arg[0] == b'-') {
        if arg == b"--" {
            return &args[at + 1..];
        }
        let takes = arg.len() == 2 && valued.contains(&arg[1]);
        at += 1 + usize::from(takes);
    }
    &args[at.min(args.len())..]
}

/// The word behind this option.
pub(super) fn text_after<'a>(args: &'a [Vec<u8>], option: &[u8]) -> Option<&'a [u8]> {
    let at = args.iter().position(|arg| arg == option)?;
    args.get(at + 1).map(Vec::as_slice)
}

/// What a downloader was asked to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Request {
    pub urls: Vec<Vec<u8>>,
    /// Where the answer is put; `None`: standard output.
    pub file: Option<Vec<u8>>,
    /// Files that are sent.
    pub sends: Vec<Vec<u8>>,
    /// Facts of the machine are in the address or data.
    pub tells: bool,
    /// What is sent comes by standard input.
    pub from_stdin: bool,
}

/// Reads a downloader's arguments (curl(1), wget(1), fetch(1), aria2c(1)); at most 16 addresses.
pub(super) fn request(program: &[u8], args: &[Vec<u8>]) -> Request {
    let wget = program.starts_with(b"wget");
    let valued: &[u8] = if wget { b"OoaePTtUQwAiRDIXlS" } else { b"oHdXuAmeTFbcCKEwxyYzrPDs" };
    let mut request = Request::default();
    let (mut named, mut folder, mut words) = (false, Vec::new(), Vec::new());
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        let Some(letters) = arg.strip_prefix(b"-").filter(|letters| !letters.is_empty()) else {
            words.push(arg.clone());
            continue;
        };
        if let Some(long) = letters.strip_prefix(b"-") {
            let (name, value) = match long.iter().position(|b| *b == b'=') {
                Some(at) => (&long[..at], Some(long[at + 1..].to_vec())),
                None => (long, None),
            };
            let mut value = || value.clone().or_else(|| rest.next().cloned()).unwrap_or_default();
            match name {
                b"output" | b"output-document" | b"out" => request.file = Some(value()),
                b"directory-prefix" | b"output-dir" | b"dir" => folder = value(),
                b"spider" => request.file = Some(b"/dev/null".to_vec()),
                b"remote-name" | b"remote-header-name" => named = true,
                b"data" | b"data-binary" | b"data-raw" | b"data-urlencode" | b"form" | b"json" | b"post-data" => {
                    sent(&mut request, &value());
                }
                b"upload-file" | b"post-file" | b"body-file" => request.sends.push(value()),
                b"url" => words.push(value()),
                b"user" | b"header" | b"user-agent" | b"max-time" | b"retry" | b"connect-timeout" | b"request"
                | b"retry-delay" | b"referer" | b"cookie" | b"proxy" | b"write-out" | b"retry-max-time"
                    if !contains(arg, b"=") =>
                {
                    value();
                }
                _ => {}
            }
            continue;
        }
        // Others than these write long options with one dash (`lynx -source`).
        if letters.len() > 1 && !(wget || matches!(program, b"curl" | b"fetch" | b"axel" | b"aria2c")) {
            continue;
        }
        for (at, letter) in letters.iter().enumerate() {
            let remote_name = *letter == b'O' && !wget;
            named |= remote_name;
            // For fetch(1) and aria2c(1), `-s` has no value; for curl it means silent.
            if remote_name || !valued.contains(letter) || *letter == b's' {
                continue;
            }
            let value = match &letters[at + 1..] {
                [] => rest.next().cloned().unwrap_or_default(),
                value => value.to_vec(),
            };
            match letter {
                b'O' => request.file = Some(value),
                b'o' if !wget => request.file = Some(value),
                b'P' if wget => folder = value,
                b'd' | b'F' if !wget => sent(&mut request, &value),
                b'T' if !wget => request.sends.push(value),
                _ => {}
            }
            break;
        }
    }
    let addressed: Vec<Vec<u8>> = words.iter().filter(|word| contains(word, b"://")).cloned().collect();
    request.urls = if addressed.is_empty() { words } else { addressed };
    request.urls.truncate(16);
    request.from_stdin = request.sends.iter().any(|file| file == b"-");
    if request.file.as_deref() == Some(b"-") || request.file.as_deref() == Some(b"/dev/stdout") {
        request.file = None;
    } else if request.file.is_none() && (named || wget || matches!(program, b"axel" | b"aria2c" | b"fetch")) {
        let last = request.urls.first().map(|url| base(url).split(|b| *b == b'?').next().unwrap_or_default().to_vec());
        request.file = last.filter(|name| !name.is_empty()).or_else(|| Some(b"index.html".to_vec()));
        if !folder.is_empty() {
            request.file = request.file.map(|name| [&folder[..], b"/", &name].concat());
        }
    }
    request
}

/// `-d @file`, `-F x=@file`, or a text.
fn sent(request: &mut Request, value: &[u8]) {
    request.tells = true;
    if let Some(at) = value.iter().position(|b| *b == b'@')
        && (at == 0 || value[at - 1] == b'=')
    {
        let file = &value[at + 1..];
        request.sends.push(file.split(|b| *b == b';').next().unwrap_or_default().to_vec());
    }
}

/// A connection that is given a shell: `nc -e /bin/sh`, `socat exec:…`.
pub(super) fn gives_shell(program: &[u8], args: &[Vec<u8>]) -> bool {
    match program {
        b"nc" | b"ncat" | b"netcat" => args.iter().any(|arg| {
            matches!(&arg[..], b"-e" | b"-c" | b"--exec" | b"--sh-exec")
                || arg.starts_with(b"-") && !arg.starts_with(b"--") && arg.ends_with(b"e")
        }),
        b"socat" => args.iter().any(|arg| {
            let lower = arg.to_ascii_lowercase();
            lower.starts_with(b"exec:") || lower.starts_with(b"system:")
        }),
        _ => false,
    }
}

/// Whether this tool makes text out of what hides it.
pub(super) fn decodes(program: &[u8], args: &[Vec<u8>]) -> bool {
    let has = |flags: &[&[u8]]| args.iter().any(|arg| flags.contains(&&arg[..]));
    match program {
        b"base64" | b"base32" | b"basenc" => has(&[b"-d", b"-D", b"--decode", b"-di", b"-id"]),
        b"openssl" => has(&[b"-d", b"base64", b"enc"]),
        b"xxd" => args.iter().any(|arg| arg.starts_with(b"-r") || arg.starts_with(b"-p")),
        b"uudecode" | b"rev" | b"rot13" => true,
        // A whole alphabet is turned; single signs are tidied up.
        b"tr" => args.iter().filter(|arg| arg.len() >= 6 && arg.contains(&b'-')).count() >= 2,
        _ => false,
    }
}

/// The file that a crontab(1) call sets the table from; `None` when it only lists or edits.
pub(super) fn crontab(args: &[Vec<u8>]) -> Option<Vec<u8>> {
    let rest = after_options(args, b"u");
    let only = args.iter().any(|arg| matches!(&arg[..], b"-l" | b"-e" | b"-r" | b"-i" | b"-T" | b"-V"));
    match rest.first() {
        Some(file) => Some(file.clone()),
        None if args.iter().any(|arg| arg == b"-") => Some(b"-".to_vec()),
        None if !only => Some(b"-".to_vec()),
        None => None,
    }
}

/// What a tool unpacks or mirrors, and into which folder.
pub(super) fn unpacks(program: &[u8], args: &[Vec<u8>]) -> Option<(Vec<u8>, Vec<u8>)> {
    let plain: Vec<&Vec<u8>> = args.iter().filter(|arg| !arg.starts_with(b"-")).collect();
    let letters = |flags: &[u8]| args.iter().any(|arg| arg.starts_with(b"-") && arg.iter().any(|b| flags.contains(b)));
    match program {
        b"tar" | b"bsdtar" => {
            let first = args.first()?;
            let takes_out = first.strip_prefix(b"-").unwrap_or(first).contains(&b'x');
            let archive = plain.iter().find(|arg| arg.contains(&b'.') || arg.contains(&b'/'))?;
            let folder = text_after(args, b"-C").or_else(|| text_after(args, b"--directory"));
            takes_out.then(|| (archive.to_vec(), folder.unwrap_or(b".").to_vec()))
        }
        b"unzip" => Some((plain.first()?.to_vec(), text_after(args, b"-d").unwrap_or(b".").to_vec())),
        b"rsync" => Some((plain.first()?.to_vec(), plain.get(1)?.to_vec())),
        b"cp" if letters(b"raR") => Some((plain.first()?.to_vec(), plain.get(1)?.to_vec())),
        _ => None,
    }
}

/// Tools that print what they get from elsewhere, beside the downloaders proper.
pub(super) fn asks(program: &[u8], args: &[Vec<u8>]) -> bool {
    matches!(program, b"dig" | b"host" | b"nslookup" | b"drill" | b"telnet" | b"rclone" | b"aws" | b"gsutil")
        || program == b"openssl" && args.first().is_some_and(|arg| arg == b"s_client")
}

/// Pairs of a file and the place that it is copied to; a folder as place stands for the file in it. At most 16.
pub(super) fn copies(args: &[Vec<u8>]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let rest: Vec<&Vec<u8>> = args.iter().filter(|arg| !arg.starts_with(b"-")).collect();
    let Some((to, from)) = rest.split_last() else { return Vec::new() };
    let place = |from: &[u8]| match to.last() {
        Some(b'/') => [to, base(from)].concat(),
        _ => to.to_vec(),
    };
    from.iter().take(16).map(|from| (from.to_vec(), place(from))).collect()
}

/// Files whose time is set to look old, or that nobody shall write any more (`chmod 444`, `chattr +i`).
pub(super) fn disguised(program: &[u8], args: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let whole = args.iter().any(|arg| matches!(&arg[..], b"-R" | b"--recursive"));
    let plain: Vec<&Vec<u8>> = args.iter().filter(|arg| !arg.starts_with(b"-")).collect();
    let hides = match program {
        b"touch" => args.iter().any(|arg| matches!(&arg[..], b"-r" | b"-d" | b"-t") || arg.starts_with(b"--ref")),
        b"chattr" => args.iter().any(|arg| arg.starts_with(b"+") && arg.contains(&b'i')),
        _ => plain.first().is_some_and(|mode| {
            let digits = mode.iter().all(u8::is_ascii_digit) && mode.len() >= 3;
            digits && mode[mode.len() - 3..].iter().all(|d| matches!(d, b'0' | b'1' | b'4' | b'5')) || **mode == b"a-w"
        }),
    };
    if !hides || whole || is_downloader(program) {
        return Vec::new();
    }
    plain.into_iter().skip(1).take(16).cloned().collect()
}
