//! The access log of php-fpm as its `access.format` writes it: how long a script took, what CPU and memory it used.
//!
//! Codes and their defaults are those of `sapi/fpm/www.conf.in` and `fpm_log.c` of php-src. FPM escapes nothing, so an
//! address that a visitor chose can hold quotes, spaces and whole other lines: a line that fits the format in two ways
//! is not understood.

/// FPM's own format when none is set.
pub const DEFAULT: &str = "%R - %u %t \"%m %r\" %s";
/// Most steps for one line; what needs more has too many readings anyway.
const STEPS_MAX: u32 = 4000;
/// Longest line that is looked at, bytes.
const LINE_MAX: usize = 8192;

/// What stands in one place of a line.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Text(Vec<u8>),
    /// Digits, at most one point: seconds of one unit of it.
    Took(f64),
    /// CPU of one request, per cent of a core.
    Cpu,
    /// Bytes of one unit of it.
    Memory(f64),
    /// Another number.
    Number,
    /// No space, no quote.
    Word,
    /// A stamp: letters, digits, signs and spaces.
    Stamp,
    /// Path of the script.
    File,
    /// What was asked for.
    Address,
    /// Anything.
    Free,
}

/// A format, ready to read lines.
#[derive(Clone, Debug, PartialEq)]
pub struct Format(Vec<Piece>);

/// One request.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Request<'a> {
    /// Path of the script; empty when the format has none.
    pub file: &'a [u8],
    /// What was asked for, without its parameters.
    pub address: &'a [u8],
    /// How long it took, seconds.
    pub seconds: Option<f64>,
    /// CPU seconds, where the format has both parts.
    pub cpu_seconds: Option<f64>,
    /// Peak of its memory, bytes.
    pub memory: Option<f64>,
}

impl Default for Format {
    fn default() -> Format {
        Format::new(DEFAULT).unwrap_or(Format(Vec::new()))
    }
}

impl Format {
    /// Reads `access.format`; none when a code is unknown.
    pub fn new(format: &str) -> Option<Format> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = format;
        while let Some(at) = rest.find('%') {
            push(&mut pieces, Piece::Text(rest.as_bytes()[..at].to_vec()));
            rest = &rest[at + 1..];
            let mut unit = "";
            if let Some(braced) = rest.strip_prefix('{') {
                let end = braced.find('}')?;
                (unit, rest) = (&braced[..end], &braced[end + 1..]);
            }
            let code = rest.chars().next()?;
            rest = &rest[code.len_utf8()..];
            let piece = match (code, unit) {
                ('%', "") => Piece::Text(b"%".to_vec()),
                ('d', "" | "seconds") => Piece::Took(1.0),
                ('d', "milli" | "miliseconds" | "milliseconds") => Piece::Took(1e-3),
                ('d', "micro" | "microseconds") => Piece::Took(1e-6),
                ('M', "" | "bytes") => Piece::Memory(1.0),
                ('M', "kilo" | "kilobytes") => Piece::Memory(1024.0),
                ('M', "mega" | "megabytes") => Piece::Memory(1_048_576.0),
                ('C', "" | "total") => Piece::Cpu,
                ('C', "user" | "system") | ('s' | 'p' | 'P' | 'l' | 'L', "") => Piece::Number,
                ('R' | 'm' | 'n' | 'u', "") => Piece::Word,
                ('t' | 'T', _) => Piece::Stamp,
                ('f', "") => Piece::File,
                ('r', "") => Piece::Address,
                ('q' | 'Q' | 'e' | 'o', _) => Piece::Free,
                _ => return None,
            };
            push(&mut pieces, piece);
        }
        push(&mut pieces, Piece::Text(rest.as_bytes().to_vec()));
        Some(Format(pieces))
    }

    /// Whether its lines say how long a script took.
    pub fn has_times(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Took(_)))
    }

    /// Reads one line; none when it does not fit, or fits in two ways.
    pub fn read<'a>(&self, line: &'a [u8]) -> Option<Request<'a>> {
        if line.len() > LINE_MAX || self.0.is_empty() {
            return None;
        }
        let mut reading = Reading { found: None, ways: 0, steps: 0 };
        reading.fit(&self.0, line, Request::default(), None);
        reading.found.filter(|_| reading.ways == 1 && reading.steps < STEPS_MAX)
    }
}

/// Adds a piece; text joins text, and free text behind what was asked for is part of it.
fn push(pieces: &mut Vec<Piece>, piece: Piece) {
    match (pieces.last_mut(), piece) {
        (_, Piece::Text(text)) if text.is_empty() => {}
        (Some(Piece::Text(before)), Piece::Text(text)) => before.extend(text),
        (Some(Piece::Address | Piece::Free), Piece::Free) => {}
        (_, piece) => pieces.push(piece),
    }
}

