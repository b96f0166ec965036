//! Follows the commands of a text one by one: what each does, and where what it prints came from.

use super::code::{self, Code, Taint, code_of, runs_fetched};
use super::split::{DOLLAR, HOLE, Input, List, Unit, Word, split};
use super::{CODED_MAX, DEPTH_MAX, Deed, Flow, GROWN_MAX, KNOWN_MAX, STEPS_MAX, Source, WORD_MAX, tools};
use crate::process::word::{base, contains, is_downloader, is_interpreter, is_shell};

/// The state of the shell that is followed.
#[derive(Default)]
pub(super) struct Shell {
    home: Vec<u8>,
    cwd: Vec<u8>,
    variables: Vec<(Vec<u8>, Vec<u8>, Taint)>,
    /// Files that the line wrote, and from what.
    saved: Vec<(Vec<u8>, Taint)>,
    pub deeds: Vec<Deed>,
    steps: u32,
    grown: usize,
    /// Code of other languages that was read, bytes.
    coded: usize,
    /// A connection of bash's own is open.
    socket: bool,
}

impl Shell {
    /// A shell as cron starts it: in the home.
    pub fn at_home(home: &[u8]) -> Shell {
        Shell { home: home.to_vec(), cwd: home.to_vec(), ..Shell::default() }
    }

    pub fn text(&mut self, text: &[u8], input: &Flow, depth: u32) -> Flow {
        if depth >= DEPTH_MAX || text.len() > WORD_MAX {
            return Flow::default();
        }
        self.list(&split(text), input, depth)
    }

    fn list(&mut self, list: &List, input: &Flow, depth: u32) -> Flow {
        let mut out = Flow::default();
        for pipeline in list {
            let mut flow = input.clone();
            for (at, unit) in pipeline.iter().enumerate() {
                if at > 0 {
                    self.mark_used();
                }
                flow = match unit {
                    Unit::Group(list) => self.list(list, &flow, depth),
                    Unit::Command { words, input, output } => self.command(words, input, output, &flow, depth),
                };
            }
            out.taint = out.taint.or(flow.taint);
            match (&mut out.text, flow.text) {
                (Some(all), Some(more)) if all.len() < WORD_MAX => {
                    all.push(b'\n');
                    all.extend(more);
                }
                (None, more) => out.text = more,
                _ => {}
            }
        }
        out
    }

    /// What was fetched just now goes on into another program.
    fn mark_used(&mut self) {
        if let Some(Deed::Fetches { used, .. }) = self.deeds.last_mut() {
            *used = true;
        }
    }

