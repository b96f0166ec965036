//! Databases that we write ourselves, whole and damaged.

use std::fs;

use super::*;

/// What an address range says.
#[derive(Clone, Copy)]
pub(crate) enum Record<'a> {
    /// `{"country": {"iso_code": …}}`.
    Country(&'a str),
    /// `{"registered_country": {"iso_code": …}}` beside a continent.
    Registered(&'a str),
    /// `{"country_code": …}`.
    Code(&'a str),
    /// The text itself.
    Plain(&'a str),
}

/// Writes a database with 24-bit records (MaxMind DB specification 2.0); IPv4 lies in `::/96`.
pub(crate) fn mmdb(built: u64, ranges: &[(&str, Record<'_>)]) -> Vec<u8> {
    const NONE: usize = usize::MAX;
    // Leaves are marked by the top bit until the number of nodes is known.
    const LEAF: usize = 1 << 40;
    let mut nodes = vec![[NONE; 2]];
    let mut data: Vec<u8> = Vec::new();
    for (range, record) in ranges {
        let (address, length) = range.split_once('/').unwrap();
        let (bits, length) = match address.parse::<IpAddr>().unwrap() {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 96 + length.parse::<u32>().unwrap()),
            IpAddr::V6(v6) => (v6.to_bits(), length.parse().unwrap()),
        };
        let offset = data.len();
        match record {
            Record::Country(code) => data.extend(map(&[("country", map(&[("iso_code", text(code))]))])),
            Record::Registered(code) => data.extend(map(&[
                ("continent", map(&[("code", text("EU"))])),
                ("registered_country", map(&[("iso_code", text(code))])),
            ])),
            Record::Code(code) => data.extend(map(&[("country_code", text(code))])),
            Record::Plain(code) => data.extend(text(code)),
        }
        let mut node = 0;
        for depth in 0..length {
            let side = (bits >> (127 - depth)) as usize & 1;
            if depth + 1 == length {
                nodes[node][side] = LEAF | offset;
            } else {
                if nodes[node][side] == NONE {
                    nodes.push([NONE; 2]);
                    nodes[node][side] = nodes.len() - 1;
                }
                node = nodes[node][side];
            }
        }
    }
    let count = nodes.len();
    let mut file = Vec::new();
    for record in nodes.iter().flatten() {
        let value = match *record {
            NONE => count,
            leaf if leaf & LEAF != 0 => count + 16 + (leaf & !LEAF),
            node => node,
        };
        file.extend(&(value as u32).to_be_bytes()[1..]);
    }
    file.extend([0; 16]);
    file.extend(data);
    file.extend(b"\xab\xcd\xefMaxMind.com");
    file.extend(map(&[
        ("binary_format_major_version", number(5, 2)),
        ("binary_format_minor_version", number(5, 0)),
        ("build_epoch", number(9, built)),
        ("database_type", text("Test-Country")),
        ("description", map(&[("en", text("written by a test"))])),
        ("ip_version", number(5, 6)),
        ("languages", vec![0x01, 0x04, 0x42, b'e', b'n']),
        ("node_count", number(6, count as u64)),
        ("record_size", number(5, 24)),
    ]));
    file
}

fn text(text: &str) -> Vec<u8> {
    assert!(text.len() < 29);
    let mut out = vec![2 << 5 | text.len() as u8];
    out.extend(text.bytes());
    out
}

fn map(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut out = vec![7 << 5 | entries.len() as u8];
    entries.iter().for_each(|(key, value)| out.extend(text(key).iter().chain(value)));
    out
}

/// An unsigned number of eight bytes at most; kinds above 7 stand in a byte of their own.
fn number(kind: u8, value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let bytes = &bytes[value.leading_zeros() as usize / 8..];
    let mut out = match kind {
        ..8 => vec![kind << 5 | bytes.len() as u8],
        _ => vec![bytes.len() as u8, kind - 7],
    };
    out.extend(bytes);
    out
}

/// 1 June 2026.
pub(crate) const BUILT: u64 = 1_780_272_000;

fn small() -> Vec<u8> {
    mmdb(
        BUILT,
        &[
            ("192.0.2.0/24", Record::Country("JP")),
            ("198.51.100.0/25", Record::Registered("FR")),
            ("198.51.100.128/25", Record::Code("GB")),
            ("203.0.113.0/28", Record::Plain("BR")),
            ("203.0.113.16/28", Record::Country("EU")),
            ("203.0.113.32/28", Record::Plain("A1")),
            ("203.0.113.48/28", Record::Country("Japan")),
            ("2001:db8:1::/48", Record::Country("SE")),
        ],
    )
}

#[test]
fn each_kind_of_record_says_its_country_and_no_country_is_unknown() {
    let countries = Countries::of(small()).unwrap();
    assert_eq!(countries.date(), "2026-06-01");
    let table = [
        ("192.0.2.77", Some(b"jp")),
        ("::ffff:192.0.2.77", Some(b"jp")),
        ("198.51.100.1", Some(b"fr")),
        ("198.51.100.200", Some(b"gb")),
        ("203.0.113.1", Some(b"br")),
        ("203.0.113.17", None),
        ("203.0.113.33", None),
        ("203.0.113.49", None),
        ("203.0.113.99", None),
        ("127.0.0.1", None),
        ("2001:db8:1::25", Some(b"se")),
        ("2001:db8:2::25", None),
        ("::1", None),
    ];
    for (address, expected) in table {
        assert_eq!(countries.lookup(address.parse().unwrap()), expected.copied(), "{address}");
    }
}

/// Everything that can be asked of it.
fn ask(bytes: Vec<u8>) -> bool {
    let Ok(countries) = Countries::of(bytes) else { return false };
    let mut addresses = vec!["::".to_owned(), "255.255.255.255".to_owned(), "2001:db8:1::1".to_owned()];
    let nets = ["192.0.2", "198.51.100", "203.0.113"];
    addresses.extend(nets.iter().flat_map(|net| (0..=255).step_by(15).map(move |last| format!("{net}.{last}"))));
    for address in addresses {
        countries.lookup(address.parse().unwrap());
    }
    assert_eq!(countries.date().len(), 10, "{}", countries.date());
    true
}

#[test]
fn damaged_files_are_refused_or_read_and_never_a_panic() {
    let whole = small();
    assert!(ask(whole.clone()));
    for end in 0..whole.len() {
        ask(whole[..end].to_vec());
        ask(whole[end..].to_vec());
    }
    let mut read = 0;
    for at in 0..whole.len() {
        for mask in [0x01, 0x08, 0x20, 0x40, 0x80, 0xff] {
            let mut flipped = whole.clone();
            flipped[at] ^= mask;
            read += u32::from(ask(flipped));
        }
    }
    assert!(read > 0);
    // Many bytes at once.
    const SEED: u64 = 0x5eed_c0de;
    let mut state = SEED;
    for round in 0..3000 {
        let mut bytes = whole.clone();
        for _ in 0..1 + round % 24 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let at = (state >> 33) as usize % bytes.len();
            bytes[at] = (state >> 24) as u8;
        }
        ask(bytes);
    }
}

#[test]
fn a_date_beyond_all_calendars_is_refused() {
    for built in [u64::MAX, i64::MAX as u64, 1 << 40] {
        assert!(Countries::of(mmdb(built, &[("192.0.2.0/24", Record::Country("JP"))])).is_err(), "{built}");
    }
}

#[test]
fn a_file_is_read_again_when_it_changed_and_a_damaged_one_leaves_the_old_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countries.mmdb");
    let says = |file: &CountryFile| file.countries().and_then(|c| c.lookup("192.0.2.1".parse().unwrap()));
    let put = |bytes: &[u8]| {
        let fresh = folder.path().join("fresh");
        fs::write(&fresh, bytes).unwrap();
        fs::rename(fresh, &path).unwrap();
    };
    let mut file = CountryFile::new(Some(path.clone()));
    assert!(!file.look() && file.countries().is_none());
    assert!(file.blind().unwrap().contains("country_database"));
    put(&small());
    assert!(file.look() && !file.look());
    assert_eq!((says(&file), file.blind()), (Some(*b"jp"), None));
    put(&small()[..200]);
    assert!(!file.look());
    assert_eq!(says(&file), Some(*b"jp"));
    assert!(file.blind().unwrap().contains("2026-06-01 stays in use"), "{:?}", file.blind());
    put(&mmdb(BUILT + 86_400, &[("192.0.2.0/24", Record::Plain("SE"))]));
    assert!(file.look());
    assert_eq!((says(&file), file.blind()), (Some(*b"se"), None));
    fs::remove_file(&path).unwrap();
    assert!(!file.look() && file.blind().is_some() && says(&file) == Some(*b"se"));
    let mut folder_named = CountryFile::new(Some(folder.path().to_owned()));
    assert!(!folder_named.look() && folder_named.blind().unwrap().contains("no file"));
    assert!(!CountryFile::new(None).look());
}

#[test]
fn a_file_beyond_the_bound_is_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("huge.mmdb");
    File::create(&path).unwrap().set_len(FILE_MAX + 1).unwrap();
    let mut file = CountryFile::new(Some(path));
    assert!(!file.look() && file.blind().unwrap().contains("64 MiB"));
}