struct Reading<'a> {
    found: Option<Request<'a>>,
    ways: u32,
    steps: u32,
}

impl<'a> Reading<'a> {
    fn fit(&mut self, pieces: &[Piece], line: &'a [u8], so_far: Request<'a>, cpu: Option<f64>) {
        self.steps += 1;
        if self.steps >= STEPS_MAX || self.ways > 1 {
            return;
        }
        let Some((piece, rest)) = pieces.split_first() else {
            if line.is_empty() {
                let both = so_far.seconds.zip(cpu).map(|(seconds, percent)| seconds * percent / 100.0);
                let found = Request { cpu_seconds: both, ..so_far };
                // Where only the blanks between a stamp and a name move, it is one reading.
                self.ways += u32::from(self.found != Some(found));
                self.found = Some(found);
            }
            return;
        };
        if let Piece::Text(text) = piece {
            if let Some(line) = line.strip_prefix(&text[..]) {
                self.fit(rest, line, so_far, cpu);
            }
            return;
        }
        let longest = line.iter().position(|b| !fits(piece, *b)).unwrap_or(line.len());
        // What follows a field is a text in every usable format; the end of the line else.
        let ends: Vec<usize> = match rest.first() {
            Some(Piece::Text(text)) => {
                let reach = line.len().min(longest + text.len());
                memchr::memmem::find_iter(&line[..reach], &text[..]).filter(|at| *at <= longest).collect()
            }
            Some(_) => (0..=longest).collect(),
            None => Vec::from_iter((longest == line.len()).then_some(longest)),
        };
        for end in ends {
            let (value, after) = line.split_at(end);
            let number = || std::str::from_utf8(value).ok()?.parse::<f64>().ok().filter(|n| n.is_finite() && *n >= 0.0);
            let (mut request, mut cpu) = (so_far, cpu);
            match piece {
                Piece::Took(unit) => request.seconds = number().map(|n| n * unit),
                Piece::Memory(unit) => request.memory = number().map(|n| n * unit),
                Piece::Cpu => cpu = number(),
                Piece::File => request.file = value,
                Piece::Address => {
                    request.address = &value[..memchr::memchr(b'?', value).unwrap_or(value.len())];
                }
                _ => {}
            }
            let needed = matches!(piece, Piece::Took(_) | Piece::Memory(_) | Piece::Cpu | Piece::Number);
            if !needed || number().is_some() {
                self.fit(rest, after, request, cpu);
            }
        }
    }
}

fn fits(piece: &Piece, b: u8) -> bool {
    match piece {
        Piece::Took(_) | Piece::Cpu | Piece::Memory(_) | Piece::Number => b.is_ascii_digit() || b == b'.',
        Piece::Word => !matches!(b, b' ' | b'"'),
        Piece::Stamp => b.is_ascii_alphanumeric() || b" /:+-.,[]".contains(&b),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: &str = "%R - %u %t \"%m %r%Q%q\" %s %f %{milli}d %{kilo}M %C%%";

    #[test]
    fn the_formats_of_fpm_are_read() {
        let line = b"192.0.2.4 -  28/Nov/2026:10:00:00 +0900 \"GET /index.php\" 200";
        let read = Format::default().read(line);
        assert_eq!(read.map(|r| (r.address, r.seconds)), Some((&b"/index.php"[..], None)));
        let line = b"192.0.2.4 - aoi 28/Nov/2026:10:00:00 +0900 \"POST /a.php?x=1\" 200 /home/aoi/a b.php 1500.250 2048 80.00%";
        let read = Format::new(FULL).unwrap().read(line).unwrap();
        assert_eq!((read.address, read.file), (&b"/a.php"[..], &b"/home/aoi/a b.php"[..]));
        assert!((read.seconds.unwrap() - 1.50025).abs() < 1e-9 && read.memory == Some(2_097_152.0));
        assert!((read.cpu_seconds.unwrap() - 1.2002).abs() < 1e-9);
        assert!(Format::new("%R %Z").is_none() && Format::new("%{x").is_none() && Format::new("%").is_none());
        assert!(Format::new(FULL).unwrap().has_times() && !Format::default().has_times());
    }

    #[test]
    fn a_line_with_two_readings_is_none() {
        let format = Format::new(FULL).unwrap();
        let forged = b"192.0.2.4 - - 28/Nov/2026:10:00:00 +0900 \"GET /a\" 200 /home/fuji/x.php 9000.000 1 99.00%\" 404 /home/aoi/a.php 1.000 1 1.00%";
        let read = format.read(forged).map(|r| r.file.to_vec());
        assert_ne!(read.as_deref(), Some(&b"/home/fuji/x.php"[..]));
        assert_eq!(format.read(b"192.0.2.4 - - x \"GET /a\" 200 /b\" 200 /c 1.0 1 1.0%"), None);
    }
}
