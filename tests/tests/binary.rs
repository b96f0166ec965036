//! Every story against the real binary, and again with a SIGKILL between every two lines.

use std::path::PathBuf;

use tests::rig::{Kills, play};
use tests::story;

/// The binary that was built beside this test.
fn program() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let folder = own.parent().unwrap().parent().unwrap();
    let program = folder.join("hikeshi");
    assert!(
        program.exists(),
        "{} is not built; run ./test.sh, or `cargo build --workspace --all-targets` first",
        program.display()
    );
    program
}

fn check(kills: Kills) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/stories");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let story = story::parse(&name, &std::fs::read_to_string(&path).unwrap()).unwrap();
        let answers = play(&story, &program(), kills);
        for (beat, got) in story.beats.iter().zip(answers) {
            assert_eq!(beat.expected, got, "{}:{}: {}", story.name, beat.line, story.title);
        }
    }
}

#[test]
fn the_binary_plays_every_story() {
    check(Kills::None);
}

#[test]
fn the_binary_plays_every_story_though_it_is_killed_between_every_two_lines() {
    check(Kills::All);
}