    fn command(&mut self, words: &[Word], input: &[Input], output: &[Word], fed: &Flow, depth: u32) -> Flow {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Flow::default();
        }
        let values: Vec<(Vec<u8>, Taint)> = words.iter().map(|word| self.value(word, depth)).collect();
        let mut fed = fed.clone();
        for input in input {
            match input {
                Input::Text(word) => {
                    let (text, taint) = self.value(word, depth);
                    fed = Flow { taint: fed.taint.or(taint), text: Some(text), file: None };
                }
                Input::File(word) => {
                    let (file, taint) = self.value(word, depth);
                    // bash's own connections: opened under a number, read from it later.
                    self.socket |= file.starts_with(b"/dev/tcp/");
                    let number = !file.is_empty() && file.iter().all(u8::is_ascii_digit);
                    fed.taint.fetched |= self.socket && (number || file.starts_with(b"/dev/tcp/"));
                    fed.taint = fed.taint.or(taint).or(self.taint_of(&file));
                    fed.file = Some(self.path(&file));
                }
            }
        }
        let files: Vec<Vec<u8>> = output.iter().map(|word| self.value(word, depth).0).collect();
        let before = self.deeds.len();
        let out = self.run(&values, &fed, depth);
        self.redirect(&files, before, out)
    }

    /// Sends what a command printed into its files.
    fn redirect(&mut self, files: &[Vec<u8>], before: usize, mut out: Flow) -> Flow {
        for file in files {
            if file.starts_with(b"/dev/tcp/") || file.starts_with(b"/dev/udp/") {
                self.deeds.push(Deed::RemoteShell);
                continue;
            }
            let file = self.path(file);
            for deed in &mut self.deeds[before..] {
                if let Deed::Fetches { file: to @ None, .. } = deed {
                    *to = Some(file.clone());
                }
            }
            if file != b"/dev/null" {
                let from = match (out.taint.any(), out.text.take()) {
                    (true, _) => Source::Tainted(out.taint),
                    (false, Some(text)) => Source::Text(text),
                    (false, None) => out.file.take().map_or(Source::Output, Source::File),
                };
                self.writes(file, from, out.taint);
            }
            out = Flow::default();
        }
        out
    }

    /// A word with its variables put in, and where its substitutions come from.
    fn value(&mut self, word: &Word, depth: u32) -> (Vec<u8>, Taint) {
        let (mut text, mut taint) = self.expand(&word.text);
        for inner in &word.inner {
            let plain = inner.trim_ascii();
            let found = plain.strip_prefix(b"which ").or_else(|| plain.strip_prefix(b"command -v "));
            if let (Some(name), Some(at)) = (found, text.iter().position(|b| *b == HOLE)) {
                text.splice(at..=at, name.trim_ascii().iter().copied());
                continue;
            }
            let flow = self.text(inner, &Flow::default(), depth + 1);
            taint = taint.or(flow.taint);
            if let (Some(printed), Some(at)) = (flow.text, text.iter().position(|b| *b == HOLE)) {
                text.splice(at..=at, printed);
            }
        }
        text.iter_mut().filter(|b| **b == DOLLAR).for_each(|b| *b = b'$');
        (text, taint)
    }

    /// Puts variables and `~` in.
    pub fn expand(&mut self, text: &[u8]) -> (Vec<u8>, Taint) {
        let (mut out, mut taint, mut rest) = (Vec::with_capacity(text.len()), Taint::default(), text);
        if let Some(below) = rest.strip_prefix(b"~").filter(|below| below.is_empty() || below[0] == b'/') {
            out.extend_from_slice(&self.home);
            rest = below;
        }
        while let Some(at) = rest.iter().position(|b| *b == b'$') {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            let braced = rest.strip_prefix(b"{");
            let name = braced.unwrap_or(rest);
            let length = name.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
            let known = self.variables.iter().find(|(known, ..)| *known == name[..length]);
            match known {
                Some((_, value, of)) if self.grown + value.len() < GROWN_MAX => {
                    self.grown += value.len();
                    out.extend_from_slice(value);
                    taint = taint.or(*of);
                    rest = &name[length..];
                    if braced.is_some() {
                        let end = rest.iter().position(|b| *b == b'}').map_or(rest.len(), |at| at + 1);
                        rest = &rest[end..];
                    }
                }
                _ => out.push(b'$'),
            }
        }
        out.extend_from_slice(rest);
        (out, taint)
    }

    pub fn set(&mut self, name: &[u8], value: Vec<u8>, taint: Taint) {
        self.variables.retain(|(known, ..)| known != name);
        if self.variables.len() < KNOWN_MAX {
            self.variables.push((name.to_vec(), value, taint));
        }
    }

    /// An absolute path without `.` and `..`, where that can be told.
    fn path(&self, file: &[u8]) -> Vec<u8> {
        let whole = match file.first() {
            Some(b'/') | None => file.to_vec(),
            _ if self.cwd.is_empty() => return file.strip_prefix(b"./").unwrap_or(file).to_vec(),
            _ => [&self.cwd[..], b"/", file].concat(),
        };
        let mut parts: Vec<&[u8]> = Vec::new();
        for part in whole.split(|b| *b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        [b"/", parts.join(&b'/').as_slice()].concat()
    }

    fn writes(&mut self, file: Vec<u8>, from: Source, taint: Taint) {
        if self.saved.len() < KNOWN_MAX && taint.any() {
            self.saved.push((file.clone(), taint));
        }
        self.deeds.push(Deed::Writes { file, from });
    }

    /// Where the content of a file comes from that this line wrote; by its last part, because folders are often left
    /// out.
    fn taint_of(&self, file: &[u8]) -> Taint {
        let name = base(file);
        let same = self.saved.iter().filter(|(saved, _)| !name.is_empty() && base(saved) == name);
        same.fold(Taint::default(), |all, (_, taint)| all.or(*taint))
    }

    fn run(&mut self, values: &[(Vec<u8>, Taint)], fed: &Flow, depth: u32) -> Flow {
        let mut at = 0;
        while let Some((name, value)) = values.get(at).and_then(|(word, _)| tools::assignment(word)) {
            let (name, value, taint) = (name.to_vec(), value.to_vec(), values[at].1);
            self.set(&name, value, taint);
            at += 1;
        }
        let words: Vec<Vec<u8>> = values[at..].iter().map(|(word, _)| word.clone()).collect();
        let whole = values[at..].iter().fold(Taint::default(), |all, (_, taint)| all.or(*taint));
        let skipped = tools::unwrap(&words);
        let (words, taints) = (&words[skipped..], &values[at + skipped..]);
        let Some((name, args)) = words.split_first() else { return Flow::default() };
        if taints[0].1.any() {
            // The command itself is what something printed.
            self.deeds.push(Deed::RunsText(taints[0].1));
            return Flow::default();
        }
        let program = base(name);
        if is_downloader(program) {
            return self.download(program, args, whole);
        }
        if let Some((archive, folder)) = tools::unpacks(program, args) {
            let (archive, folder) = (self.path(&archive), self.path(&folder));
            self.deeds.push(Deed::Unpacks { archive, folder });
        }
        match program {
            b"cd" | b"pushd" => {
                let to = args.iter().find(|arg| !arg.starts_with(b"-"));
                self.cwd = to.map_or(self.home.clone(), |to| self.path(to));
                Flow::default()
            }
            b"echo" | b"printf" => {
                let mut text = args.to_vec();
                text.retain(|arg| !matches!(&arg[..], b"-e" | b"-n" | b"-en" | b"-ne"));
                let text = text.join(&b' ');
                let escaped = text.windows(2).filter(|w| matches!(**w, [b'\\', b'x' | b'0' | b'1'])).count() >= 8;
                let taint = whole.or(Taint { fetched: false, decoded: escaped });
                Flow { taint, text: Some(text), file: None }
            }
            b"eval" => {
                if whole.any() {
                    self.deeds.push(Deed::RunsText(whole));
                }
                self.text(&args.join(&b' '), fed, depth + 1)
            }
            b"." | b"source" => {
                let taint = whole.or(args.first().map_or(Taint::default(), |file| self.taint_of(file)));
                let stdin = args.first().is_some_and(|file| file == b"/dev/stdin");
                self.reads(if stdin { taint.or(fed.taint) } else { whole });
                if let Some(file) = args.first().filter(|_| !stdin && !whole.any()) {
                    let file = self.path(file);
                    self.deeds.push(Deed::Starts { file, sourced: true, taint });
                }
                Flow::default()
            }
            b"at" | b"batch" => self.code_from_stdin(fed, true, depth),
            b"xargs" | b"parallel" => {
                let inner = tools::after_options(args, b"IdEnPsLaj");
                match inner.split_first() {
                    Some((name, _)) if is_interpreter(name) => self.reads(fed.taint),
                    None if program == b"parallel" => self.reads(fed.taint),
                    _ => {}
                }
                let inner: Vec<_> = inner.iter().map(|word| (word.clone(), Taint::default())).collect();
                self.run_bounded(&inner, fed, depth)
            }
            b"su" | b"flock" | b"script" | b"runuser" | b"watch" if tools::text_after(args, b"-c").is_some() => {
                let text = tools::text_after(args, b"-c").expect("just seen").to_vec();
                self.text(&text, fed, depth + 1)
            }
            b"crontab" => {
                let from = tools::crontab(args).map(|file| match &file[..] {
                    b"-" | b"/dev/stdin" if fed.taint.any() => Source::Tainted(fed.taint),
                    b"-" | b"/dev/stdin" => fed.text.clone().map_or(Source::Output, Source::Text),
                    file if self.taint_of(file).any() => Source::Tainted(self.taint_of(file)),
                    file => Source::File(self.path(file)),
                });
                self.deeds.extend(from.map(|from| Deed::Crontab { from }));
                Flow::default()
            }
            b"tee" | b"sponge" => {
                for file in args.iter().filter(|arg| !arg.starts_with(b"-")) {
                    let file = self.path(file);
                    self.writes(file, self.source(fed), fed.taint);
                }
                fed.clone()
            }
            b"dd" => {
                for file in args.iter().filter_map(|arg| arg.strip_prefix(b"of=")) {
                    let file = self.path(file);
                    self.writes(file, self.source(fed), fed.taint);
                }
                fed.clone()
            }
            b"cp" | b"mv" | b"install" | b"ln" | b"rsync" => {
                for (from, to) in tools::copies(args) {
                    let taint = self.taint_of(&from);
                    let (from, to) = (self.path(&from), self.path(&to));
                    self.writes(to, Source::File(from), taint);
                }
                Flow::default()
            }
            b"sed" if args.iter().any(|arg| arg.starts_with(b"-i") || arg.starts_with(b"--in-place")) => {
                if let Some(file) = args.last() {
                    let file = self.path(file);
                    self.writes(file, Source::Text(args.join(&b' ')), Taint::default());
                }
                Flow::default()
            }
            b"touch" | b"chmod" | b"chattr" => {
                let disguised = tools::disguised(program, args);
                let disguised: Vec<Deed> = disguised.iter().map(|file| Deed::Disguises(self.path(file))).collect();
                self.deeds.extend(disguised);
                Flow::default()
            }
            _ if is_interpreter(program) => self.interpret(name, args, taints, fed, depth),
            _ => self.other(name, args, fed),
        }
    }

    fn run_bounded(&mut self, values: &[(Vec<u8>, Taint)], fed: &Flow, depth: u32) -> Flow {
        self.steps += 1;
        if depth + 1 >= DEPTH_MAX || self.steps > STEPS_MAX {
            Flow::default()
        } else {
            self.run(values, fed, depth + 1)
        }
    }

    fn source(&self, fed: &Flow) -> Source {
        match (&fed.text, fed.taint.any()) {
            (_, true) => Source::Tainted(fed.taint),
            (Some(text), _) => Source::Text(text.clone()),
            (None, _) => fed.file.clone().map_or(Source::Output, Source::File),
        }
    }

    fn reads(&mut self, taint: Taint) {
        if taint.any() {
            self.deeds.push(Deed::RunsText(taint));
        }
    }

    /// Standard input is the code.
    fn code_from_stdin(&mut self, fed: &Flow, shell: bool, depth: u32) -> Flow {
        self.reads(fed.taint);
        match &fed.text {
            Some(text) if shell => self.text(&text.clone(), &Flow::default(), depth + 1),
            Some(text) => {
                let runs = runs_fetched(text, Taint::default());
                self.reads(runs);
                Flow::default()
            }
            None => Flow::default(),
        }
    }

    fn interpret(
        &mut self,
        name: &[u8],
        args: &[Vec<u8>],
        taints: &[(Vec<u8>, Taint)],
        fed: &Flow,
        depth: u32,
    ) -> Flow {
        let shell = is_shell(name);
        let argv: Vec<Vec<u8>> = std::iter::once(name.to_vec()).chain(args.iter().cloned()).collect();
        let of = |text: &[u8]| {
            taints.iter().filter(|(word, _)| word == text).fold(Taint::default(), |all, (_, taint)| all.or(*taint))
        };
        match code_of(name, &argv, b"") {
            Code::Inline(text) if shell => {
                self.reads(of(&text));
                self.text(&text, fed, depth + 1)
            }
            Code::Inline(text) => {
                self.coded += text.len();
                if self.coded > CODED_MAX {
                    return Flow::default();
                }
                for url in code::urls(&text) {
                    self.deeds.push(Deed::Fetches { url, file: None, sends: Vec::new(), tells: false, used: true });
                }
                let runs = of(&text).or(runs_fetched(&text, fed.taint));
                self.reads(runs);
                for (file, taint) in code::writes(&text) {
                    let from = if taint.any() { Source::Tainted(taint) } else { Source::Text(text.clone()) };
                    self.writes(self.path(&file), from, taint);
                }
                Flow::default()
            }
            Code::Stdin => self.code_from_stdin(fed, shell, depth),
            Code::Script(file) if file == b"/dev/stdin" => self.code_from_stdin(fed, shell, depth),
            Code::Script(file) => {
                // PHP opens addresses like files.
                let decoded = file.starts_with(b"data:");
                let taint = of(&file).or(Taint { fetched: !decoded && contains(&file, b"://"), decoded });
                if taint.any() || file.contains(&HOLE) {
                    self.reads(taint);
                } else {
                    let (taint, file) = (self.taint_of(&file), self.path(&file));
                    self.deeds.push(Deed::Starts { file, sourced: false, taint });
                }
                Flow::default()
            }
            Code::Module | Code::Unknown => Flow::default(),
        }
    }

    fn download(&mut self, program: &[u8], args: &[Vec<u8>], whole: Taint) -> Flow {
        if tools::gives_shell(program, args) {
            self.deeds.push(Deed::RemoteShell);
            return Flow::default();
        }
        let mut request = tools::request(program, args);
        request.tells |= args.iter().any(|arg| arg.contains(&HOLE)) || whole.any();
        request.tells |= request.from_stdin;
        let fetched = Taint { fetched: true, decoded: false };
        let null = request.file.as_deref() == Some(b"/dev/null");
        let file = request.file.as_ref().map(|file| if null { file.clone() } else { self.path(file) });
        let sends: Vec<Vec<u8>> = request.sends.iter().map(|file| self.path(file)).collect();
        for url in request.urls {
            let (sends, tells) = (sends.clone(), request.tells);
            self.deeds.push(Deed::Fetches { url, file: file.clone(), sends, tells, used: false });
        }
        match file {
            Some(file) if !null => {
                self.writes(file, Source::Tainted(fetched), fetched);
                Flow::default()
            }
            Some(_) => Flow::default(),
            None => Flow { taint: fetched, ..Flow::default() },
        }
    }

    /// A program that is neither a downloader nor an interpreter.
    fn other(&mut self, name: &[u8], args: &[Vec<u8>], fed: &Flow) -> Flow {
        let program = base(name);
        let files = args.iter().fold(fed.taint, |all, file| all.or(self.taint_of(file)));
        if tools::decodes(program, args) {
            return Flow { taint: files.or(Taint { fetched: false, decoded: true }), ..Flow::default() };
        }
        if tools::asks(program, args) {
            return Flow { taint: files.or(Taint { fetched: true, decoded: false }), ..Flow::default() };
        }
        if name.contains(&b'/') || self.taint_of(name).any() {
            let (taint, file) = (self.taint_of(name), self.path(name));
            self.deeds.push(Deed::Starts { file, sourced: false, taint });
        }
        let tells = args.iter().any(|arg| contains(arg, b"/dev/tcp/"));
        if tells {
            self.deeds.push(Deed::RemoteShell);
        }
        let text = fed.text.clone().filter(|_| matches!(program, b"cat" | b"grep" | b"sed"));
        let prints = matches!(program, b"cat" | b"zcat" | b"tail" | b"head" | b"sed" | b"gunzip" | b"gzip" | b"xzcat");
        let last = args.iter().rfind(|arg| !arg.starts_with(b"-")).filter(|_| prints).map(|file| self.path(file));
        Flow { taint: files, text, file: last.or(fed.file.clone().filter(|_| prints)) }
    }
}
