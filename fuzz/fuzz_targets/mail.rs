//! A mail log of Postfix or Exim: counts add up, however it is cut into buffers, and twice read is the same.
#![no_main]

use std::io::BufReader;

use fuzz::{check, lines, node, now, told};
use libfuzzer_sys::fuzz_target;
use sense::mail::judge::Limits;
use sense::mail::{Settings, Trust, Watch, Zone};
use sense::reading::Reading;

fn read(data: &[u8], buffer: usize) -> Reading {
    let zone = Zone::get("Asia/Tokyo").expect("a zone");
    let limits = Limits { hard_per_hour: Some(100), ..Limits::default() };
    let settings = Settings { key: [7; 32], country: Some(*b"jp"), zone, trust: Trust::Guarded, limits };
    let mut watch = Watch::new(settings, now());
    watch.set_accounts(&node());
    let reading = watch.inspect(BufReader::with_capacity(buffer, data), now()).expect("bytes cannot fail");
    let counts = watch.counts().0;
    assert_eq!(counts.lines, lines(data));
    assert!(counts.other + counts.dropped <= counts.lines);
    reading
}

fuzz_target!(|data: &[u8]| {
    let reading = read(data, 1 << 16);
    check(&reading, &node());
    assert_eq!(told(&reading), told(&read(data, 13)));
});
