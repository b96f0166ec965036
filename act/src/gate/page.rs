//! The page that visitors of a closed site see: neutral for them, with the number and the way for the owner.

use model::{Moment, Number};

use super::Answer;

/// One self-contained page, Japanese first and English below: no script, no outside resource, no cookie. The incident,
/// since when, and where its owner enters the number.
///
/// The first line carries the number for the desk's probe: `<meta name="hikeshi" content="HK-…">`.
pub(crate) fn page(number: Number, since: Moment, portal: &str, answer: Answer) -> String {
    let since = format!("{} UTC", since.to_string().trim_end_matches('Z').replace('T', " "));
    let page = PAGE.replace("CODE", if answer == Answer::Forbidden { "403" } else { "503" });
    // The portal last: what it says is no place of ours.
    page.replace("NUMBER", &number.to_string()).replace("SINCE", &since).replace("PORTAL", &escape(portal))
}

const PAGE: &str = include_str!("page.html");

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_both_languages_the_number_the_time_and_nothing_from_outside() {
        let since = Moment::parse("2026-03-21T11:46:53+09:00").unwrap();
        let number = Number::new(since, 3);
        let text = page(number, since, "https://p.example/<x>NUMBER", Answer::Forbidden);
        for part in [
            "このページは現在ご覧いただけません。",
            "This page is not available right now.",
            "2026-03-21 02:46:53 UTC",
            "https://p.example/&lt;x&gt;NUMBER",
            &format!("<meta name=\"hikeshi\" content=\"{number}\">"),
            "color-scheme:light dark",
        ] {
            assert!(text.contains(part), "{part}");
        }
        for foreign in ["<script", "src=", "href=", "url(", "@import"] {
            assert!(!text.contains(foreign), "{foreign}");
        }
    }
}
