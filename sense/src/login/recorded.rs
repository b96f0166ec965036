//! Reads a recorded log of logins, in memory that does not grow with its length.

use std::io::{self, BufRead};

use model::Moment;

use super::event::find;
use super::{Settings, Watch};
use crate::follow::LINE_MAX;
use crate::reading::Reading;

/// Reads a recorded log whole, without a database of countries; `now` is when the record was made or later.
///
/// # Errors
/// What the input says.
pub fn inspect(reader: impl BufRead, settings: Settings, now: Moment) -> io::Result<(Reading, Watch)> {
    let mut watch = Watch::new(settings);
    let reading = watch.inspect(reader, now)?;
    Ok((reading, watch))
}

impl Watch {
    /// Reads a recorded log whole; `now` is when the record was made or later.
    ///
    /// # Errors
    /// What the input says.
    pub fn inspect(&mut self, mut reader: impl BufRead, now: Moment) -> io::Result<Reading> {
        let mut line = Vec::new();
        loop {
            line.clear();
            // One byte more than a line may have tells that it is too long.
            let read = io::Read::take(&mut reader, LINE_MAX as u64 + 2).read_until(b'\n', &mut line)?;
            if read == 0 {
                break;
            }
            let whole = line.pop_if(|b| *b == b'\n').is_some();
            self.line(&line, now);
            if !whole && line.len() > LINE_MAX {
                skip_line(&mut reader)?;
            }
        }
        Ok(self.tell(now, true))
    }
}

/// Passes over the rest of a line that is too long.
fn skip_line(reader: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = reader.fill_buf()?;
        let (length, ends) = match find(buffer, b"\n") {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        reader.consume(length);
        if ends {
            return Ok(());
        }
    }
}
