//! Orders from end to end without servers: overlap, versions, budgets, drift, dry run, guards, the serve loop.

mod node;

use model::packet::{FromAct, SiteHandle, ToAct};
use model::{Failure, GateKey, Measure, Verb, Wide};
use node::*;

fn blog() -> SiteHandle {
    site("blog.test", vec![GateKey::Nginx("blog.test".into()), GateKey::Apache("/srv/alice/blog".into())])
}
fn shop() -> SiteHandle {
    site("shop.test", vec![GateKey::Nginx("shop.test".into())])
}
fn close(name: &str) -> Measure {
    Measure::CloseSite { site: name.parse().unwrap() }
}
fn page_of(node: &Node, name: &str) -> Option<String> {
    std::fs::read_to_string(node.gate().join("nginx").join(name)).ok()
}

#[test]
fn a_site_closed_by_two_incidents_opens_when_both_are_lifted_and_shows_the_older() {
    let node = Node::new();
    let mut actor = node.open();
    let site_only = restriction(1, 60, close("blog.test"));
    let sites = vec!["blog.test".parse().unwrap(), "shop.test".parse().unwrap()];
    let all = restriction(2, 0, Measure::CloseAccount { sites, wide: Wide::ManySites });
    done(actor.handle(impose(1, &alice(), &site_only, &[blog()])));
    assert!(page_of(&node, "blog.test").unwrap().contains(&number(1).to_string()));
    done(actor.handle(impose(2, &alice(), &all, &[blog(), shop()])));
    assert!(page_of(&node, "blog.test").unwrap().contains(&number(2).to_string()), "the older one is shown");
    let what = done(actor.handle(lift(3, &alice(), &all, false)));
    assert!(what.contains("still closed by another"), "{what}");
    assert_eq!(page_of(&node, "shop.test"), None);
    assert!(page_of(&node, "blog.test").unwrap().contains(&number(1).to_string()));
    done(actor.handle(lift(4, &alice(), &site_only, false)));
    assert_eq!(page_of(&node, "blog.test"), None);
    assert!(!node.gate().join("apache/srv").exists(), "no empty folders stay");
    assert_eq!(in_force(&mut actor), []);
}

#[test]
fn a_repeated_order_answers_from_the_journal_also_after_a_restart_and_repairs_drift() {
    let node = Node::new();
    let one = restriction(1, 0, close("blog.test"));
    let first = node.open().handle(impose(1, &alice(), &one, &[blog()]));
    let mut actor = node.open();
    assert_eq!(actor.handle(impose(1, &alice(), &one, &[blog()])), first);
    std::fs::remove_file(node.gate().join("nginx/blog.test")).unwrap();
    assert!(!in_force(&mut actor)[0].1, "drift is seen");
    let again = done(actor.handle(impose(1, &alice(), &one, &[blog()])));
    assert!(again.starts_with("repaired"), "{again}");
    assert!(in_force(&mut actor)[0].1);
    std::fs::write(node.gate().join("nginx/blog.test"), "another page").unwrap();
    assert!(!in_force(&mut actor)[0].1, "a changed page is drift too");
    done(actor.handle(impose(2, &alice(), &one, &[blog()])));
    assert!(in_force(&mut actor)[0].1);
}

#[test]
fn an_order_older_than_a_lift_is_refused() {
    let node = Node::new();
    let mut actor = node.open();
    let one = restriction(1, 0, close("blog.test"));
    done(actor.handle(lift(9, &alice(), &one, false)));
    drop(actor);
    let why = failed(node.open().handle(impose(5, &alice(), &one, &[blog()])));
    assert!(matches!(&why, Failure::Error(text) if text.contains("older")), "{why}");
    assert_eq!(page_of(&node, "blog.test"), None);
}

#[test]
fn the_fourth_account_within_an_hour_needs_a_person() {
    let node = Node::new();
    let who = |i: u16| account(&format!("user{i}"), 20_000 + u32::from(i));
    let handle = |i: u16| site(&format!("s{i}.test"), vec![GateKey::Nginx(format!("s{i}.test"))]);
    let one = |i: u16| restriction(i, 0, close(&format!("s{i}.test")));
    let order = |i: u16| impose(u64::from(i), &who(i), &one(i), &[handle(i)]);
    let mut actor = node.open();
    (1..=3).for_each(|i| drop(done(actor.handle(order(i)))));
    assert!(matches!(failed(actor.handle(order(4))), Failure::Budget(_)));
    // A second restriction of a restricted account is no new account.
    let second = restriction(50, 0, close("s1.test"));
    done(actor.handle(impose(50, &who(1), &second, &[handle(1)])));
    // The wall clock jumps a year: nothing is refilled, also after a restart.
    node.clock.0.lock().unwrap().0 = model::Moment::parse("2027-03-21T00:00:00Z").unwrap();
    drop(actor);
    let mut actor = node.open();
    assert!(matches!(failed(actor.handle(order(5))), Failure::Budget(_)));
    // A person may.
    let verb = Verb::Impose { restriction: one(6), by_person: true };
    done(actor.handle(node::order(6, &who(6), verb, &[handle(6)], None)));
    node.pass_time(3601);
    assert!(matches!(failed(actor.handle(order(7))), Failure::Budget(text) if text.contains("day")));
    node.pass_time(86_400);
    done(actor.handle(order(8)));
}

