//! Reads one line of a crontab: comment, variable, or schedule and command (crontab(5) of Vixie cron and cronie).

/// Longest line that is read, bytes. cronie takes commands of 128 KiB, Debian's cron 998 characters.
pub const LINE_MAX: usize = 64 << 10;

/// Whose table it is, which decides whether lines name a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A table of the spool: all lines run as its owner.
    User,
    /// `/etc/crontab` and files of `cron.d`: the word after the schedule is the user.
    System,
}

/// What a line is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line<'a> {
    /// Empty or a comment.
    Nothing,
    /// A variable for the lines below.
    Variable(&'a [u8], Vec<u8>),
    /// A job.
    Job(Job<'a>),
    /// Neither: cron would refuse it as well.
    Unclear,
}

/// A scheduled command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Job<'a> {
    /// As which user, in [`Form::System`].
    pub user: Option<&'a [u8]>,
    /// Runs a week, rounded; 0 for jobs of the machine's start alone.
    pub per_week: u32,
    /// Runs when the machine starts.
    pub at_start: bool,
    /// The command, `\%` read as `%`.
    pub command: Vec<u8>,
    /// What it is fed: the text after the first bare `%`, further ones as newlines.
    pub stdin: Option<Vec<u8>>,
}

impl Job<'_> {
    /// Whether it runs at least this often, or at the start of the machine.
    pub fn at_least(&self, per_week: u32) -> bool {
        self.at_start || self.per_week >= per_week
    }
}

/// Reads a line without its newline.
pub fn line(text: &[u8], form: Form) -> Line<'_> {
    let text = text.trim_ascii_start();
    match text.first() {
        None | Some(b'#') => return Line::Nothing,
        Some(_) if text.len() > LINE_MAX || text.contains(&0) => return Line::Unclear,
        Some(_) => {}
    }
    // A minus before the schedule only keeps cron from writing a log line (cronie, SUSE).
    let bare = text.strip_prefix(b"-").unwrap_or(text);
    if let Some(job) = job(bare, form) {
        return Line::Job(job);
    }
    variable(text).map_or(Line::Unclear, |(name, value)| Line::Variable(name, value))
}

fn variable(text: &[u8]) -> Option<(&[u8], Vec<u8>)> {
    let at = text.iter().position(|b| *b == b'=')?;
    let name = unquoted(text[..at].trim_ascii());
    let word = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    if name.is_empty() || !name.iter().all(word) {
        return None;
    }
    Some((name, unquoted(text[at + 1..].trim_ascii()).to_vec()))
}

fn unquoted(text: &[u8]) -> &[u8] {
    match text {
        [b'"', inside @ .., b'"'] | [b'\'', inside @ .., b'\''] => inside,
        _ => text,
    }
}

/// The next word and what follows it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text.iter().position(|b| matches!(b, b' ' | b'\t')).unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], &text[end..]))
}

fn job(text: &[u8], form: Form) -> Option<Job<'_>> {
    let (per_week, at_start, mut rest) = match text.first()? {
        b'@' => {
            let (name, rest) = word(text)?;
            let per_week = match &name[1..] {
                b"reboot" => 0,
                b"yearly" | b"annually" | b"monthly" => 1,
                b"weekly" => 1,
                b"daily" | b"midnight" => 7,
                b"hourly" => 7 * 24,
                b"every_minute" => 7 * 24 * 60,
                _ => return None,
            };
            (per_week, per_week == 0, rest)
        }
        _ => {
            let (minute, rest) = word(text)?;
            let (hour, rest) = word(rest)?;
            let (day, rest) = word(rest)?;
            let (month, rest) = word(rest)?;
            let (weekday, rest) = word(rest)?;
            let (minutes, hours) = (field(minute, 0, 59, &[])?, field(hour, 0, 23, &[])?);
            let (days, months) = (field(day, 1, 31, &[])?, field(month, 1, 12, MONTHS)?);
            let weekdays = field(weekday, 0, 7, DAYS)?;
            // Either of the two day fields is enough when both are restricted (crontab(5)).
            let share = match (days < 31, weekdays < 7) {
                (false, false) => 7,
                (true, false) => (days * 7).div_ceil(31),
                (false, true) => weekdays,
                (true, true) => ((days * 7).div_ceil(31) + weekdays).min(7),
            };
            (((minutes * hours * share * months).div_ceil(12)).max(1), false, rest)
        }
    };
    let mut user = None;
    if form == Form::System {
        let (name, after) = word(rest)?;
        (user, rest) = (Some(name), after);
    }
    let rest = rest.trim_ascii();
    if rest.is_empty() {
        return None;
    }
    let (mut command, mut stdin): (Vec<u8>, Option<Vec<u8>>) = (Vec::with_capacity(rest.len()), None);
    let mut bytes = rest.iter().copied().peekable();
    while let Some(b) = bytes.next() {
        match (b, bytes.peek()) {
            (b'\\', Some(b'%')) => {
                bytes.next();
                stdin.as_mut().unwrap_or(&mut command).push(b'%');
            }
            (b'%', _) if stdin.is_none() => stdin = Some(Vec::new()),
            (b'%', _) => stdin.as_mut().expect("just seen").push(b'\n'),
            _ => stdin.as_mut().unwrap_or(&mut command).push(b),
        }
    }
    Some(Job { user, per_week, at_start, command, stdin })
}

