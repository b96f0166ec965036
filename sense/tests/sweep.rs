//! The live sweep, recorded snapshots, a rescan and a capture, on processes that the test starts itself.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use model::{AccountEntry, AccountRef, Check, Evidence, FactKey, Moment, Verdict};
use sense::attribution::Accounts;
use sense::process::{CAPTURE_MAX, Memory, SocketState, State, Table, capture, judge, rescan};

const NOW: Moment = Moment::from_secs(4_000_000_000);

fn own_uid() -> u32 {
    std::fs::metadata("/proc/self").unwrap().uid()
}

/// A sweep that takes our own uid for a tenant's, which also works without root.
fn sweep(previous: Option<Table>) -> Table {
    let own = own_uid();
    Table::sweep(Path::new("/proc"), previous, NOW, &|uid| uid == own).unwrap()
}

/// A child that is ended and collected with the test.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command) -> Kept {
    Kept(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// A folder that goes away with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let folder = std::env::temp_dir().join(format!("hikeshi-sweep-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder.canonicalize().unwrap())
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_live_process_is_seen_with_program_arguments_directory_and_hostile_name() {
    let folder = Folder::new("name");
    let hostile = folder.0.join(std::ffi::OsStr::from_bytes(b"a) S 1 (\n\xff"));
    // Copied by another process: a file that we wrote ourselves may still be open in a child that a test beside us forks.
    assert!(Command::new("cp").arg("/bin/sleep").arg(&hostile).status().unwrap().success());
    let child = start(Command::new(&hostile).arg("60").current_dir(&folder.0));
    let table = sweep(None);
    let seen = table.get(child.0.id()).expect("our child");
    assert_eq!(seen.exe, hostile.as_os_str().as_bytes());
    assert_eq!(seen.comm, b"a) S 1 (\n\xff");
    assert_eq!(seen.argv[1], b"60");
    assert_eq!(seen.cwd, folder.0.as_os_str().as_bytes());
    assert_eq!((seen.ppid, seen.uid), (std::process::id(), own_uid()));
    assert!(seen.exe_ino == std::fs::metadata(&hostile).unwrap().ino() && !seen.deleted && !seen.kernel);
    std::fs::remove_file(&hostile).unwrap();
    assert!(sweep(None).get(child.0.id()).unwrap().deleted);
}

#[test]
fn the_second_sweep_says_the_same_and_misses_no_new_program_in_an_old_process() {
    let child = start(Command::new("/bin/sh").args(["-c", "read x < /dev/null; sleep 0.1; exec sleep 61"]));
    let mut table = sweep(None);
    // Bounded waiting for the other program, by sweeps and not by a clock.
    for _ in 0..20_000 {
        table = sweep(Some(table));
        if table.get(child.0.id()).unwrap().argv == [b"sleep".to_vec(), b"61".to_vec()] {
            break;
        }
    }
    let seen = table.get(child.0.id()).unwrap();
    assert_eq!(seen.argv, [b"sleep".to_vec(), b"61".to_vec()]);
    let fresh = sweep(None);
    let again = sweep(Some(table));
    assert_eq!(fresh.get(child.0.id()).unwrap(), again.get(child.0.id()).unwrap());
}

#[test]
fn a_listening_socket_is_joined_to_its_process_also_when_it_came_later() {
    let table = sweep(None);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let table = sweep(Some(table));
    let own = table.get(std::process::id()).unwrap();
    let local = listener.local_addr().unwrap();
    assert!(own.sockets.iter().any(|socket| socket.local == local && socket.state == SocketState::Listen));
    assert!(own.sockets.iter().all(|socket| socket.local != local || !socket.listens_outside()));
}

#[test]
fn zombies_are_seen_as_such() {
    let mut child = start(&mut Command::new("/bin/true"));
    let mut state = None;
    for _ in 0..20_000 {
        state = sweep(None).get(child.0.id()).map(|p| p.state);
        if state == Some(State::Zombie) {
            break;
        }
    }
    assert_eq!(state, Some(State::Zombie));
    let _ = child.0.wait();
}

#[test]
fn recorded_lines_survive_bytes_newlines_and_unknown_keys_and_bad_ones_are_counted() {
    let text = b"{\"observed_at\":\"2026-03-07T02:30:00+09:00\"}\n\
        {\"pid\":1,\"ppid\":0,\"uid\":0,\"comm\":\"a\\nb\",\"exe\":\"/x/\xff\xfe\",\"cmdline\":[\"\",\"\\u001b[2J\"],\"colour\":7}\n\
        not json\n\n\
        {\"pid\":2,\"ppid\":1,\"uid\":1,\"sockets\":[{\"proto\":\"tcp6\",\"local\":\"[::1]:80\",\"remote\":\"*:*\",\"state\":\"LISTEN\"}]}\n\
        {\"pid\":3,\"ppid\":1,\"uid\":1,\"sockets\":[{\"proto\":\"tcp\",\"local\":\"nowhere\"}]}\n";
    let recorded = Table::read_jsonl(&text[..]).unwrap();
    assert_eq!((recorded.lines, recorded.dropped), (5, 2));
    assert_eq!(recorded.now, Moment::parse("2026-03-07T02:30:00+09:00"));
    let first = recorded.table.get(1).unwrap();
    assert_eq!((&first.comm[..], &first.exe[..]), (&b"a\nb"[..], &b"/x/\xff\xfe"[..]));
    assert_eq!(first.argv, [b"".to_vec(), b"\x1b[2J".to_vec()]);
    assert!(!recorded.table.get(2).unwrap().sockets[0].listens_outside());
    let warnings = recorded.warnings.join("\n");
    assert!(
        warnings.contains("line 2: unknown key") && warnings.contains("line 3:") && warnings.contains("line 6:"),
        "{warnings}"
    );
}

fn account(home: &Path) -> AccountEntry {
    AccountEntry {
        account: AccountRef { name: "aoi".parse().unwrap(), uid: 3001, generation: 1 },
        home: home.to_str().unwrap().to_owned(),
        sites: Vec::new(),
        contacts: Vec::new(),
        time_zone: "Asia/Tokyo".to_owned(),
    }
}

#[test]
fn a_rescan_finds_what_is_still_there_and_follows_no_link_out_of_the_home() {
    let folder = Folder::new("rescan");
    let home = folder.0.join("home/aoi");
    std::fs::create_dir_all(home.join(".x")).unwrap();
    std::fs::write(home.join(".x/still\nthere"), "").unwrap();
    std::os::unix::fs::symlink("/etc", home.join("out")).unwrap();
    let account = account(&home);
    let who = Accounts::new(std::slice::from_ref(&account), &[]);
    let check = |path: &Path| {
        let mut evidence = Evidence::default();
        evidence.text(FactKey::Really, "/usr/bin/perl").text(FactKey::Script, path.as_os_str().as_bytes());
        let lines = rescan(&Table::default(), &who, &account, &[], &[evidence], Path::new("/"), NOW);
        assert_eq!((lines[0].check, &lines[0].verdict), (Check::Processes, &Verdict::Clean { count: 0 }));
        assert_eq!(lines[1].check, Check::CapturedGone);
        lines[1].verdict.clone()
    };
    assert!(matches!(check(&home.join(".x/still\nthere")), Verdict::Found { .. }));
    assert_eq!(check(&home.join(".x/gone")), Verdict::Clean { count: 1 });
    assert_eq!(check(&home.join("out/passwd")), Verdict::Clean { count: 1 });
}

#[test]
fn frozen_processes_do_not_stand_in_the_way_of_a_rescan_and_others_do() {
    let line = |pid: u32| {
        format!(
            "{{\"pid\":{pid},\"ppid\":1,\"uid\":3001,\"comm\":\"crond\",\"exe\":\"/home/aoi/.x/crond\",\"cmdline\":[\"crond\"]}}\n"
        )
    };
    let table = |text: String| Table::read_jsonl(text.as_bytes()).unwrap().table;
    let account = account(Path::new("/home/aoi"));
    let who = Accounts::new(std::slice::from_ref(&account), &[]);
    let one = table(line(10));
    let found = judge(&one, &who, NOW, &mut Memory::default()).findings;
    let model::Target::Processes(processes) = found[0].signal.target.clone() else { panic!("processes") };
    let restriction = model::Restriction {
        id: model::RestrictionId { incident: model::Number::new(NOW, 1), ordinal: 1 },
        measure: model::Measure::FreezeProcess { processes },
        since: NOW,
        why: model::Why { rule: String::new(), findings: Vec::new() },
    };
    let processes = |table: &Table| {
        rescan(table, &who, &account, std::slice::from_ref(&restriction), &[], Path::new("/"), NOW)[0].verdict.clone()
    };
    assert_eq!(processes(&one), Verdict::Clean { count: 0 });
    assert_eq!(processes(&table(line(10) + &line(11))), Verdict::Found { place: "/home/aoi/.x/crond".to_owned() });
}

#[test]
fn a_capture_holds_the_programs_hash_and_keeps_its_bound() {
    let children: Vec<Kept> =
        (0..40).map(|n| start(Command::new("/bin/sleep").args(["60", &"0".repeat(200 + n)]))).collect();
    let table = sweep(None);
    let mut wanted: Vec<_> = children.iter().map(|child| table.get(child.0.id()).unwrap().reference()).collect();
    let few = capture(Path::new("/proc"), &wanted[..1]).unwrap();
    let text = String::from_utf8(few).unwrap();
    assert!(text.contains("\"exe_hash\":\"") && text.contains(&"0".repeat(200)), "{text}");
    let many = capture(Path::new("/proc"), &wanted).unwrap();
    assert!(many.len() <= CAPTURE_MAX && serde_json::from_slice::<serde_json::Value>(&many).is_ok());
    // The same pid with another start is somebody else.
    wanted[0].start_ticks += 1;
    let other = capture(Path::new("/proc"), &wanted[..1]).unwrap();
    assert_eq!(
        String::from_utf8(other).unwrap(),
        format!("{{\"processes\":[],\"gone\":[{}],\"left_out\":0}}", wanted[0].pid)
    );
}