#[test]
fn guards_hold_for_people_too() {
    let node = Node::new();
    let mut actor = node.open();
    for (intent, uid) in [0, 33, 999, 19_999, 30_000, 65_534].into_iter().enumerate() {
        let verb = Verb::Impose { restriction: restriction(1, 0, close("blog.test")), by_person: true };
        let packet = order(intent as u64 + 1, &account("mallory", uid), verb, &[blog()], None);
        assert!(matches!(failed(actor.handle(packet)), Failure::Guard(_)), "{uid}");
    }
    assert_eq!(page_of(&node, "blog.test"), None);
}

#[test]
fn a_gate_that_the_web_server_cannot_see_is_refused_at_the_start() {
    use std::os::unix::fs::PermissionsExt;
    let node = Node::new();
    std::fs::set_permissions(node.folder.path(), PermissionsExt::from_mode(0o700)).unwrap();
    let why = act::Actor::open(node.config.clone()).err().unwrap().to_string();
    assert!(why.contains("chmod o+x"), "{why}");
}

#[test]
fn a_dry_run_says_the_steps_and_changes_and_journals_nothing() {
    let node = Node::new();
    let mut actor = node.open();
    let one = restriction(1, 0, close("blog.test"));
    let before = std::fs::read(node.config.state_dir.join("journal")).unwrap();
    match actor.handle(dry(impose(1, &alice(), &one, &[blog()]))).as_slice() {
        [FromAct::Would { steps, .. }] => {
            assert!(steps.len() == 2 && steps[0].contains("nginx/blog.test"), "{steps:?}")
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read(node.config.state_dir.join("journal")).unwrap(), before);
    assert_eq!(page_of(&node, "blog.test"), None);
    done(actor.handle(impose(1, &alice(), &one, &[blog()])));
}

#[test]
fn what_cannot_be_closed_is_an_error_with_a_next_step_and_leaves_nothing() {
    let node = Node::new();
    let mut actor = node.open();
    let sites = vec!["blog.test".parse().unwrap(), "gone.test".parse().unwrap()];
    let all = restriction(2, 0, Measure::CloseAccount { sites, wide: Wide::ManySites });
    let why = failed(actor.handle(impose(1, &alice(), &all, &[blog()]))).to_string();
    assert!(why.contains("hikeshi setup"), "{why}");
    assert_eq!(page_of(&node, "blog.test"), None);
    // A flag that cannot be written: the other one is taken back and the budget given back.
    std::fs::write(node.gate().join("apache"), "in the way").unwrap();
    for intent in 2..9 {
        let why = failed(actor.handle(impose(intent, &alice(), &restriction(3, 0, close("blog.test")), &[blog()])));
        assert!(matches!(&why, Failure::Error(text) if text.contains("flag file")), "{why}");
        assert_eq!(page_of(&node, "blog.test"), None);
        assert_eq!(in_force(&mut actor), []);
    }
}

#[test]
fn pidfds_that_come_on_the_inherited_socket_widen_the_reach_of_the_demo() {
    use std::os::fd::AsFd;
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut node = Node::new();
    node.config.cgroups = false;
    node.config.reach = act::Reach::Handed { folder: node.folder.path().to_owned() };
    let path = node.folder.path().join("act.sock");
    let listener = sys::socket::Listener::bind(&path, 0o600).unwrap();
    let (demo, inherited) = sys::socket::Connection::pair().unwrap();
    let go_on = AtomicBool::new(true);
    let mut actor = node.open();
    let child = sleeper(test_uid());
    std::thread::scope(|scope| {
        scope.spawn(|| act::serve(&listener, &mut actor, Some(inherited), || go_on.load(Ordering::Relaxed)).unwrap());
        let core = sys::socket::Connection::connect(&path).unwrap();
        let one = restriction(1, 0, Measure::FreezeProcess { processes: vec![reference(child.0.id())] });
        core.send_value(&impose(1, &alice(), &one, &[])).unwrap();
        assert!(matches!(failed(vec![core.recv_value().unwrap().0]), Failure::Guard(_)), "not handed over yet");
        let pid = rustix::process::Pid::from_raw(child.0.id() as i32).unwrap();
        let pidfd = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap();
        demo.send_with_fds(b"pidfd", &[pidfd.as_fd()]).unwrap();
        // The loop takes what came on the inherited socket before the next order.
        core.send_value(&impose(2, &alice(), &one, &[])).unwrap();
        done(vec![core.recv_value().unwrap().0]);
        assert_eq!(state(child.0.id()), 'T');
        core.send_value(&lift(3, &alice(), &one, false)).unwrap();
        done(vec![core.recv_value().unwrap().0]);
        go_on.store(false, Ordering::Relaxed);
    });
}

#[test]
fn garbage_and_strangers_end_connections_and_never_the_loop() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let mut node = Node::new();
    let path = node.folder.path().join("act.sock");
    let listener = sys::socket::Listener::bind(&path, 0o666).unwrap();
    let go_on = std::sync::Arc::new(AtomicBool::new(true));
    let run = |mut actor: act::Actor, listener: sys::socket::Listener| {
        let go_on = go_on.clone();
        std::thread::spawn(move || {
            act::serve(&listener, &mut actor, None, || go_on.load(Ordering::Relaxed)).unwrap();
            listener
        })
    };
    let thread = run(node.open(), listener);
    let core = sys::socket::Connection::connect(&path).unwrap();
    core.send(&[0xff; 100]).unwrap();
    core.set_recv_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    assert!(core.recv(&mut [0; 64]).is_err(), "the connection was ended");
    let core = sys::socket::Connection::connect(&path).unwrap();
    core.send_value(&ToAct::List).unwrap();
    assert_eq!(core.recv_value::<FromAct>().unwrap().0, FromAct::ListEnd);
    let newer = sys::socket::Connection::connect(&path).unwrap();
    newer.send_value(&ToAct::List).unwrap();
    assert_eq!(newer.recv_value::<FromAct>().unwrap().0, FromAct::ListEnd);
    assert_eq!(core.recv(&mut [0; 64]).unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof, "newest wins");
    go_on.store(false, Ordering::Relaxed);
    let listener = thread.join().unwrap();

    node.config.core_uids = vec![12_345];
    go_on.store(true, Ordering::Relaxed);
    let thread = run(node.open(), listener);
    let stranger = sys::socket::Connection::connect(&path).unwrap();
    let _ = stranger.send_value(&ToAct::List);
    stranger.set_recv_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let end = stranger.recv(&mut [0; 64]).unwrap_err().kind();
    assert!(matches!(end, std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset), "{end}");
    go_on.store(false, Ordering::Relaxed);
    thread.join().unwrap();
}

