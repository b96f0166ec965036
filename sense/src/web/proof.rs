//! What is known of a script that its callers cannot make, see [`super::judge`].

use super::known::{CODE_WORDS, DATA_WORDS, LOOSE_WORDS, Place, is_month, is_year};
use super::script::Script;
use super::site::Site;

/// Whether something is known of the script that its callers did not make.
pub fn is_proven(site: &Site, path: &[u8], place: Place, script: &Script) -> bool {
    script.missing_before
        || script.is_varied() && is_loaded(path)
        || is_dated(path)
        || place == Place::Data && site.is_news(script)
}

/// Whether a script is one that programs load and nobody calls, by what its name or folder says: called directly, a
/// class prints nothing, always. No stranger makes such a file answer one thing now and another thing then.
///
/// A word of the name at its beginning or end (`class-x.php`, `x.inc.php`, `x_helper.php`); a folder of classes alone;
/// a package below `vendor`; a folder in capitals below one for code (PSR-4, php-fig.org/psr/psr-4). Folders as `lib`
/// and `includes` alone say nothing: endpoints lie there too.
pub fn is_loaded(script: &[u8]) -> bool {
    const NAMES: &[&str] = &[
        "class",
        "classes",
        "abstract",
        "interface",
        "trait",
        "helper",
        "helpers",
        "functions",
        "function",
        "inc",
        "lib",
        "autoload",
        "constants",
        "defines",
    ];
    const FOLDERS: &[&str] = &["classes", "class", "traits", "models", "wp-includes", "node_modules", "language"];
    let within = |words: &[&str], part: &[u8]| words.iter().any(|w| part.eq_ignore_ascii_case(w.as_bytes()));
    let (folder, name) = script.split_at(script.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1));
    let stem = &name[..name.iter().rposition(|b| *b == b'.').unwrap_or(name.len())];
    let words = || stem.split(|b| matches!(b, b'-' | b'_' | b'.'));
    if [words().next(), words().next_back()].into_iter().flatten().any(|word| within(NAMES, word)) {
        return true;
    }
    let parts: Vec<&[u8]> = folder.split(|b| *b == b'/').filter(|p| !p.is_empty()).collect();
    // What lies in a folder for data or pictures inside of one for code is no class.
    let data = |p: &&[u8]| LOOSE_WORDS.iter().chain(DATA_WORDS).any(|w| w.as_bytes() == *p);
    let inner = parts.iter().rposition(data).map_or(0, |at| at + 1);
    let parts = &parts[inner..];
    let package = |at: usize| parts.len() > at + 2 && parts[at].eq_ignore_ascii_case(b"vendor");
    let capital = |p: &&[u8]| p.first().is_some_and(u8::is_ascii_uppercase) && p.iter().any(u8::is_ascii_lowercase);
    parts.iter().enumerate().any(|(at, part)| {
        within(FOLDERS, part) || package(at) || within(CODE_WORDS, part) && parts[at + 1..].iter().any(capital)
    })
}

/// Whether it lies in a folder of uploads that a program sorts by year and month: only what was uploaded is there.
pub fn is_dated(script: &[u8]) -> bool {
    let lower = script.to_ascii_lowercase();
    let parts: Vec<&[u8]> = lower.split(|b| *b == b'/').filter(|p| !p.is_empty()).collect();
    let uploads =
        |p: &&[u8]| DATA_WORDS.iter().chain(&["upload", "files", "media", "images"]).any(|w| w.as_bytes() == *p);
    parts.windows(3).any(|w| uploads(&w[0]) && is_year(w[1]) && is_month(w[2]))
}
