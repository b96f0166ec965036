//! Death between any two steps: after opening again each order is fully applied or fully taken back.

mod netns;
mod node;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use model::packet::{PassKey, SiteHandle, ToAct};
use model::{GateKey, Measure, Restriction};
use node::*;

/// Runs `packet` and dies after its n-th step; false when it had fewer steps.
fn die_after(node: &Node, n: usize, packet: &ToAct) -> bool {
    static QUIET: std::sync::Once = std::sync::Once::new();
    QUIET.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload().downcast_ref::<&str>() != Some(&"killed here") {
                usual(info);
            }
        }));
    });
    let count = AtomicUsize::new(0);
    let mut actor = node.open_with(Box::new(move |_| {
        if count.fetch_add(1, Ordering::Relaxed) + 1 == n {
            // As kill -9: nothing of the actor cleans up when it is dropped.
            std::panic::panic_any("killed here");
        }
    }));
    catch_unwind(AssertUnwindSafe(|| actor.handle(packet.clone()))).is_err()
}

/// For each step: die, open again, then journal and node must agree, and the order sent again must end well.
fn at_each_step(
    fresh: impl Fn() -> Node,
    mut prepare: impl FnMut(&Node) -> (Restriction, Vec<SiteHandle>),
    applied: impl Fn(&Node, &Restriction) -> bool,
) {
    for lifting in [false, true] {
        let mut steps = 0;
        for n in 1.. {
            let node = fresh();
            let (one, sites) = prepare(&node);
            let order = impose(1, &alice(), &one, &sites);
            if lifting {
                done(node.open().handle(order.clone()));
            }
            let packet = if lifting { lift(2, &alice(), &one, false) } else { order };
            if !die_after(&node, n, &packet) {
                break;
            }
            steps = n;
            // Death once more, while the first one is cleaned up.
            let dies = || node.open_with(Box::new(|_| std::panic::panic_any("killed here")));
            let _ = catch_unwind(AssertUnwindSafe(dies));
            let mut actor = node.open();
            let list = in_force(&mut actor);
            assert!(list.iter().all(|(id, holds, _)| *id == one.id && *holds), "step {n}: {list:?}");
            assert_eq!(applied(&node, &one), !list.is_empty(), "step {n}, lifting {lifting}");
            if lifting {
                assert_eq!(list, [], "a lift that was journalled is finished");
            }
            done(actor.handle(packet));
            assert_eq!(applied(&node, &one), !lifting, "sent again after step {n}");
            done(actor.handle(lift(3, &alice(), &one, false)));
            assert!(!applied(&node, &one));
        }
        assert!(steps >= 3, "the hook was never called");
    }
}

#[test]
fn closing_a_site_survives_death_at_every_step() {
    let gates = || vec![GateKey::Nginx("blog.test".into()), GateKey::Apache("/srv/alice/blog".into())];
    at_each_step(
        Node::new,
        |_| {
            let measure = Measure::CloseSite { site: "blog.test".parse().unwrap() };
            (restriction(1, 0, measure), vec![site("blog.test", gates())])
        },
        |node, _| {
            let flags = ["nginx/blog.test", "apache/srv/alice/blog/.hikeshi-closed"];
            let there: Vec<bool> = flags.iter().map(|flag| node.gate().join(flag).exists()).collect();
            assert_eq!(there[0], there[1], "half closed");
            there[0]
        },
    );
}

#[test]
fn blocking_a_path_survives_death_at_every_step() {
    let gates = || vec![GateKey::Nginx("blog.test".into()), GateKey::Apache("/srv/alice/blog".into())];
    at_each_step(
        Node::new,
        |_| {
            let (site_name, path) = ("blog.test".parse().unwrap(), "up/x.php".parse().unwrap());
            (restriction(1, 0, Measure::BlockScript { site: site_name, path }), vec![site("blog.test", gates())])
        },
        |node, _| {
            let flags = ["script/nginx/blog.test/up/x.php", "script/apache/srv/alice/blog/up/x.php"];
            let there = flags.map(|flag| node.gate().join(flag).join(".hikeshi-403").exists());
            assert_eq!(there[0], there[1], "half blocked");
            let left = std::fs::read_dir(node.gate().join("script")).map_or(0, |folders| folders.count());
            assert_eq!(left > 0, there[0], "folders are left behind");
            there[0]
        },
    );
}

