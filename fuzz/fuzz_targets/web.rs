//! An access log in the formats that servers write by themselves (combined and its relatives, JSON): bounded rows,
//! counts that add up, the same reading however it is cut into buffers, and in one's own log nobody else is blamed.
#![no_main]

use std::io::BufReader;

use fuzz::{check, lines, node, now, own, told};
use libfuzzer_sys::fuzz_target;
use sense::reading::Reading;
use sense::web::{Format, Log, Owner, ROWS_MAX, Settings, Watch, inspect};

fn read(data: &[u8], owner: &Owner, buffer: usize) -> Reading {
    let mut watch = Watch::new(Settings { accounts: node().into(), own: own(), never: Vec::new() });
    watch.begin(Log { format: Format::Standard, owner: owner.clone() });
    let mut input = BufReader::with_capacity(buffer, data);
    let reading = inspect(&mut watch, &mut input, now()).expect("bytes cannot fail");
    let counts = watch.counts();
    assert!(watch.rows() <= ROWS_MAX);
    assert_eq!((counts.lines, reading.lines), (lines(data), lines(data)));
    assert!(counts.dropped + counts.unknown_site + counts.own <= counts.lines);
    reading
}

fuzz_target!(|data: &[u8]| {
    let accounts = node();
    let aoi = accounts[0].account.clone();
    for owner in [Owner::Lines, Owner::Sure(aoi.clone(), None), Owner::Otherwise(aoi.clone())] {
        let reading = read(data, &owner, 1 << 16);
        check(&reading, &accounts);
        assert_eq!(told(&reading), told(&read(data, &owner, 13)));
        if matches!(owner, Owner::Sure(..)) {
            assert!(reading.findings.iter().all(|finding| finding.signal.account == aoi));
        }
    }
});
