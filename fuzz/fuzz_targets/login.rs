//! Logs of logins and transfers, styles mixed: counts add up, twice read is the same, sources are bounded.
#![no_main]

use fuzz::{check, lines, node, now, own, told};
use libfuzzer_sys::fuzz_target;
use sense::login::{Settings, Trust, inspect};
use sense::mail::Zone;
use sense::reading::Reading;

fn read(data: &[u8]) -> Reading {
    let zone = Zone::get("Asia/Tokyo").expect("a zone");
    let settings = Settings { accounts: node().into(), own: own(), never: Vec::new(), zone, trust: Trust::Guarded };
    let (reading, watch) = inspect(data, settings, now()).expect("bytes cannot fail");
    assert_eq!(reading.lines, lines(data));
    assert!(watch.sources().count() <= 4096);
    reading
}

fuzz_target!(|data: &[u8]| {
    let reading = read(data);
    check(&reading, &node());
    assert_eq!(told(&reading), told(&read(data)));
});