#[test]
fn freezing_survives_death_at_every_step() {
    for cgroups in [false, true] {
        if !is_root() {
            skipped("other uids and freezers need root");
            return;
        }
        let sleepers = std::cell::RefCell::new(Vec::new());
        at_each_step(
            || {
                let mut node = Node::new();
                node.config.cgroups = cgroups;
                node
            },
            |_| {
                let parent = run_as(test_uid(), "/bin/bash", &["-c", "sleep 60 & wait"]);
                let pid = parent.0.id();
                let child = || std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
                eventually("a child", || !child().is_empty());
                let child: u32 = child().trim().parse().unwrap();
                let sleeps = || std::fs::read_link(format!("/proc/{child}/exe")).is_ok_and(|p| p.ends_with("sleep"));
                eventually("the child sleeps", sleeps);
                let one = restriction(1, 0, Measure::FreezeProcess { processes: vec![reference(pid)] });
                sleepers.borrow_mut().push((parent, child));
                (one, vec![])
            },
            |_, _| {
                let sleepers = sleepers.borrow();
                let (parent, child) = sleepers.last().unwrap();
                let still = |pid: u32| {
                    let place = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
                    if cgroups { place.contains("/hikeshi/") } else { state(pid) == 'T' }
                };
                if !cgroups {
                    // SIGCONT is seen a moment later.
                    eventually("both alike", || still(parent.0.id()) == still(*child));
                }
                assert_eq!(still(parent.0.id()), still(*child), "half frozen");
                still(*child)
            },
        );
        for (_, child) in sleepers.borrow().iter() {
            let _ = sys::process::Process::open(*child).map(|p| p.kill());
        }
    }
}

#[test]
fn a_pass_survives_death_at_every_step() {
    let handle = site("blog.test", vec![GateKey::Nginx("blog.test".into()), GateKey::Apache("/srv/a".into())]);
    for n in 1.. {
        let node = Node::new();
        let until = node.clock.0.lock().unwrap().0 + model::Span::hours(1);
        let packet = open_pass(1, &alice(), std::slice::from_ref(&handle), PassKey::Token([7; 16]), until);
        if !die_after(&node, n, &packet) {
            assert!(n > 5);
            break;
        }
        let mut actor = node.open();
        let leaf = format!(".hikeshi-tok-{}", "07".repeat(16));
        let there = |name: &str| node.gate().join("pass").join(name).join(&leaf).exists();
        // Journalled, two files, the answer: what was answered stands, all else was taken back.
        let stands = n > 4;
        assert_eq!((there("nginx/blog.test"), there("apache/srv/a")), (stands, stands), "step {n}");
        done(actor.handle(packet));
        assert!(there("nginx/blog.test") && there("apache/srv/a"));
        node.pass_time(3600);
        actor.tick();
        assert!(!there("nginx/blog.test") && !there("apache/srv/a"));
    }
}

#[test]
fn the_packet_filter_survives_death_at_every_step() {
    if !netns::inside("the_packet_filter_survives_death_at_every_step") {
        return;
    }
    let source: std::net::IpAddr = netns::OUTSIDE.parse().unwrap();
    for (measure, mark) in [
        (Measure::BlockOutbound, test_uid().to_string()),
        (Measure::ThrottleSource { sources: vec![source] }, source.to_string()),
    ] {
        at_each_step(
            || {
                // One namespace for all nodes: each begins without what the one before left.
                netns::run("/usr/sbin/nft", &["flush", "ruleset"]);
                let mut node = Node::new();
                let (updates, never) = (Vec::new(), Vec::new());
                node.config.net = Some(act::NetConfig { updates, never, resolv_conf: "/dev/null".into() });
                node
            },
            |_| (restriction(1, 0, measure.clone()), vec![]),
            |_, _| {
                let there = netns::ruleset();
                assert_eq!(there.contains(&mark), there.contains("table inet hikeshi"), "half set: {there}");
                there.contains(&mark)
            },
        );
    }
}
