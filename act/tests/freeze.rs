//! Real processes: frozen with their children, recognised again, let go where they were, ended on order.

mod node;

use act::Reach;
use model::{Failure, Measure, ProcessRef};
use node::*;

fn freeze(processes: Vec<ProcessRef>) -> Measure {
    Measure::FreezeProcess { processes }
}

/// A shell with two children, forked before anybody looks.
fn family(uid: u32) -> (Sleeper, Vec<u32>) {
    let shell = run_as(uid, "/bin/bash", &["-c", "sleep 60 & sleep 60 & wait"]);
    let pid = shell.0.id();
    let children = || {
        let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        text.split_whitespace().map(|pid| pid.parse().unwrap()).collect::<Vec<u32>>()
    };
    let sleeps = |pid: &u32| std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|p| p.ends_with("sleep"));
    eventually("two children", || children().len() == 2 && children().iter().all(sleeps));
    let children = children();
    (shell, children)
}

fn places(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default()
}

/// With a freezer as root, and by signal as everybody. One after the other: a cage is named by its restriction, and
/// all tests use the same ones.
fn each_means(test: impl Fn(&Node)) {
    static ONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(|broken| broken.into_inner());
    let mut node = Node::new();
    node.config.cgroups = false;
    if is_root() {
        test(&node);
        let node = Node::new();
        match sys::cgroup::Freezer::find() {
            Some(_) => test(&node),
            None => skipped("no freezer cgroup"),
        }
    } else {
        skipped("other uids and freezers need root");
    }
}

#[test]
fn a_family_stands_still_with_its_children_and_goes_on_where_it_was() {
    each_means(|node| {
        let mut actor = node.open();
        let (shell, children) = family(test_uid());
        let bystander = sleeper(test_uid());
        let pids = [&[shell.0.id()][..], &children].concat();
        let before: Vec<String> = pids.iter().map(|pid| places(*pid)).collect();
        let one = restriction(1, 0, freeze(vec![reference(shell.0.id())]));
        let what = done(actor.handle(impose(1, &alice(), &one, &[])));
        assert!(what.contains("3 processes"), "{what}");
        assert!(in_force(&mut actor)[0].1);
        eventually("the bystander sleeps", || state(bystander.0.id()) == 'S');
        assert_eq!(places(bystander.0.id()), before[0], "the bystander stays where he was");
        // Another actor (after a restart) knows and lifts it.
        drop(actor);
        let mut actor = node.open();
        assert!(in_force(&mut actor)[0].1);
        done(actor.handle(lift(2, &alice(), &one, false)));
        eventually("all go on", || pids.iter().all(|pid| state(*pid) == 'S'));
        assert_eq!(pids.iter().map(|pid| places(*pid)).collect::<Vec<_>>(), before);
        children.iter().for_each(|pid| drop(sys::process::Process::open(*pid).map(|p| p.kill())));
    });
}

#[test]
fn ended_on_order_means_all_of_them_and_nobody_else() {
    each_means(|node| {
        let mut actor = node.open();
        let (shell, children) = family(test_uid());
        let bystander = sleeper(test_uid());
        let one = restriction(1, 0, freeze(vec![reference(shell.0.id())]));
        done(actor.handle(impose(1, &alice(), &one, &[])));
        let what = done(actor.handle(lift(2, &alice(), &one, true)));
        assert!(what.contains("3 processes ended"), "{what}");
        eventually("ended", || children.iter().all(|pid| matches!(state(*pid), 'Z' | '-')));
        eventually("still sleeping", || state(bystander.0.id()) == 'S');
        assert_eq!(in_force(&mut actor), []);
    });
}

#[test]
fn who_is_in_a_cage_is_let_out_of_it_although_the_order_came_once_more_while_there_was_no_freezer() {
    if !is_root() || sys::cgroup::Freezer::find().is_none() {
        return skipped("no freezer cgroup, or no root");
    }
    let (node, one) = (Node::new(), sleeper(test_uid()));
    let (pid, before) = (one.0.id(), places(one.0.id()));
    let caged = restriction(77, 0, freeze(vec![reference(pid)]));
    done(node.open().handle(impose(1, &alice(), &caged, &[])));
    assert_ne!(places(pid), before);
    let mut without = node.with_config();
    without.config.cgroups = false;
    let why = failed(without.open().handle(impose(2, &alice(), &caged, &[]))).to_string();
    assert!(why.contains("no freezer cgroup"), "{why}");
    // The naive twin takes the newer order's means for all, wakes it by signal, and it stands still for ever.
    let mut actor = node.open();
    assert!(in_force(&mut actor)[0].1);
    done(actor.handle(lift(3, &alice(), &caged, false)));
    eventually("it goes on", || state(pid) == 'S' && places(pid) == before);
}

