//! Blocked uids and slowed sources, with real sockets in a network of their own.

mod netns;
mod node;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use act::net::Net;
use act::{Actor, NetConfig};
use model::{Failure, Measure, Moment, Network, Span};
use netns::*;
use node::*;

const FOREIGN: &str = "table inet theirs { set kept { type uid; elements = { 20240 }; }
chain output { type filter hook output priority filter; policy accept; tcp dport 9999 counter accept; }; }";

/// A node with a table of another owner beside ours.
fn net_node() -> Node {
    let mut node = Node::new();
    std::fs::write(node.folder.path().join("resolv.conf"), format!("nameserver {RESOLVER}\nnameserver 127.0.0.53\n"))
        .unwrap();
    node.config.net = Some(net_config(&node));
    if !ruleset().contains("table inet theirs") {
        run("/usr/sbin/nft", &[FOREIGN]);
    }
    node
}

fn net_config(node: &Node) -> NetConfig {
    let network = |text: &str| Network::try_from(text.to_owned()).unwrap();
    NetConfig {
        updates: vec![network("198.51.100.0/24")],
        never: vec![network("203.0.113.1"), network("192.0.2.0/24")],
        resolv_conf: node.folder.path().join("resolv.conf"),
    }
}

fn owner() -> model::AccountRef {
    account("alice", BLOCKED)
}

fn outbound(serial: u16) -> model::Restriction {
    restriction(serial, 0, Measure::BlockOutbound)
}

fn slowed(serial: u16, sources: &[&str]) -> model::Restriction {
    let sources = sources.iter().map(|source| source.parse().unwrap()).collect();
    restriction(serial, 0, Measure::ThrottleSource { sources })
}

fn holds(actor: &mut Actor) -> bool {
    let list = in_force(actor);
    assert!(!list.is_empty());
    list.iter().all(|(_, holds, _)| *holds)
}