#[test]
fn what_no_restriction_wants_is_reported_and_left_as_it_is() {
    let node = Node::new();
    let mut actor = node.open();
    done(actor.handle(impose(1, &alice(), &restriction(1, 0, close("blog.test")), &[blog()])));
    assert_eq!(actor.handle(ToAct::Strays), [FromAct::Strays(vec![])]);
    std::fs::write(node.gate().join("nginx/other.test"), "by hand").unwrap();
    std::fs::create_dir_all(node.gate().join("apache/srv/x")).unwrap();
    std::fs::write(node.gate().join("apache/srv/x/.hikeshi-closed"), "by hand").unwrap();
    let [FromAct::Strays(strays)] = &actor.handle(ToAct::Strays)[..] else { panic!() };
    assert!(strays.len() == 2 && strays.iter().any(|s| s.contains("nginx/other.test")), "{strays:?}");
    assert!(node.gate().join("nginx/other.test").exists());
}

#[test]
fn an_order_that_failed_and_cannot_be_taken_back_yet_is_wanted_no_more_by_any_other_order() {
    let node = Node::new();
    let mut actor = node.open();
    let both = site("blog.test", vec![GateKey::Nginx("blog.test".into()), GateKey::Nginx("www.blog.test".into())]);
    // In the way of one flag, and not to be taken away either: the other flag goes, this one is tried again.
    let way = node.gate().join("nginx/www.blog.test");
    std::fs::create_dir_all(&way).unwrap();
    let (older, other) = (restriction(1, 0, close("blog.test")), restriction(2, 60, close("blog.test")));
    let why = failed(actor.handle(impose(1, &alice(), &older, &[both]))).to_string();
    assert!(why.contains("not yet taken back"), "{why}");
    assert_eq!(page_of(&node, "blog.test"), None);
    assert_eq!(in_force(&mut actor), []);
    // What failed is the older one, and yet neither its page nor its flag comes back with another order.
    let right = |node: &Node| page_of(node, "blog.test").is_some_and(|page| page.contains(&number(2).to_string()));
    done(actor.handle(impose(2, &alice(), &other, &[blog()])));
    assert!(right(&node));
    let why = failed(actor.handle(impose(3, &alice(), &older, &[blog()]))).to_string();
    assert!(why.contains("being taken back"), "{why}");
    // Nor after a restart, which takes it back no better.
    drop(actor);
    let mut actor = node.open();
    assert_eq!(in_force(&mut actor).iter().map(|row| row.0).collect::<Vec<_>>(), [other.id]);
    done(actor.handle(impose(4, &alice(), &other, &[blog()])));
    assert!(right(&node));
    done(actor.handle(lift(5, &alice(), &other, false)));
    assert_eq!(page_of(&node, "blog.test"), None, "the order that failed is still obeyed");
    // As soon as it can be, it is taken back, and may come again.
    std::fs::remove_dir(&way).unwrap();
    node.pass_time(60);
    actor.tick();
    done(actor.handle(impose(6, &alice(), &older, &[blog()])));
    assert!(page_of(&node, "blog.test").unwrap().contains(&number(1).to_string()));
}

