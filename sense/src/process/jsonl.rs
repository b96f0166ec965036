//! Reads recorded snapshots: one JSON object a line, as the case collection and `hikeshi inspect` use them.
//!
//! A recording is hostile text. A bad line is counted and named, never guessed. Bytes that are not UTF-8 survive:
//! on the way through the JSON parser each stands as a private sign of plane 16.

use std::io::BufRead;
use std::net::SocketAddr;

use model::evidence::printable;
use model::{Moment, Span};
use serde::Deserialize;

use super::table::{FDS_MAX, Process, Proto, SOCKETS_MAX, Socket, SocketState, State, Table};

/// Longest line read, bytes; a longer one is a bad line.
const LINE_MAX: usize = 1 << 20;
/// Most bad lines and unknown keys named; the rest is only counted.
const NAMED_MAX: usize = 20;

/// A recorded snapshot and how well it could be read.
#[derive(Debug, Default)]
pub struct Recorded {
    /// The processes.
    pub table: Table,
    /// Time of the snapshot, if a line says `observed_at`; else the latest start in it.
    pub now: Option<Moment>,
    /// Lines read, without empty ones.
    pub lines: u64,
    /// Lines that were not understood.
    pub dropped: u64,
    /// What was wrong, with line numbers; at most 20.
    pub warnings: Vec<String>,
}

impl Recorded {
    fn warn(&mut self, line: u64, why: &str) {
        if self.warnings.len() < NAMED_MAX {
            self.warnings.push(format!("line {line}: {}", printable(why.as_bytes(), 200)));
        }
    }
}

/// One line as it is written.
#[derive(Deserialize)]
struct Line {
    pid: u32,
    ppid: u32,
    uid: u32,
    #[serde(default)]
    comm: String,
    #[serde(default)]
    exe: String,
    #[serde(default)]
    cmdline: Vec<String>,
    #[serde(default)]
    cwd: String,
    start: Option<String>,
    #[serde(default)]
    start_ticks: Option<u64>,
    #[serde(default)]
    cpu_s: f64,
    #[serde(default)]
    deleted: bool,
    #[serde(default)]
    fds: Vec<String>,
    #[serde(default)]
    sockets: Vec<SocketLine>,
    #[serde(default)]
    state: Option<String>,
    #[serde(default)]
    tty: Option<serde_json::Value>,
    #[serde(flatten)]
    unknown: std::collections::BTreeMap<String, serde_json::Value>,
}

#[derive(Deserialize)]
struct SocketLine {
    proto: String,
    local: String,
    #[serde(default)]
    remote: String,
    #[serde(default)]
    state: String,
}

impl Table {
    /// Reads a recorded snapshot. A line that holds only `observed_at` sets the time.
    ///
    /// # Errors
    /// Only those of `reader`; what is wrong inside is counted in [`Recorded`].
    pub fn read_jsonl(mut reader: impl BufRead) -> std::io::Result<Recorded> {
        let mut recorded = Recorded::default();
        let mut processes = Vec::new();
        let mut latest = None;
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            if read_line(&mut reader, &mut bytes)? == 0 {
                break;
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            recorded.lines += 1;
            let text = carried(&bytes);
            match parse(&text, &mut recorded, number) {
                Ok(Some(process)) => {
                    latest = latest.max(Some(process.start));
                    processes.push(process);
                }
                Ok(None) => {}
                Err(why) => {
                    recorded.dropped += 1;
                    recorded.warn(number, &why);
                }
            }
        }
        recorded.now = recorded.now.or(latest);
        recorded.table = Table::new(processes);
        Ok(recorded)
    }
}

/// First of the signs that stand for the bytes 0x80 to 0xff.
const BYTE_SIGN: u32 = 0x10ff00;

/// The line as text; a byte that is not UTF-8 becomes its sign.
fn carried(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().filter_map(|b| char::from_u32(BYTE_SIGN + u32::from(*b))));
    }
    text
}

