//! House rules are tests: arrows between rooms, where danger lives, what every file begins with.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Rooms and what each may import of ours. Words at the bottom, work above, wiring on top; see ARCHITECTURE.md.
const ARROWS: [(&str, &[&str]); 9] = [
    ("model", &[]),
    ("sys", &[]),
    ("sense", &["model"]),
    ("engine", &["model"]),
    ("store", &["model"]),
    ("act", &["model", "sys"]),
    ("desk", &["model"]),
    ("hikeshi", &["model", "sys", "sense", "engine", "store", "act", "desk"]),
    ("tests", &["model", "sys", "sense", "engine", "store", "act", "desk"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The names under `[dependencies]` of a room.
fn dependencies(room: &str) -> Vec<String> {
    let text = std::fs::read_to_string(root().join(room).join("Cargo.toml")).unwrap();
    let section = text.split("\n[dependencies]\n").nth(1).unwrap_or("");
    let lines = section.lines().take_while(|l| !l.starts_with('['));
    lines.filter_map(|l| Some(l.split(['.', '=', ' ']).next()?.to_owned())).filter(|n| !n.is_empty()).collect()
}

/// All Rust files of the repository.
fn sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = ARROWS.iter().map(|(room, _)| root().join(room)).collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    assert!(found.len() > 50, "only {} files found", found.len());
    found
}

#[test]
fn rooms_on_one_storey_do_not_import_each_other() {
    let ours: BTreeSet<&str> = ARROWS.iter().map(|(room, _)| *room).collect();
    for (room, allowed) in ARROWS {
        for import in dependencies(room).iter().filter(|d| ours.contains(d.as_str())) {
            assert!(allowed.contains(&import.as_str()), "{room} imports {import}; see ARCHITECTURE.md, arrows");
        }
    }
}

#[test]
fn the_workspace_has_these_rooms_and_no_other() {
    let text = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let members = text.split("members = [").nth(1).unwrap().split(']').next().unwrap();
    let members: BTreeSet<&str> =
        members.split(',').map(|m| m.trim().trim_matches('"')).filter(|m| !m.is_empty()).collect();
    assert_eq!(members, ARROWS.iter().map(|(room, _)| *room).collect());
}

#[test]
fn danger_has_one_small_room() {
    // Written apart, or this file would find itself.
    let danger = ["unsa", "fe {"].concat();
    let word = ["unsa", "fe fn"].concat();
    for (path, text) in sources() {
        let inside = path.starts_with(root().join("sys"));
        assert!(inside || !(text.contains(&danger) || text.contains(&word)), "{} is outside of sys", path.display());
    }
}

/// Code of the role that acts: file and line; comments, blank lines and tests are not code.
fn acting() -> Vec<(String, String)> {
    let act = root().join("act/src");
    let mut lines = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| path.starts_with(&act)) {
        let name = path.strip_prefix(&act).unwrap().to_string_lossy().into_owned();
        if name.ends_with("tests.rs") {
            continue;
        }
        let mut code = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
        while let Some(line) = code.next() {
            if line != "#[cfg(test)]" {
                lines.push((name.clone(), line.to_owned()));
            } else if code.next().is_some_and(|marked| marked.starts_with("mod ") && marked.ends_with('{')) {
                break; // tests come last in a file
            }
        }
    }
    lines
}

#[test]
fn the_role_that_acts_is_small_runs_no_shell_and_has_few_dependencies() {
    let code = acting();
    assert!(code.len() > 1000, "only {} lines found", code.len());
    // docs/decisions/0010. It only goes down.
    assert!(code.len() <= 3000, "act has {} lines of code", code.len());
    let text_of = |file: &str, name: &str| {
        let path = root().join("act/src").join(file).with_file_name(name);
        std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    let texts = code.iter().filter_map(|(file, line)| {
        let name = line.split("include_str!(\"").nth(1)?.split('"').next()?;
        Some(text_of(file, name).lines().count())
    });
    let texts: Vec<usize> = texts.collect();
    assert!(texts.len() == 5 && texts.iter().sum::<usize>() <= 200, "texts of other programs: {texts:?}");
    for (file, line) in &code {
        for shell in ["\"sh\"", "\"bash\"", "bin/sh", "bin/bash", "\"-c\", &format"] {
            assert!(!line.contains(shell), "act/src/{file} names a shell: {line}");
        }
    }
    assert!(dependencies("act").len() <= 10, "{:?}", dependencies("act"));
}

/// Calls that take a whole path, start a program or reach the network. `act` has privilege, so it goes from descriptor
/// to descriptor (`sys::dir`).
const NOT_IN_ACT: [&str; 28] = [
    "fs::read",
    "fs::write",
    "fs::rename",
    "fs::remove",
    "fs::copy",
    "fs::create_dir",
    "fs::hard_link",
    "fs::metadata",
    "fs::symlink_metadata",
    "fs::set_permissions",
    "fs::canonicalize",
    "fs::chown",
    "fs::chmod",
    "fs::unlink",
    "fs::open",
    "OpenOptions",
    "DirBuilder",
    "File::open",
    "File::create",
    "CWD",
    ".is_file()",
    "Command::new",
    "program::run",
    "TcpStream",
    "TcpListener",
    "UdpSocket",
    "unix::net",
    "reachable(&",
];

/// The few that are there, and why no tenant has a say in them.
const YET_IN_ACT: [(&str, &str, &str); 9] = [
    ("actor.rs", "reachable(&config.gate_dir", "a folder of ours and those above it, which are root's"),
    ("files.rs", "is.is_file()", "facts of a descriptor that is held"),
    ("guard.rs", "std::fs::symlink_metadata(disarmed)", "the stop file in root's folder; a link there is a stop too"),
    ("mail.rs", "std::fs::read_dir(&hold)", "Postfix's queue: names are listed, nothing is opened"),
    ("mail.rs", "std::fs::symlink_metadata(", "Postfix's queue: whether the file is the one that the id names"),
    ("mail.rs", "meta.is_file() && meta.ino() == inode", "what the look before answered"),
    ("postfix.rs", "reachable(&path", "a table of ours and the folders above it, which are root's"),
    ("program.rs", ".find(|path| path.is_file())", "a fixed name in /usr/sbin or /usr/bin"),
    ("program.rs", "program::run(&path", "the one place where a program starts; the list of programs is an enum"),
];

#[test]
fn the_role_that_acts_changes_files_through_descriptors_only() {
    for (file, line) in acting() {
        let Some(call) = NOT_IN_ACT.iter().find(|call| line.contains(**call)) else { continue };
        let said = YET_IN_ACT.iter().any(|(where_, what, _)| *where_ == file && line.contains(what));
        assert!(said, "act/src/{file} uses {call}: {line}\nuse sys::dir, or say in YET_IN_ACT why it is safe");
    }
    for (file, what, why) in YET_IN_ACT {
        let there = acting().iter().any(|(name, line)| name == file && line.contains(what));
        assert!(there, "act/src/{file} has no {what} any more ({why}); take it out of YET_IN_ACT");
    }
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    for (path, text) in sources() {
        assert!(text.starts_with("//! ") && text.len() > 12, "{} does not say what it is for", path.display());
    }
}

#[test]
fn the_engine_has_no_clock_no_disk_and_no_network() {
    for (path, text) in sources().into_iter().filter(|(p, _)| p.starts_with(root().join("engine/src"))) {
        for edge in ["SystemTime", "Instant::now", "std::fs", "std::net", "std::io", "std::env", "rand"] {
            assert!(!text.contains(edge), "{} reaches for {edge}", path.display());
        }
    }
}

#[test]
fn nothing_unfinished_is_left_behind() {
    for (path, text) in sources() {
        for word in [
            ["to", "do!("].concat(),
            ["unimpl", "emented!("].concat(),
            ["#[ig", "nore"].concat(),
            ["FIX", "ME"].concat(),
        ] {
            assert!(!text.contains(&word), "{} holds {word}", path.display());
        }
    }
}

#[test]
fn files_of_the_repository_name_no_machine() {
    let names = [["/wo", "rk/"].concat(), ["/ro", "ot/"].concat()];
    for (path, text) in sources() {
        for name in &names {
            assert!(!text.contains(name.as_str()), "{} names {name}", path.display());
        }
    }
}

/// What is wrong with a row of the ledger: `| product and id | what happened | our rule | shown by |`, where the last
/// cell names tests as `file` `function`.
fn wrong_row(row: &str) -> Option<String> {
    let cells: Vec<&str> = row.trim().trim_matches('|').split('|').map(str::trim).collect();
    if cells.len() != 4 || cells.iter().any(|cell| cell.is_empty()) {
        return Some(format!("{} cells, 4 filled ones are right", cells.len()));
    }
    let named: Vec<&str> = cells[3].split('`').skip(1).step_by(2).collect();
    if named.is_empty() || !named.len().is_multiple_of(2) {
        return Some("no `file` `test`".into());
    }
    named.chunks(2).find_map(|pair| {
        let (file, test) = (pair[0], pair[1]);
        let Ok(text) = std::fs::read_to_string(root().join(file)) else { return Some(format!("no file {file}")) };
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let Some(at) = lines.iter().position(|line| line.starts_with(&format!("fn {test}()"))) else {
            return Some(format!("no fn {test} in {file}"));
        };
        let marks: Vec<&&str> = lines[..at].iter().rev().take_while(|line| line.starts_with("#[")).collect();
        let ignored = marks.iter().any(|mark| mark.contains(&["ig", "nore"].concat()));
        (!marks.iter().any(|mark| **mark == "#[test]") || ignored).then(|| format!("{test} in {file} is never run"))
    })
}

#[test]
fn every_row_of_the_ledger_of_known_failures_names_a_test_that_runs() {
    let text = std::fs::read_to_string(root().join("docs/cve-ledger.md")).unwrap();
    let rows: Vec<&str> =
        text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Product")).collect();
    let mut seen = BTreeSet::new();
    for row in &rows {
        assert_eq!(wrong_row(row), None, "{row}");
        assert!(seen.insert(row.split('|').nth(1)), "twice: {row}");
    }
    assert!(rows.len() >= 30, "only {} rows", rows.len());
    for fake in [
        "| x | y | z | `tests/tests/gone.rs` `a` |",
        "| x | y | z | `tests/tests/house.rs` `no_such_test` |",
        "| x | y | z | `tests/tests/house.rs` `root` |",
        "| x | y | z | see the tests |",
        "| x | y | | `tests/tests/house.rs` `danger_has_one_small_room` |",
    ] {
        assert!(wrong_row(fake).is_some(), "{fake}");
    }
}
