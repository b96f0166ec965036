//! Names that come from outside (paths, domains, mail users, queue ids, accounts, numbers): what is accepted is written
//! and read back as the same, prints on one line, and is safe as an argument.
#![no_main]

use std::fmt::Display;
use std::str::FromStr;

use libfuzzer_sys::fuzz_target;
use model::evidence::{hides, printable, without_addresses};
use model::{AccountName, Domain, FilePath, Hash, MailUser, Moment, Number, QueueId};

/// `parse(write(x)) == x`, on one visible line.
fn there_and_back<T: FromStr + Display + PartialEq>(text: &str) -> Option<String> {
    let value = text.parse::<T>().ok()?;
    let written = value.to_string();
    assert!(!written.chars().any(|c| c.is_control() || hides(c)), "{written:?}");
    assert!(written.parse::<T>().is_ok_and(|again| again == value), "{text:?} became {written:?}");
    Some(written)
}

fuzz_target!(|data: &[u8]| {
    if let Ok(path) = FilePath::new(data) {
        assert_eq!(path.bytes(), data);
        let written = path.to_string();
        assert!(!written.chars().any(|c| c.is_control() || hides(c)), "{written:?}");
        assert!(written.parse::<FilePath>().is_ok_and(|again| again == path), "{written:?}");
    }
    for most in [0, 1, 7, 200] {
        let shown = printable(data, most);
        assert!(!shown.chars().any(|c| c.is_control() || hides(c)), "{shown:?}");
        // What stands for a strange byte is longer than the byte; the bound is on what is read of them.
        assert!(shown.len() <= most * 12 + 12, "{} for {most}", shown.len());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = (without_addresses(text), Moment::parse(text));
    there_and_back::<FilePath>(text);
    there_and_back::<Domain>(text);
    there_and_back::<Hash>(text);
    there_and_back::<Number>(text);
    for argument in
        [there_and_back::<AccountName>(text), there_and_back::<MailUser>(text), there_and_back::<QueueId>(text)]
            .into_iter()
            .flatten()
    {
        assert!(
            !argument.starts_with('-') && !argument.contains([' ', '/', '\'', '"', '\\', '$', '`']),
            "{argument:?}"
        );
    }
    if let Ok(id) = text.parse::<QueueId>() {
        let _ = (id.is_long(), id.file().is_some_and(|(_, micros)| micros < 1_000_000));
    }
});
