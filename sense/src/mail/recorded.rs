//! Reads a recorded log, in memory that does not grow with its length.

use std::collections::HashMap;
use std::io::{self, BufRead};

use model::order::Finding;
use model::{FactKey, FactValue, Kind, Moment, Strength};

use super::Watch;
use super::line::minute;
use super::reader::Key;
use crate::follow::LINE_MAX;
use crate::reading::Reading;

/// The strongest finding so far of each window and kind, with its messages.
type Best = HashMap<(Key, Kind), (Strength, i64, Finding)>;

impl Watch {
    /// Reads a recorded log whole, judging as it would have been judged minute by minute; the strongest finding of each
    /// kind with the most messages is returned. `now` is when the record was made or later.
    ///
    /// # Errors
    /// The log cannot be read.
    pub fn inspect(&mut self, mut log: impl BufRead, now: Moment) -> io::Result<Reading> {
        let mut best = Best::new();
        let mut judged = 0;
        let mut line = Vec::new();
        while let Some(whole) = next_line(&mut log, &mut line)? {
            if !whole {
                self.reader.drop_line();
                continue;
            }
            if let Some(at) = self.reader.line(&line, now)
                && minute(at) > judged
            {
                judged = minute(at);
                self.keep_best(&mut best);
            }
        }
        self.keep_best(&mut best);
        let mut found: Vec<_> = best.into_iter().map(|(key, (_, _, finding))| (key.0, key.1 as u8, finding)).collect();
        found.sort_by_key(|(key, kind, _)| (*key, *kind));
        let findings = found.into_iter().map(|(_, _, finding)| finding).collect();
        Ok(Reading { findings, ..self.reading() })
    }

    /// What was read so far, without findings.
    pub fn reading(&self) -> Reading {
        let (reader, follower) = self.counts();
        Reading { lines: reader.lines, dropped: reader.dropped + follower.dropped_long, ..Reading::default() }
    }

    fn keep_best(&mut self, best: &mut Best) {
        let now = self.reader.last();
        for key in self.reader.take_touched() {
            for finding in self.assess(key, now) {
                let messages = match finding.evidence.get(FactKey::Messages) {
                    Some(FactValue::Number(messages)) => *messages,
                    _ => 0,
                };
                let weight = (finding.signal.strength, messages);
                let slot = (key, finding.signal.kind);
                if best.get(&slot).is_none_or(|(strength, most, _)| (*strength, *most) <= weight) {
                    best.insert(slot, (weight.0, weight.1, finding));
                }
            }
        }
    }
}

/// The next line without its newline; false when it was longer than [`LINE_MAX`] and is not whole.
fn next_line(log: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let (mut any, mut whole) = (false, true);
    loop {
        let bytes = log.fill_buf()?;
        if bytes.is_empty() {
            return Ok(any.then_some(whole));
        }
        any = true;
        let end = bytes.iter().position(|b| *b == b'\n');
        let (part, used) = end.map_or((bytes, bytes.len()), |end| (&bytes[..end], end + 1));
        whole &= line.len() + part.len() <= LINE_MAX;
        if whole {
            line.extend_from_slice(part);
        }
        log.consume(used);
        if end.is_some() {
            return Ok(Some(whole));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_newlines_alone_and_endless_ones_are_passed_over() {
        let mut log = b"a\n\nb\0\r\n".to_vec();
        log.extend(std::iter::repeat_n(b'x', 3 * LINE_MAX));
        log.extend(b"\nlast");
        let mut reader = io::BufReader::with_capacity(7, log.as_slice());
        let (mut line, mut seen) = (Vec::new(), Vec::new());
        while let Some(whole) = next_line(&mut reader, &mut line).unwrap() {
            seen.push((whole, if whole { line.clone() } else { Vec::new() }));
            assert!(line.capacity() <= 2 * LINE_MAX);
        }
        let expected: [(bool, &[u8]); 5] = [(true, b"a"), (true, b""), (true, b"b\0\r"), (false, b""), (true, b"last")];
        assert_eq!(seen, expected.map(|(whole, text)| (whole, text.to_vec())));
    }
}
