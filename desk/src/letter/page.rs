//! The sheet on which a letter is written: labels, paragraphs, fences, all in one language and one width.
//!
//! What was chosen by a stranger stands in a fence or indented below its label. Lines that go on are indented, so no
//! value can look like the end of a fence or like a heading of ours.

use model::Language;

use super::wrap::{self, wrap};
use crate::words::pick;

/// Above and below the evidence.
const FENCE: &str = "----------------------------------------";

/// Lines so far.
pub struct Page {
    language: Language,
    lines: Vec<String>,
}

impl Page {
    /// An empty sheet.
    pub fn new(language: Language) -> Page {
        Page { language, lines: Vec::new() }
    }

    /// The language of this sheet.
    pub fn language(&self) -> Language {
        self.language
    }

    fn width(&self) -> usize {
        pick(self.language, wrap::JA, wrap::EN)
    }

    /// The sentence of our language, as a paragraph of its own.
    pub fn say(&mut self, ja: &str, en: &str) {
        self.paragraph(pick(self.language, ja, en));
    }

    /// A paragraph.
    pub fn paragraph(&mut self, text: &str) {
        self.lines.extend(wrap(text, self.width(), "", ""));
    }

    /// A heading such as `■止めているもの: サイト1件`.
    pub fn heading(&mut self, mark: char, text: &str) {
        if mark == '▼' {
            self.blank();
        }
        let head = pick(self.language, format!("{mark}{text}"), format!("{mark} {text}"));
        self.lines.extend(wrap(&head, self.width(), "", "  "));
    }

    /// A paragraph that begins with `■`.
    pub fn heading_text(&mut self, text: &str) {
        self.paragraph(&pick(self.language, format!("■{text}"), format!("■ {text}")));
    }

    /// A numbered task with what it speaks of (a path) on lines of its own.
    pub fn task(&mut self, number: usize, text: &str, value: Option<&str>) {
        self.lines.extend(wrap(&format!("{number}. {text}"), self.width(), "", "   "));
        if let Some(value) = value {
            self.lines.extend(wrap(value, self.width(), "   ", "   "));
        }
    }

    /// An empty line, never two, never the first.
    pub fn blank(&mut self) {
        if self.lines.last().is_some_and(|line| !line.is_empty()) {
            self.lines.push(String::new());
        }
    }

    /// Facts between two rows of hyphens; a fact may begin with spaces to stand below the one before it.
    pub fn fence(&mut self, facts: &[String]) {
        if facts.is_empty() {
            return;
        }
        self.lines.push(FENCE.to_owned());
        for fact in facts {
            let indent = &fact[..fact.len() - fact.trim_start_matches(' ').len()];
            self.lines.extend(wrap(fact, self.width(), indent, &format!("{indent}  ")));
        }
        self.lines.push(FENCE.to_owned());
    }

    /// The sheet as text, each line ended by LF.
    pub fn finish(self) -> String {
        let mut text = self.lines.join("\n");
        text.push('\n');
        text
    }
}