#[test]
fn a_blocked_uid_keeps_its_node_and_updates_and_loses_mail_ports_and_everybody_outside() {
    if !inside("a_blocked_uid_keeps_its_node_and_updates_and_loses_mail_ports_and_everybody_outside") {
        return;
    }
    let outside = Outside::join();
    let table = [
        ("127.0.0.1", 25, "refused"),
        ("127.0.0.1", 465, "refused"),
        ("127.0.0.1", 587, "refused"),
        ("127.0.0.1", 2525, "refused"),
        ("::1", 25, "refused"),
        (NODE, 25, "refused"),
        ("127.0.0.1", 3306, "open"),
        ("::1", 3306, "open"),
        (NODE, 9000, "open"),
    ];
    let away = [
        (UPDATES, 443, "open"),
        (UPDATES, 80, "open"),
        (UPDATES, 25, "refused"),
        (RESOLVER, 53, "open"),
        (RESOLVER, 443, "refused"),
        (OUTSIDE, 53, "refused"),
        (OUTSIDE, 443, "refused"),
        (OUTSIDE, 25, "refused"),
        (OUTSIDE, 6667, "refused"),
        (OUTSIDE_6, 443, "refused"),
    ];
    let _near: Vec<_> = table.iter().map(|(address, port, _)| listen(address, *port)).collect();
    let _far: Vec<_> = away.iter().map(|(address, port, _)| outside.listen(address, *port)).collect();
    let all = || table.iter().chain(&away);
    let open_for = |uid| all().for_each(|(to, port, _)| assert_eq!(connects(uid, to, *port), "open", "{to}:{port}"));

    let node = net_node();
    let mut actor = node.open();
    let before = ruleset();
    open_for(BLOCKED);
    let told = done(actor.handle(impose(1, &owner(), &outbound(1), &[])));
    assert_eq!(told, "packet filter set");
    for (to, port, right) in all() {
        assert_eq!(connects(BLOCKED, to, *port), *right, "{to}:{port}");
    }
    open_for(OTHER);
    open_for(0);
    // A datagram is refused to its sender, except to the resolver and on loopback.
    for (to, port, right) in
        [(OUTSIDE, 53, false), (OUTSIDE_6, 443, false), (RESOLVER, 53, true), ("127.0.0.1", 53, true)]
    {
        assert_eq!(sends(BLOCKED, to, port), right, "{to}:{port}");
        assert!(sends(OTHER, to, port));
    }
    // What root's servers answer from ports below 1024 passes, even on a socket that the uid took over (ssh, FTP);
    // a listener that the uid planted is silent.
    let planted = as_uid(BLOCKED, || listen(NODE, 31_337));
    let served = listen(NODE, 21);
    let to = |port| SocketAddr::new(NODE.parse().unwrap(), port);
    let comes = |port| outside.within(|| TcpStream::connect_timeout(&to(port), Duration::from_millis(500)));
    assert_eq!(comes(31_337).unwrap_err().kind(), ErrorKind::TimedOut);
    let mut client = comes(21).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut session = as_uid(BLOCKED, || served.accept().unwrap().0);
    session.write_all(b"220\r\n").unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    drop(planted);

    done(actor.handle(lift(2, &owner(), &outbound(1), false)));
    open_for(BLOCKED);
    assert_eq!(ruleset(), before);

    // The naive twin spares loopback as a whole: mail leaves through the node's own server.
    run(
        "/usr/sbin/nft",
        &["table inet naive { set blocked { type uid; elements = { 20240 }; }
        chain output { type filter hook output priority filter; meta skuid @blocked oifname != \"lo\" reject; }; }"],
    );
    assert_eq!(connects(BLOCKED, "127.0.0.1", 25), "open");
    assert_eq!(connects(BLOCKED, NODE, 25), "open");
}

#[test]
fn an_established_connection_of_a_blocked_uid_ends_when_it_sends_and_when_it_only_receives() {
    if !inside("an_established_connection_of_a_blocked_uid_ends_when_it_sends_and_when_it_only_receives") {
        return;
    }
    let outside = Outside::join();
    for address in [OUTSIDE, OUTSIDE_6] {
        let server = outside.listen(address, 6667);
        let meet = |uid| {
            let client = connect(uid, address, 6667).unwrap();
            client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            (client, server.accept().unwrap().0)
        };
        let (mut sends, _sent) = meet(BLOCKED);
        let (mut receives, mut feeds) = meet(BLOCKED);
        let (mut idle, _other_end) = meet(BLOCKED);
        let (mut other, mut other_feeds) = meet(OTHER);
        let node = net_node();
        let mut actor = node.open();
        done(actor.handle(impose(1, &owner(), &outbound(1), &[])));

        sends.write_all(b"more").unwrap();
        assert_eq!(sends.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        feeds.write_all(b"download").unwrap();
        let mut got = Vec::new();
        assert_eq!(receives.read_to_end(&mut got).unwrap_err().kind(), ErrorKind::ConnectionReset);
        // Nothing was said in it, so nobody knows; the first word ends it.
        idle.write_all(b"x").unwrap();
        assert_eq!(idle.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::ConnectionReset);
        other.write_all(b"x").unwrap();
        other_feeds.write_all(b"y").unwrap();
        other.read_exact(&mut [0]).unwrap();
        done(actor.handle(lift(2, &owner(), &outbound(1), false)));
    }
}

#[test]
fn two_incidents_that_block_one_uid_open_it_when_both_are_lifted() {
    if !inside("two_incidents_that_block_one_uid_open_it_when_both_are_lifted") {
        return;
    }
    let outside = Outside::join();
    let _server = outside.listen(OUTSIDE, 443);
    let node = net_node();
    let mut actor = node.open();
    let before = ruleset();
    done(actor.handle(impose(1, &owner(), &outbound(1), &[])));
    done(actor.handle(impose(2, &owner(), &outbound(2), &[])));
    done(actor.handle(impose(3, &account("bob", OTHER), &outbound(3), &[])));
    done(actor.handle(lift(4, &owner(), &outbound(1), false)));
    assert_eq!((connects(BLOCKED, OUTSIDE, 443), connects(OTHER, OUTSIDE, 443)), ("refused", "refused"));
    assert!(holds(&mut actor));
    done(actor.handle(lift(5, &owner(), &outbound(2), false)));
    assert_eq!((connects(BLOCKED, OUTSIDE, 443), connects(OTHER, OUTSIDE, 443)), ("open", "refused"));
    done(actor.handle(lift(6, &account("bob", OTHER), &outbound(3), false)));
    assert_eq!(ruleset(), before);
}

#[test]
fn a_later_owner_of_the_uid_cannot_lift_what_the_earlier_one_earned() {
    if !inside("a_later_owner_of_the_uid_cannot_lift_what_the_earlier_one_earned") {
        return;
    }
    let node = net_node();
    let mut actor = node.open();
    let before = ruleset();
    done(actor.handle(impose(1, &owner(), &outbound(1), &[])));
    let later = model::AccountRef { generation: 2, ..owner() };
    assert!(matches!(failed(actor.handle(lift(2, &later, &outbound(1), false))), Failure::Guard(_)));
    assert!(holds(&mut actor));
    // The set knows uids alone, so core must lift it in the name of the earlier owner when that account goes.
    done(actor.handle(lift(3, &owner(), &outbound(1), false)));
    assert_eq!(ruleset(), before);
}

#[test]
fn a_slowed_source_loses_most_of_its_quick_connections_and_others_none() {
    if !inside("a_slowed_source_loses_most_of_its_quick_connections_and_others_none") {
        return;
    }
    let outside = Outside::join();
    let server = listen(NODE, 80);
    let server6 = listen("2001:db8::1", 80);
    let ssh = listen(NODE, 22);
    // How many of so many connections are answered; all are begun at once, and a dropped one waits a second to repeat.
    let answered = |from: &str, to: SocketAddr, many: usize| {
        let mut open = 0;
        outside.within(|| {
            let begun: Vec<_> = (0..many).map(|_| begin(from.parse().unwrap(), to)).collect();
            let until = Instant::now() + Duration::from_millis(800);
            while Instant::now() < until && open < many {
                open = begun.iter().filter(|socket| rustix::net::getpeername(socket).is_ok()).count();
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        for listener in [&server, &server6, &ssh] {
            listener.set_nonblocking(true).unwrap();
            while listener.accept().is_ok() {}
        }
        open
    };
    let web: SocketAddr = "203.0.113.1:80".parse().unwrap();
    let web6: SocketAddr = "[2001:db8::1]:80".parse().unwrap();
    let node = net_node();
    let mut actor = node.open();
    let before = ruleset();
    assert_eq!(answered(OUTSIDE, web, 100), 100);
    let visitor = outside.within(|| TcpStream::connect_timeout(&web, Duration::from_secs(5)).unwrap());
    assert_eq!(visitor.local_addr().unwrap().ip().to_string(), OUTSIDE);
    server.set_nonblocking(false).unwrap();
    let mut served = server.accept().unwrap().0;
    // The naive twin lists the address as it was written, IPv6 form of an IPv4 address: nothing would be slowed.
    let mapped = format!("::ffff:{OUTSIDE}");
    done(actor.handle(impose(1, &owner(), &slowed(1, &[&mapped, OUTSIDE_6]), &[])));
    assert!(holds(&mut actor));
    let slow = answered(OUTSIDE, web, 100);
    assert!((5..=15).contains(&slow), "{slow} of 100");
    let slow = answered(OUTSIDE_6, web6, 100);
    assert!((5..=15).contains(&slow), "{slow} of 100");
    assert_eq!(answered(OUTSIDE_2, web, 100), 100);
    // Who is connected already goes on at full speed.
    served.set_read_timeout(Some(Duration::from_millis(150))).unwrap();
    for _ in 0..100 {
        (&visitor).write_all(b"GET").unwrap();
        served.read_exact(&mut [0; 3]).unwrap();
    }
    assert_eq!(answered(OUTSIDE, "203.0.113.1:22".parse().unwrap(), 100), 100);
    done(actor.handle(lift(2, &owner(), &slowed(1, &[]), false)));
    assert_eq!(ruleset(), before);
    assert_eq!(answered(OUTSIDE, web, 100), 100);
}

/// A connection that is begun and not waited for.
fn begin(from: IpAddr, to: SocketAddr) -> std::os::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketFlags, SocketType};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None).unwrap();
    rustix::net::bind(&socket, &SocketAddr::new(from, 0)).unwrap();
    let begun = rustix::net::connect(&socket, &to);
    assert!(matches!(begun, Ok(()) | Err(rustix::io::Errno::INPROGRESS)), "{begun:?}");
    socket
}

#[test]
fn the_node_itself_and_its_proxies_are_never_slowed_down() {
    if !inside("the_node_itself_and_its_proxies_are_never_slowed_down") {
        return;
    }
    let node = net_node();
    let mut actor = node.open();
    let before = ruleset();
    for (at, wrong) in
        [NODE, "::ffff:203.0.113.1", "192.0.2.200", "127.0.0.1", "::1", "0.0.0.0", "::ffff:127.0.0.1", "224.0.0.1"]
            .into_iter()
            .enumerate()
    {
        let one = slowed(at as u16 + 1, &[wrong]);
        let why = failed(actor.handle(impose(at as u64 + 1, &owner(), &one, &[])));
        assert!(matches!(why, Failure::Guard(_)), "{wrong}: {why}");
        assert_eq!(ruleset(), before);
        // The naive twin refuses the whole order, and who sends from such an address too protects the others.
        let one = slowed(at as u16 + 100, &[wrong, OUTSIDE]);
        let what = done(actor.handle(impose(at as u64 + 100, &owner(), &one, &[])));
        assert!(what.contains(&format!("; {wrong} is never slowed down")) && !what.contains(OUTSIDE), "{what}");
        assert!(ruleset().contains(OUTSIDE) && ruleset().matches("timeout 1h").count() == 1);
        assert!(holds(&mut actor));
        done(actor.handle(lift(at as u64 + 200, &owner(), &one, false)));
    }
    for (at, sources) in [vec![], vec![OUTSIDE; 65]].iter().enumerate() {
        failed(actor.handle(impose(at as u64 + 50, &owner(), &slowed(at as u16 + 50, sources), &[])));
    }
    assert_eq!(ruleset(), before);
    // An address of the node that nobody configured is spared by the way that its packets take.
    let _outside = Outside::join();
    let server = listen("198.51.100.1", 80);
    let net = Net::new(&net_config(&node));
    let now = Moment::from_secs(1_774_061_213);
    net.set(&[], &[("198.51.100.1".parse().unwrap(), now + Span::hours(1))], now).unwrap();
    for _ in 0..40 {
        assert_eq!(connects(0, "198.51.100.1", 80), "open");
        drop(server.accept().unwrap());
    }
}

#[test]
fn slowing_down_ends_by_the_kernels_clock_when_we_are_dead() {
    if !inside("slowing_down_ends_by_the_kernels_clock_when_we_are_dead") {
        return;
    }
    let node = net_node();
    let net = Net::new(&net_config(&node));
    let now = Moment::from_secs(1_774_061_213);
    let source: IpAddr = OUTSIDE.parse().unwrap();
    // Two orders for one source: the later end counts, and a whole hour fits.
    let sources = [(source, now + Span::secs(2)), (source, now + Span::hours(1)), (source, now - Span::secs(1))];
    net.set(&[], &sources, now).unwrap();
    assert!(ruleset().contains("timeout 1h"));
    assert_eq!(net.is_set(&[], &sources, now), Ok(true));
    // By a clock that was stepped the element ends at the wrong time: seen, so that it is set again.
    assert_eq!(net.is_set(&[], &sources, now + Span::minutes(5)), Ok(false));
    net.set(&[], &sources[..1], now).unwrap();
    let there = || ruleset().contains(OUTSIDE);
    assert!(there());
    eventually("the kernel's end", || !there());
    // What is over needs no table.
    net.set(&[], &sources[..1], now + Span::secs(3)).unwrap();
    assert!(!ruleset().contains("hikeshi"));
    assert_eq!(net.is_set(&[], &sources[..1], now + Span::secs(3)), Ok(true));
}

#[test]
fn what_somebody_else_changed_is_seen_and_repaired_and_their_table_stays() {
    if !inside("what_somebody_else_changed_is_seen_and_repaired_and_their_table_stays") {
        return;
    }
    let node = net_node();
    let mut actor = node.open();
    let before = ruleset();
    let orders = [impose(1, &owner(), &outbound(1), &[]), impose(2, &owner(), &slowed(2, &[OUTSIDE]), &[])];
    orders.iter().for_each(|order| drop(done(actor.handle(order.clone()))));
    let right = run("/usr/sbin/nft", &["list", "chain", "inet", "hikeshi", "stopped"]);
    for change in [
        "delete table inet hikeshi",
        "flush chain inet hikeshi output",
        "flush chain inet hikeshi stopped",
        "insert rule inet hikeshi output accept",
        "delete element inet hikeshi blocked { 20240 }",
        "add element inet hikeshi blocked { 20241 }",
        "delete element inet hikeshi slowed4 { 203.0.113.10 }",
        "add element inet hikeshi slowed4 { 203.0.113.11 timeout 1h }",
        "add table inet hikeshi { flags dormant; }",
    ] {
        assert!(holds(&mut actor), "before {change}");
        run("/usr/sbin/nft", &[change]);
        assert!(!holds(&mut actor), "{change}");
        assert!(done(actor.handle(orders[0].clone())).starts_with("repaired"), "{change}");
        assert_eq!(run("/usr/sbin/nft", &["list", "chain", "inet", "hikeshi", "stopped"]), right);
    }
    run("/usr/sbin/nft", &["flush", "ruleset"]);
    run("/usr/sbin/nft", &[FOREIGN]);
    assert!(!holds(&mut actor));
    done(actor.handle(orders[0].clone()));
    assert!(holds(&mut actor));
    // A reboot forgets it: the next act sets it again before it hears anything.
    run("/usr/sbin/nft", &["flush", "ruleset"]);
    run("/usr/sbin/nft", &[FOREIGN]);
    drop(actor);
    let mut actor = node.open();
    assert!(holds(&mut actor));
    // A new resolver is another table: the repeated order lets it through.
    std::fs::write(node.folder.path().join("resolv.conf"), "nameserver 203.0.113.54\n").unwrap();
    assert!(!holds(&mut actor));
    done(actor.handle(orders[0].clone()));
    assert!(holds(&mut actor) && ruleset().contains("203.0.113.54"));
    done(actor.handle(lift(3, &owner(), &outbound(1), false)));
    done(actor.handle(lift(4, &owner(), &slowed(2, &[]), false)));
    assert_eq!(ruleset(), before);
}

#[test]
fn without_nft_nothing_is_promised_and_the_next_step_is_named() {
    if !inside("without_nft_nothing_is_promised_and_the_next_step_is_named") {
        return;
    }
    let node = net_node();
    // In our own view of the file system only.
    run("/usr/bin/mount", &["--bind", "/dev/null", "/usr/sbin/nft"]);
    let mut actor = node.open();
    for one in [outbound(1), slowed(2, &[OUTSIDE])] {
        let why =
            failed(actor.handle(impose(u64::from(one.id.incident != outbound(1).id.incident), &owner(), &one, &[])));
        assert!(why.to_string().contains("install nftables"), "{why}");
    }
    assert_eq!(in_force(&mut actor), []);
    run("/usr/bin/umount", &["/usr/sbin/nft"]);
    done(actor.handle(impose(9, &owner(), &outbound(9), &[])));
    // While it is missing nobody can tell, so nothing counts as in force; what was set stays set.
    run("/usr/bin/mount", &["--bind", "/dev/null", "/usr/sbin/nft"]);
    assert!(!holds(&mut actor));
    run("/usr/bin/umount", &["/usr/sbin/nft"]);
    assert!(holds(&mut actor));
    let mut without = Node::new();
    without.config.net = None;
    let why = failed(without.open().handle(impose(1, &owner(), &outbound(1), &[])));
    assert!(why.to_string().contains("set [net]"), "{why}");
}

#[test]
fn a_thousand_uids_and_sources_are_set_and_read_back_in_one_go() {
    if !inside("a_thousand_uids_and_sources_are_set_and_read_back_in_one_go") {
        return;
    }
    let node = net_node();
    let net = Net::new(&net_config(&node));
    let now = Moment::from_secs(1_774_061_213);
    // Long to write, so that reading back meets the largest text.
    let long =
        |n: u32| std::net::Ipv6Addr::from_bits(0xfd00_1111_2222_3333_4444_5555_0000_0000 + 0x1111_0000 + u128::from(n));
    let source = |n: u32| (IpAddr::from(long(n)), now + Span::hours(1));
    for (uids, sources) in [(1, 0), (1_000, 0), (10_000, 1_000)] {
        let uids: Vec<u32> = (100_000..100_000 + uids).collect();
        let sources: Vec<_> = (0..sources).map(source).collect();
        let (mut set, mut read) = (Vec::new(), Vec::new());
        for _ in 0..11 {
            let start = Instant::now();
            net.set(&uids, &sources, now).unwrap();
            set.push(start.elapsed());
            let start = Instant::now();
            assert_eq!(net.is_set(&uids, &sources, now), Ok(true));
            read.push(start.elapsed());
        }
        set.sort();
        read.sort();
        println!(
            "measured: {} uids, {} sources: set {:.1?} (most {:.1?}), read back {:.1?} (most {:.1?})",
            uids.len(),
            sources.len(),
            set[5],
            set[10],
            read[5],
            read[10]
        );
    }
    let many: Vec<u32> = (100_000..110_001).collect();
    assert!(net.set(&many, &[], now).unwrap_err().contains("lift what is not needed"));
    assert!(ruleset().contains("109999"), "the table is as before");
}

#[test]
fn throttles_take_nothing_from_the_budget_of_accounts_and_a_throttled_account_that_is_closed_does() {
    if !inside("throttles_take_nothing_from_the_budget_of_accounts_and_a_throttled_account_that_is_closed_does") {
        return;
    }
    let node = net_node();
    let mut actor = node.open();
    let who = |i: u16| account(&format!("user{i}"), 20_000 + u32::from(i));
    let close = |actor: &mut Actor, i: u16| {
        let blog = site("blog.test", vec![model::GateKey::Nginx("blog.test".into())]);
        let one = restriction(i, 0, Measure::CloseSite { site: "blog.test".parse().unwrap() });
        actor.handle(impose(u64::from(i), &who(i % 10), &one, &[blog]))
    };
    // Whoever lets a crawler loose on three accounts makes three throttles.
    for i in 1..=3 {
        done(actor.handle(impose(u64::from(i), &who(i), &slowed(i, &["203.0.113.9"]), &[])));
    }
    done(close(&mut actor, 14));
    // Two of the throttled ones make three; then the day is used up, for a throttled account too.
    (11..=12).for_each(|i| drop(done(close(&mut actor, i))));
    for i in [13, 15] {
        let why = failed(close(&mut actor, i));
        assert!(matches!(why, Failure::Budget(_)), "{i}: {why}");
    }
    // Who is closed already counts no second time, and a throttle passes all the same.
    done(close(&mut actor, 24));
    done(actor.handle(impose(90, &who(6), &slowed(90, &["203.0.113.9"]), &[])));
}
