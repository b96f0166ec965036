//! Breaks text into lines: 35 full-width signs in Japanese, 72 columns in English, never wider.
//!
//! Japanese breaks where a reader breathes: after a full stop or comma, else after a particle, else wherever no
//! forbidden sign begins or ends a line (JIS X 4051, kinsoku). A value without any such place is cut between two
//! signs, after `/`, `-` or `.` when there is one, so that a long path never breaks the layout.

/// Columns of a line, in both languages counted alike: a full-width sign takes two.
pub const JA: usize = 70;
/// See [`JA`].
pub const EN: usize = 72;

/// Signs that never begin a line.
const NOT_FIRST: &str =
    "、。，．・：；？！）」』】〕〉》ーぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮヵヶ々〜～…,.:;?!)]}%";
/// Signs that never end a line.
const NOT_LAST: &str = "（「『【〔〈《([{■▼※※";
/// Particles: after one of these a phrase is over when no further hiragana follows.
const PARTICLES: &str = "はがをにでともへやのらて";

/// How good a place to break is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Forbidden; only when a whole line has no other place.
    Never,
    /// Inside a word or value, when it does not fit on a line.
    Cut,
    /// Inside a long value, after a sign that parts it.
    Joint,
    /// Kinsoku allows it.
    Allowed,
    /// After a particle, or at a space.
    Phrase,
    /// After a comma.
    Comma,
    /// After a full stop.
    Stop,
}

/// Columns that a text takes. Signs of unclear width count as wide, so a line is never too long.
pub fn columns(text: &str) -> usize {
    text.chars().map(columns_of).sum()
}

fn columns_of(c: char) -> usize {
    match u32::from(c) {
        0..0x1100 => 1,
        0xff61..=0xff9f => 1,
        _ => 2,
    }
}

/// Lines of at most `width` columns; the first begins with `first`, the others with `rest`.
pub fn wrap(text: &str, width: usize, first: &str, rest: &str) -> Vec<String> {
    let signs: Vec<char> = text.trim().chars().collect();
    let mut lines = Vec::new();
    let mut from = 0;
    let mut indent = first;
    loop {
        let room = width - columns(indent);
        let end = line_end(&signs[from..], room) + from;
        let line: String = signs[from..end].iter().collect();
        lines.push(format!("{indent}{}", line.trim_end()).trim_end().to_owned());
        from = end + signs[end..].iter().take_while(|c| **c == ' ').count();
        indent = rest;
        if from >= signs.len() {
            return lines;
        }
    }
}

/// How many signs the next line takes.
fn line_end(signs: &[char], room: usize) -> usize {
    let mut used = 0;
    let mut fit = 0;
    for c in signs {
        // A space at the end of a line is not printed, so it needs no room.
        if used + columns_of(*c) > room && *c != ' ' {
            break;
        }
        used += columns_of(*c);
        fit += 1;
    }
    if fit == signs.len() {
        return fit;
    }
    let fit = fit.max(1);
    // The better a place, the further back we go for it, but a nearer one as good is always taken. A line keeps a
    // quarter of its room at least.
    let mut best: Option<(isize, usize)> = None;
    let mut back = 0;
    for at in (1..=fit).rev() {
        if let Some(bonus) = bonus(place(signs, at)).filter(|_| back * 4 <= room * 3) {
            let score = (room * bonus / 100) as isize - back as isize;
            if best.is_none_or(|(top, _)| score > top) {
                best = Some((score, at));
            }
        }
        back += columns_of(signs[at - 1]);
    }
    best.map_or(fit, |(_, at)| at)
}

/// What a place is worth, in hundredths of the line that we leave empty for it; `None` where no line may end.
fn bonus(place: Place) -> Option<usize> {
    Some(match place {
        Place::Never => return None,
        Place::Cut => 0,
        Place::Joint => 5,
        Place::Allowed => 12,
        Place::Phrase => 60,
        Place::Comma => 70,
        Place::Stop => 80,
    })
}

/// How good it is to break before `signs[at]`.
fn place(signs: &[char], at: usize) -> Place {
    let (before, after) = (signs[at - 1], signs[at]);
    // `(` stays with the day it explains, `{` with the escape that it belongs to (`\u{202e}`).
    if NOT_FIRST.contains(after) || NOT_LAST.contains(before) || (matches!(after, '(' | '{') && before != ' ') {
        return Place::Never;
    }
    if before == ' ' || after == ' ' {
        return Place::Phrase;
    }
    match before {
        '。' => return Place::Stop,
        '、' => return Place::Comma,
        _ => {}
    }
    if before == ')' {
        return Place::Allowed;
    }
    if columns_of(before) == 1 && columns_of(after) == 1 {
        return if matches!(before, '/' | '-' | '.' | '_' | '?' | '&' | '=') { Place::Joint } else { Place::Cut };
    }
    // Numbers keep their unit, dates stay whole as far as it goes.
    if before.is_ascii_digit() || (after.is_ascii_digit() && matches!(before, '年' | '月' | '第')) {
        return Place::Cut;
    }
    if before == 'を' || (PARTICLES.contains(before) && !hiragana(after)) {
        return Place::Phrase;
    }
    match (script(before), script(after)) {
        (Script::Katakana, Script::Katakana) => Place::Cut,
        (a, b) if a == b => Place::Joint,
        _ => Place::Allowed,
    }
}

#[derive(PartialEq, Eq)]
enum Script {
    Hiragana,
    Katakana,
    Other,
}

fn script(c: char) -> Script {
    match c {
        '\u{3041}'..='\u{309f}' => Script::Hiragana,
        '\u{30a0}'..='\u{30ff}' => Script::Katakana,
        _ => Script::Other,
    }
}

fn hiragana(c: char) -> bool {
    script(c) == Script::Hiragana
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn japanese_breaks_after_a_comma_or_a_particle() {
        let text = "被害が広がらないよう、すぐに下記の制限をかけました。前もってお知らせできず、申し訳ございません。";
        let lines = wrap(text, JA, "", "");
        assert_eq!(
            lines,
            ["被害が広がらないよう、すぐに下記の制限をかけました。", "前もってお知らせできず、申し訳ございません。"]
        );
    }

    #[test]
    fn no_line_begins_or_ends_with_a_forbidden_sign_and_none_is_too_wide() {
        let text = "「サイトの公開停止」(blog.example.jp)、「メール送信の保留」は、2026年3月21日(土)11:46(日本時間)にかけた制限です。";
        for width in 20..90 {
            for line in wrap(text, width, "", "  ") {
                assert!(columns(&line) <= width, "{width}: {line}");
                assert!(!NOT_FIRST.contains(line.trim_start().chars().next().unwrap()), "{width}: {line}");
                assert!(!NOT_LAST.contains(line.chars().last().unwrap()), "{width}: {line}");
            }
        }
    }

    #[test]
    fn a_value_without_a_place_to_break_is_cut_safely() {
        for value in ["-".repeat(300), "山".repeat(200), "a/".repeat(200), "、".repeat(100)] {
            let lines = wrap(&value, JA, "", "  ");
            assert!(lines.iter().all(|line| columns(line) <= JA));
            assert_eq!(lines.concat().replace(' ', ""), value);
        }
    }

    #[test]
    fn an_empty_text_is_one_empty_line() {
        assert_eq!(wrap("", EN, "", ""), [""]);
    }
}