#[test]
fn who_makes_what_is_taken_back_take_long_holds_nobody_else_up() {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    let node = Node::new();
    let (tries, slow, clock) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)), node.clock.clone());
    let (count, secs) = (tries.clone(), slow.clone());
    let mut actor = node.open_with(Box::new(move |step| {
        if step == "set: one flag" {
            clock.0.lock().unwrap().2 += secs.load(Relaxed);
            count.fetch_add(1, Relaxed);
        }
    }));
    let mallory = account("mallory", test_uid());
    // Something is in the way of the last flag of each, so that none can be taken back: three flags are set, and it fails.
    let way = |i: u16| node.gate().join(format!("nginx/www{i}.test/in/the/way"));
    for (i, who) in [(1, &mallory), (2, &mallory), (3, &mallory), (9, &alice())] {
        std::fs::create_dir_all(way(i)).unwrap();
        let gates = vec![GateKey::Nginx(format!("s{i}.test")), GateKey::Nginx(format!("www{i}.test"))];
        let one = restriction(i, 0, close(&format!("s{i}.test")));
        let order = impose(u64::from(i), who, &one, &[site(&format!("s{i}.test"), gates)]);
        assert!(failed(actor.handle(order)).to_string().contains("not yet taken back"));
    }
    node.pass_time(3600);
    std::fs::remove_dir_all(node.gate().join("nginx/www9.test")).unwrap();
    slow.store(1, Relaxed);
    let mut tick = |passed: u64| {
        node.pass_time(passed);
        tries.store(0, Relaxed);
        actor.tick();
        tries.load(Relaxed)
    };
    // One of his a tick, then the other account's, whose four flags are taken back at once.
    assert_eq!(tick(0), 3, "the naive twin tries all of his first");
    assert_eq!(tick(0), 4);
    // Twice as long after the work (alice's took 4 s), not after its beginning, as after the order itself; and so on.
    for (number, (passed, right)) in
        [(15, 0), (1, 3), (39, 0), (1, 3), (79, 0), (1, 3), (1000, 3), (299, 0), (1, 3), (299, 0), (1, 3)]
            .into_iter()
            .enumerate()
    {
        assert_eq!(tick(passed), right, "{number}: after {passed} s");
    }
    let restored = restriction(19, 0, close("s9.test"));
    done(actor.handle(impose(19, &alice(), &restored, &[site("s9.test", vec![GateKey::Nginx("s9.test".into())])])));
}

#[test]
fn a_pass_stays_open_however_many_orders_are_answered_after_it() {
    let node = Node::in_memory();
    let mut actor = node.open();
    let until = model::Moment::parse("2026-03-21T04:00:00Z").unwrap();
    done(actor.handle(open_pass(1, &alice(), &[blog()], model::packet::PassKey::Token([7; 16]), until)));
    let files = || std::fs::read_dir(node.gate().join("pass/nginx/blog.test")).map_or(0, Iterator::count);
    assert_eq!(files(), 1);
    // More than the journal keeps answers.
    for intent in 2..4200 {
        done(actor.handle(lift(intent, &alice(), &restriction(1, 0, close("blog.test")), false)));
    }
    actor.tick();
    assert_eq!(files(), 1, "open until its time");
    drop(actor);
    let mut actor = node.open();
    assert_eq!(files(), 1);
    node.pass_time(7200);
    actor.tick();
    assert_eq!(files(), 0);
}
