//! Every story against the real binary, and again with a SIGKILL between every two lines.

use tests::rig::{Kills, play, program};
use tests::story;

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
