//! A format as an operator writes it (first line), and lines that are read by it.
#![no_main]

use fuzz::{check, lines, node, now, own, told};
use libfuzzer_sys::fuzz_target;
use sense::reading::Reading;
use sense::web::{Format, Log, Owner, Settings, Watch, inspect};

fn read(format: Format, mut data: &[u8]) -> Reading {
    let mut watch = Watch::new(Settings { accounts: node().into(), own: own(), never: Vec::new() });
    watch.begin(Log { format, owner: Owner::Otherwise(node()[0].account.clone()) });
    let count = lines(data);
    let reading = inspect(&mut watch, &mut data, now()).expect("bytes cannot fail");
    assert_eq!(reading.lines, count);
    reading
}

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let Ok(text) = std::str::from_utf8(&data[..end]) else { return };
    let rest = data.get(end + 1..).unwrap_or_default();
    let Ok(format) = Format::new(text) else { return };
    let reading = read(format.clone(), rest);
    check(&reading, &node());
    assert_eq!(told(&reading), told(&read(format, rest)));
});
