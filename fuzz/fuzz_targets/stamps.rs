//! Stamps of logs: never later than the arrival, what follows is the line's own end, twice read is the same.
#![no_main]

use fuzz::now;
use libfuzzer_sys::fuzz_target;
use sense::mail::Zone;
use sense::mail::stamp::Stamps;

fn read(data: &[u8], zone: &str) -> String {
    let mut stamps = Stamps::new(Zone::get(zone).expect("a zone"));
    let mut told = String::new();
    for (number, line) in data.split(|b| *b == b'\n').enumerate() {
        if let Some((at, rest)) = stamps.read(line, now()) {
            assert!(at <= now() && line.ends_with(rest));
            told += &format!("{at} {}\n", rest.len());
        }
        for (at, hour, rest) in [stamps.ctime(line, now()), stamps.spaced(line, now())].into_iter().flatten() {
            assert!(at <= now() && hour < 24 && line.ends_with(rest));
            told += &format!("{at} {hour} {}\n", rest.len());
        }
        if number % 5 == 4 {
            stamps.align(now());
        }
    }
    told
}

fuzz_target!(|data: &[u8]| {
    for zone in ["Asia/Tokyo", "America/New_York"] {
        assert_eq!(read(data, zone), read(data, zone));
    }
});