#[test]
fn a_reused_pid_is_a_stranger_and_the_rest_is_frozen() {
    each_means(|node| {
        let mut actor = node.open();
        let (one, two) = (sleeper(test_uid()), sleeper(test_uid()));
        let mut stranger = reference(one.0.id());
        stranger.start_ticks -= 1;
        let mut other_program = reference(one.0.id());
        other_program.exe_ino += 1;
        for (intent, gone) in [(1, stranger.clone()), (2, other_program)] {
            let why =
                failed(actor.handle(impose(intent, &alice(), &restriction(intent as u16, 0, freeze(vec![gone])), &[])));
            assert!(matches!(why, Failure::Gone(_)), "{why}");
        }
        let both = restriction(9, 0, freeze(vec![stranger, reference(two.0.id())]));
        let what = done(actor.handle(impose(9, &alice(), &both, &[])));
        assert!(what.contains(&format!("gone before or not to be touched: pid {}", one.0.id())), "{what}");
        eventually("still sleeping", || state(one.0.id()) == 'S');
        done(actor.handle(lift(10, &alice(), &both, false)));
    });
}

#[test]
fn foreign_own_and_first_processes_are_never_touched_even_by_order_of_a_person() {
    each_means(|node| {
        let mut actor = node.open();
        let foreign = sleeper(test_uid() + 1);
        let mut disguised = reference(foreign.0.id());
        disguised.uid = test_uid();
        let mut own = reference(std::process::id());
        own.uid = test_uid();
        let init = ProcessRef { pid: 1, uid: test_uid(), ..own.clone() };
        for (intent, process) in [reference(foreign.0.id()), disguised, own, init].into_iter().enumerate() {
            let one = restriction(intent as u16, 0, freeze(vec![process]));
            let verb = model::Verb::Impose { restriction: one, by_person: true };
            let why = failed(actor.handle(order(intent as u64 + 1, &alice(), verb, &[], None)));
            assert!(matches!(why, Failure::Guard(_)), "{why}");
        }
        eventually("still sleeping", || state(foreign.0.id()) == 'S');
        assert_eq!(in_force(&mut actor), []);
        // Beside one that may be frozen they do not save it.
        let guilty = sleeper(test_uid());
        let both = restriction(9, 0, freeze(vec![reference(foreign.0.id()), reference(guilty.0.id())]));
        let what = done(actor.handle(impose(20, &alice(), &both, &[])));
        assert!(what.contains("1 processes"), "{what}");
        eventually("still sleeping", || state(foreign.0.id()) == 'S');
        done(actor.handle(lift(21, &alice(), &both, false)));
    });
}

#[test]
fn without_root_only_processes_that_were_handed_over_can_be_touched() {
    let mut node = Node::new();
    node.config.cgroups = false;
    node.config.reach = Reach::Handed { folder: node.folder.path().to_owned() };
    let mut actor = node.open();
    let (handed, other) = (sleeper(test_uid()), sleeper(test_uid()));
    let pid = rustix::process::Pid::from_raw(handed.0.id() as i32).unwrap();
    assert!(actor.hands().add(rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).unwrap()));
    assert!(!actor.hands().add(std::fs::File::open("/dev/null").unwrap().into()), "a file is no process");
    let why = failed(actor.handle(impose(1, &alice(), &restriction(1, 0, freeze(vec![reference(other.0.id())])), &[])));
    assert!(matches!(why, Failure::Guard(_)), "{why}");
    let one = restriction(2, 0, freeze(vec![reference(handed.0.id())]));
    done(actor.handle(impose(2, &alice(), &one, &[])));
    assert_eq!(state(handed.0.id()), 'T');
    eventually("still sleeping", || state(other.0.id()) == 'S');
    done(actor.handle(lift(3, &alice(), &one, false)));
    eventually("goes on", || state(handed.0.id()) == 'S');

    node.config.gate_dir = "/var/empty-elsewhere".into();
    let outside = act::Actor::open(node.config.clone());
    assert!(outside.is_err(), "files outside of the folder are out of reach");
}
