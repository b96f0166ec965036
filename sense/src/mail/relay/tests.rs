//! Servers as mail servers write them, and takers that say nothing.

use super::*;

fn host(via: Via<'_>) -> String {
    via.server().map_or("none".to_owned(), |s| format!("{} {}", String::from_utf8_lossy(s.host), s.address))
}

#[test]
fn servers_of_postfix_and_exim_are_read_and_what_is_no_server_elsewhere_is_none() {
    let postfix = [
        ("mx.example.com[192.0.2.25]:25", "mx.example.com 192.0.2.25"),
        ("192.0.2.25[192.0.2.25]:25", "192.0.2.25 192.0.2.25"),
        ("mx.example.com[2001:db8::25]:25", "mx.example.com 2001:db8::25"),
        ("2001:db8::25[2001:db8::25]:25", "2001:db8::25 2001:db8::25"),
        ("smtp.example.com[192.0.2.25]:587", "none"),
        ("smtp.example.com[192.0.2.25]:2525", "none"),
        ("127.0.0.1[127.0.0.1]:10024", "none"),
        ("gate.example.com[10.0.0.9]:25", "none"),
        ("gate.example.com[fd00::9]:25", "none"),
        ("gate.example.com[100.64.1.9]:25", "none"),
        ("mail01[private/lmtp]", "none"),
        ("local", "none"),
        ("none", "none"),
        ("virtual", "none"),
        ("", "none"),
        ("[]:25", "none"),
        ("[192.0.2.1]:25", "none"),
        ("a b[192.0.2.1]:25", "none"),
        ("a[192.0.2.1", "none"),
        ("a]192.0.2.1[:25", "none"),
        ("a[192.0.2.1]:25]:25", "none"),
        ("a[b][192.0.2.1]:25", "none"),
        ("a\0[192.0.2.1]:25", "none"),
    ];
    for (relay, expected) in postfix {
        assert_eq!(host(Via::Postfix(relay.as_bytes())), expected, "{relay}");
    }
    let exim = [
        (" R=dnslookup T=remote_smtp H=mx.example.com [192.0.2.25]", "mx.example.com 192.0.2.25"),
        (" R=dnslookup T=remote_smtp H=mx.example.com [192.0.2.25]* C=\"250 ok\"", "mx.example.com 192.0.2.25"),
        (" R=d T=t S=900 H=mx.example.com [192.0.2.25]:25 X=TLS1.3 CV=yes", "mx.example.com 192.0.2.25"),
        (" R=d T=t H=mx.example.com [192.0.2.25]: SMTP error: 550 H=x [1.1.1.1] no", "mx.example.com 192.0.2.25"),
        (" R=d T=t defer (-44) H=mx.example.com [2001:db8::25]: later", "mx.example.com 2001:db8::25"),
        (" R=d T=t H=mx.example.com [192.0.2.25] C=\"250 H=x [1.1.1.1]\"", "mx.example.com 192.0.2.25"),
        (" R=smart T=t H=smtp.example.com [192.0.2.25]:587", "none"),
        (" R=local T=dovecot_lmtp H=[127.0.0.1]", "none"),
        (" F=<a H=x [192.0.2.1]@b> R=d T=t H=mx.example.com [192.0.2.25]", "none"),
        (" F=<\"a H=x [192.0.2.1] \"@b> R=d T=t", "none"),
        (" R=d T=t defer (110): timed out H=x [192.0.2.1]", "none"),
        (" R=userdir T=address_directory", "none"),
        ("", "none"),
        (" H=", "none"),
        (" H=x", "none"),
        (" H=x [", "none"),
        (" H=x []", "none"),
    ];
    for (text, expected) in exim {
        assert_eq!(host(Via::Exim(text.as_bytes())), expected, "{text}");
    }
}