const MONTHS: &[&str] = &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

/// How many values of a field are meant; `None` when it is none. `~` picks one at random (cronie, OpenBSD).
fn field(text: &[u8], low: u32, high: u32, names: &[&str]) -> Option<u32> {
    let text = std::str::from_utf8(text).ok()?;
    let value = |text: &str| -> Option<u32> {
        let named = names.iter().position(|name| text.eq_ignore_ascii_case(name));
        let named = named.map(|at| at as u32 + u32::from(names.len() == 12));
        named
            .or_else(|| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())?)
            .filter(|value| (low..=high).contains(value))
    };
    let mut set = 0u64;
    let mut random = 0;
    for part in text.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse::<u32>().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        if let Some((from, to)) = range.split_once('~') {
            (from.is_empty() || value(from).is_some()).then_some(())?;
            (to.is_empty() || value(to).is_some()).then_some(())?;
            random += 1;
            continue;
        }
        let (from, to) = match range.split_once('-') {
            _ if range == "*" => (low, high),
            Some((from, to)) => (value(from)?, value(to)?),
            None if part.contains('/') => (value(range)?, high),
            None => (value(range)?, value(range)?),
        };
        (from <= to).then_some(())?;
        set |= (from..=to).step_by(step as usize).fold(0, |set, at| set | 1u64 << at);
    }
    // Sunday is 0 and 7.
    if high == 7 && set & 0x80 != 0 {
        set = (set | 1) & !0x80;
    }
    Some(set.count_ones() + random).filter(|count| *count > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_cron_reads_them() {
        let show = |text: &str| match line(text.as_bytes(), Form::User) {
            Line::Nothing => "nothing".to_owned(),
            Line::Variable(name, value) => {
                format!("{}={}", String::from_utf8_lossy(name), String::from_utf8_lossy(&value))
            }
            Line::Job(job) => {
                let stdin = job.stdin.map(|s| format!(" <{}", String::from_utf8_lossy(&s).escape_debug()));
                let start = if job.at_start { "start " } else { "" };
                let command = String::from_utf8_lossy(&job.command).into_owned();
                format!("{start}{} {command}{}", job.per_week, stdin.unwrap_or_default())
            }
            Line::Unclear => "unclear".to_owned(),
        };
        for (text, want) in [
            ("", "nothing"),
            ("  # */5 * * * * x", "nothing"),
            ("MAILTO=\"\"", "MAILTO="),
            ("A = 'b c'", "A=b c"),
            ("* * * * * x", "10080 x"),
            ("*/5 * * * *\tx y", "2016 x y"),
            ("0 3 * * Mon-Fri x", "5 x"),
            ("15 4 1 jan * x", "1 x"),
            ("0 0 * * 0,7 x", "1 x"),
            ("5~20 * * * * x", "168 x"),
            ("-*/10 * * * * x", "1008 x"),
            ("@reboot x", "start 0 x"),
            ("@daily x", "7 x"),
            ("1 1 * * * mail%a%b\\%c", "7 mail <a\\nb%c"),
            ("1 1 * * * date +\\%F", "7 date +%F"),
            ("60 * * * * x", "unclear"),
            ("* * * * x", "unclear"),
            ("*/0 * * * * x", "unclear"),
            ("5-1 * * * * x", "unclear"),
            ("@often x", "unclear"),
            ("* * * * *", "unclear"),
            ("no crontab for aoi", "unclear"),
            ("99999999999999999999 * * * * x", "unclear"),
        ] {
            assert_eq!(show(text), want, "{text}");
        }
    }

    #[test]
    fn a_line_of_the_system_names_its_user() {
        let Line::Job(job) = line(b"0 3 * * * aoi /home/aoi/x", Form::System) else { panic!("a job") };
        assert_eq!((job.user, &job.command[..]), (Some(&b"aoi"[..]), &b"/home/aoi/x"[..]));
        assert_eq!(line(b"0 3 * * * aoi", Form::System), Line::Unclear);
    }
}
