//! The page that visitors of a closed site see: neutral for them, with the number and the way for the owner.

use super::{Answer, Facts};

/// One self-contained page, Japanese first and English below: no script, no outside resource, no cookie.
///
/// The first line carries the number for the desk's probe: `<meta name="hikeshi" content="HK-…">`.
pub(crate) fn page(facts: &Facts<'_>, answer: Answer) -> String {
    let Facts { number, since, portal } = facts;
    let portal = escape(portal);
    let since = format!("{} UTC", since.to_string().trim_end_matches('Z').replace('T', " "));
    let code = if answer == Answer::Forbidden { "403" } else { "503" };
    format!(
        r#"<!doctype html><html lang="ja"><meta charset="utf-8"><meta name="hikeshi" content="{number}">
<meta name="viewport" content="width=device-width"><meta name="robots" content="noindex"><title>{code}</title>
<style>
:root{{color-scheme:light dark}}
body{{font:1rem/1.7 system-ui,sans-serif;max-width:36rem;margin:3rem auto;padding:0 1rem;overflow-wrap:anywhere}}
h1{{font-size:1.25rem}}section{{border-top:1px solid;margin-top:2rem;padding-top:1rem;font-size:.9rem}}
strong{{font-family:ui-monospace,monospace}}
</style>
<h1>このページは現在ご覧いただけません。後でもう一度お試しください。</h1>
<p lang="en">This page is not available right now. Please try again later.</p>
<section>
<p>運営者の方へ 管理番号:<strong>{number}</strong>({since}から)<br>
データは削除していません。<br>
使えるもの:FTP、サーバーパネル、受信<br>
{portal} で番号を入力すると、理由と手順が分かります。</p>
<p lang="en">If you run this site, your number: <strong>{number}</strong>, since {since}<br>
We have deleted nothing.<br>
Still working: FTP, panel, incoming mail<br>
Enter the number at {portal} to see why, and what to do.</p>
</section></html>
"#
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use model::{Moment, Number};

    use super::*;

    #[test]
    fn the_page_has_both_languages_the_number_the_time_and_nothing_from_outside() {
        let since = Moment::parse("2026-03-21T11:46:53+09:00").unwrap();
        let number = Number::new(since, 3);
        let text = page(&Facts { number, since, portal: "https://p.example/<x>" }, Answer::Forbidden);
        for part in [
            "このページは現在ご覧いただけません。",
            "This page is not available right now.",
            "2026-03-21 02:46:53 UTC",
            "https://p.example/&lt;x&gt;",
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