#[test]
fn any_bytes_are_a_server_or_none() {
    const SEED: u64 = 0x005e_4e4d;
    let words =
        ["[", "]", ":25", " ", "H=", "192.0.2.1", "2001:db8::1", ".", "a", "\"", "\0", "é", "*", ",", "mx.b.com"];
    let mut state = SEED;
    for _ in 0..20_000 {
        let mut text = String::new();
        for _ in 0..1 + (state >> 40) % 12 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            text.push_str(words[(state >> 33) as usize % words.len()]);
        }
        for via in [Via::Postfix(text.as_bytes()), Via::Exim(text.as_bytes())] {
            if let Some(server) = via.server() {
                server.is_house();
                server.taker(|bytes| bytes.len() as u64);
            }
        }
    }
}

fn server(host: &str) -> Server<'_> {
    Server { host: host.as_bytes(), address: "192.0.2.25".parse().unwrap() }
}

#[test]
fn a_house_is_known_by_the_end_of_its_name_and_no_imitation_is() {
    for house in [
        "aspmx.l.google.com",
        "ASPMX.L.GOOGLE.COM",
        "x.mail.protection.outlook.com",
        "mta5.am0.yahoodns.net",
        "google.com.",
    ] {
        assert!(server(house).is_house(), "{house}");
    }
    for other in ["google.com.example", "notgoogle.com", "mx.example.com", "com", "", "."] {
        assert!(!server(other).is_house(), "{other}");
    }
}

#[test]
fn a_pool_is_one_taker() {
    let taker = |host: &str| server(host).taker(|bytes| model::Hash::of(bytes).low64());
    assert_eq!(taker("mx1.example.com"), taker("mx2.example.com."));
    assert_eq!(taker("mx1.example.co.jp"), taker("a.b.example.co.jp"));
    assert_eq!(taker("192.0.2.25"), taker("localname"));
    assert_ne!(taker("mx1.example.com"), taker("mx1.example.org"));
    assert_ne!(taker("a.co.jp"), taker("b.co.jp"));
}

/// Deliveries `(taker, domain)` abroad, one a second; how many are said to be abroad.
fn abroad(deliveries: impl IntoIterator<Item = (u64, u64)>) -> u32 {
    let (mut takers, mut settled) = (Takers::default(), 0);
    for (n, (taker, domain)) in deliveries.into_iter().enumerate() {
        let by = By { taker, domain: domain.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20, abroad: Some(true) };
        settled += takers.took(1000 + n as u32 / 60, by).iter().map(|b| b.count).sum::<u32>();
    }
    settled + takers.said(|_| true)[0]
}

#[test]
fn takers_speak_as_domains_own_servers_do_and_smarthosts_do_not() {
    assert_eq!(abroad((0..300).map(|n| (n, n))), 300, "each domain its own server");
    assert_eq!(abroad((0..2000).map(|n| (n, n))), 2000, "more than there is room for");
    assert_eq!(abroad((0..300).map(|n| (n % 10, n % 20))), 300, "two domains each");
    assert_eq!(abroad((0..300).map(|n| (7, n))), 0, "a smarthost");
    assert_eq!(abroad((0..300).map(|n| (n % 4, n))), 0, "a pool of four");
    assert_eq!(abroad((0..100).map(|_| (7, 7))), 0, "one domain tells nothing about the node");
    // A smarthost for one owner beside a node that delivers by itself, or for most of the domains.
    let mixed = (0..400).map(|n| (100 + n, 100 + n)).chain((0..60).map(|n| (7, 1000 + n)));
    assert_eq!(abroad(mixed), 400);
    let early = (0..60).map(|n| (7, 1000 + n % 6)).chain((0..8).map(|n| (100 + n, 100 + n)));
    assert_eq!(abroad(early), 8);
}

#[test]
fn what_is_kept_is_bounded() {
    let mut takers = Takers::default();
    for n in 0..100_000u64 {
        takers.took(n as u32 / 60, By { taker: n, domain: n, abroad: Some(n % 3 == 0) });
        assert!(takers.takers.len() <= TAKERS_MAX && takers.booked.len() <= BOOKED_MAX);
    }
    takers.forget(u32::MAX);
    assert!(takers.takers.is_empty() && takers.booked.is_empty());
}
