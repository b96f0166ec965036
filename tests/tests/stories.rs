//! Every story in `stories/`, in memory. (`binary.rs` plays the same texts against the real binary.)

use tests::{memory, story};

/// All stories by name.
fn stories() -> Vec<story::Story> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/stories");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        story::parse(&name, &std::fs::read_to_string(path).unwrap()).unwrap_or_else(|e| panic!("{e}"))
    };
    files.iter().map(read).collect()
}

#[test]
fn every_story_ends_as_told() {
    let stories = stories();
    assert!(stories.len() >= 20, "only {} stories", stories.len());
    let mut wrong = Vec::new();
    for story in &stories {
        let (answers, _) = memory::play(story);
        for (beat, got) in story.beats.iter().zip(answers) {
            if beat.expected != got {
                wrong.push(format!(
                    "{}:{}: {}\n  expected\n    {}\n  got\n    {}",
                    story.name,
                    beat.line,
                    story.title,
                    beat.expected.join("\n    "),
                    got.join("\n    ")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_story_with_an_unlisted_effect_fails() {
    // The twin without the expected notice must be told apart, or the runner proves nothing.
    let text = "# t\ngiven account alice, sites blog\nSat 21 Mar 2026 11:46\n> signal alice mass-mail\n    incident H-1 opened: mass-mail\n    impose H-1/1 hold-mail alice\n";
    let story = story::parse("twin", text).unwrap();
    let (answers, _) = memory::play(&story);
    assert_ne!(story.beats[1].expected, answers[1]);
}