/// The bytes that a text of the line stood for.
fn raw(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for c in text.chars() {
        match u32::from(c) {
            sign if sign >= BYTE_SIGN + 0x80 => bytes.push((sign - BYTE_SIGN) as u8),
            _ => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// Reads one line of at most [`LINE_MAX`] bytes; of a longer one only its beginning, so that it does not parse.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let mut read = 0;
    loop {
        let chunk = reader.fill_buf()?;
        if chunk.is_empty() {
            return Ok(read);
        }
        let end = chunk.iter().position(|b| *b == b'\n');
        let taken = end.map_or(chunk.len(), |at| at + 1);
        if line.len() <= LINE_MAX {
            line.extend_from_slice(&chunk[..taken.min(LINE_MAX + 1)]);
        }
        reader.consume(taken);
        read += taken;
        if end.is_some() {
            return Ok(read);
        }
    }
}

fn parse(text: &str, recorded: &mut Recorded, number: u64) -> Result<Option<Process>, String> {
    let value: serde_json::Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if let Some(at) = value.get("observed_at").and_then(|v| v.as_str()) {
        recorded.now = Some(Moment::parse(at).ok_or("observed_at: RFC 3339 with an offset expected")?);
        if value.get("pid").is_none() {
            return Ok(None);
        }
    }
    let line: Line = serde_json::from_value(value).map_err(|e| e.to_string())?;
    for key in line.unknown.keys().filter(|key| *key != "observed_at") {
        recorded.warn(number, &format!("unknown key \"{key}\" ignored"));
    }
    let start = match &line.start {
        Some(text) => Moment::parse(text).ok_or("start: RFC 3339 with an offset expected")?,
        None => Moment::EPOCH,
    };
    let sockets: Vec<Socket> = line
        .sockets
        .iter()
        .take(SOCKETS_MAX)
        .map(socket)
        .collect::<Option<_>>()
        .ok_or("sockets: address:port expected")?;
    if !line.cpu_s.is_finite() || line.cpu_s < 0.0 {
        return Err("cpu_s: seconds, 0 or more expected".to_owned());
    }
    let (exe, gone) = match line.exe.strip_suffix(" (deleted)") {
        Some(exe) => (exe.to_owned(), true),
        None => (line.exe, line.deleted),
    };
    let state = line.state.as_deref().and_then(|s| s.bytes().next()).map_or(State::Alive, State::from_letter);
    Ok(Some(Process {
        pid: line.pid,
        ppid: line.ppid,
        uid: line.uid,
        memfd: exe.starts_with("/memfd:") || exe.starts_with("memfd:"),
        // A recording has no kernel flags: a thread of the kernel is root's, has no program and hangs below pid 2.
        kernel: line.uid == 0 && exe.is_empty() && line.cmdline.is_empty() && (line.ppid == 2 || line.pid == 2),
        comm: raw(&line.comm),
        exe: raw(&exe),
        deleted: gone,
        exe_dev: 0,
        exe_ino: 0,
        exe_uid: None,
        argv: line.cmdline.iter().map(|a| raw(a)).collect(),
        cwd: raw(&line.cwd),
        start,
        start_ticks: line.start_ticks.unwrap_or_else(|| start.0.max(0) as u64 / 10_000),
        cpu: Span((line.cpu_s * 1e6) as i64),
        state,
        fds: line.fds.iter().take(FDS_MAX).map(|f| raw(f)).collect(),
        sockets,
        tty: tty(line.tty.as_ref()),
    }))
}

/// A terminal by number or by name; `?` and an empty name are none.
fn tty(value: Option<&serde_json::Value>) -> u32 {
    match value {
        Some(serde_json::Value::Number(number)) => number.as_u64().unwrap_or(0) as u32,
        Some(serde_json::Value::String(name)) => u32::from(!matches!(name.as_str(), "" | "?" | "-")),
        _ => 0,
    }
}

fn socket(line: &SocketLine) -> Option<Socket> {
    let proto = if line.proto.starts_with("udp") { Proto::Udp } else { Proto::Tcp };
    let local = address(&line.local)?;
    let remote = if line.remote.is_empty() { "0.0.0.0:0".parse().ok()? } else { address(&line.remote)? };
    let state = match line.state.to_ascii_uppercase().as_str() {
        "ESTABLISHED" | "ESTAB" => SocketState::Established,
        "SYN_SENT" | "SYN-SENT" => SocketState::SynSent,
        "LISTEN" => SocketState::Listen,
        _ => SocketState::Other,
    };
    Some(Socket { proto, local, remote, state })
}

/// `address:port`, with `*` for any address or port, as `ss` writes it, and IPv6 with or without brackets.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let port: u16 = if port == "*" { 0 } else { port.parse().ok()? };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = if host == "*" || host.is_empty() { "0.0.0.0" } else { host };
    Some(SocketAddr::new(host.parse().ok()?, port))
}
