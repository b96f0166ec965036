//! The demo's mail server: takes messages from the tenants' programs, writes the log that Postfix would write,
//! and holds what the hold table tells it to hold.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::clock::Clock;

/// What passed and what was held.
#[derive(Default)]
pub struct Counts {
    /// Messages delivered.
    pub sent: AtomicU64,
    /// Messages in the hold queue.
    pub held: AtomicU64,
}

/// Starts it on a free port of loopback; returns the port and the counts.
///
/// A line `uid from to script` is one message. Only the demo's own programs know the port.
pub fn serve(log: &Path, hold: PathBuf, clock: Clock) -> std::io::Result<(u16, Arc<Counts>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let counts = Arc::new(Counts::default());
    let log = Arc::new(Mutex::new(OpenOptions::new().create(true).append(true).open(log)?));
    let shared = counts.clone();
    std::thread::Builder::new().name("mta".into()).spawn(move || {
        for connection in listener.incoming().flatten() {
            let (log, hold, clock, counts) = (log.clone(), hold.clone(), clock.clone(), shared.clone());
            std::thread::spawn(move || take(connection, &log, &hold, &clock, &counts));
        }
    })?;
    Ok((port, counts))
}

fn take(connection: TcpStream, log: &Mutex<File>, hold: &Path, clock: &Clock, counts: &Counts) {
    for line in BufReader::new(connection).lines().map_while(Result::ok) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [uid, from, to, script] = words[..] else { continue };
        let serial = counts.sent.load(Ordering::Relaxed) + counts.held.load(Ordering::Relaxed);
        let stamp = clock.now();
        // A long queue id: time in base 52 (10 signs), then z, then the inode (postconf(5), enable_long_queue_ids).
        let id = format!("4jZ{:07}z{:04}", serial % 10_000_000, serial % 10_000);
        let held = is_held(hold, uid);
        let tail = if held {
            format!(
                "cleanup[77]: {id}: hold: header Received: by demo (Postfix, from userid {uid}) from local; from=<{from}> to=<{to}>"
            )
        } else {
            format!(
                "smtp[79]: {id}: to=<{to}>, relay=mx[192.0.2.25]:25, delay=0.1, delays=0/0/0/0.1, dsn=2.0.0, status=sent (250 ok)"
            )
        };
        let queue = format!("qmgr[78]: {id}: from=<{from}>, size=900, nrcpt=1 (queue active)");
        let mut lines = vec![
            format!("pickup[76]: {id}: uid={uid} from=<{from}>"),
            format!(
                "cleanup[77]: {id}: info: header X-PHP-Originating-Script: {uid}:{script} from local; from=<{from}>"
            ),
            format!("cleanup[77]: {id}: message-id=<{id}@demo>"),
        ];
        if held {
            lines.push(tail);
        } else {
            lines.extend([queue, tail, format!("qmgr[78]: {id}: removed")]);
        }
        let text: String = lines.iter().map(|l| format!("{stamp} demo postfix/{l}\n")).collect();
        let mut log = log.lock().expect("no panic holds this lock");
        if log.write_all(text.as_bytes()).is_err() {
            return;
        }
        let count = if held { &counts.held } else { &counts.sent };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// The hold table of `act`: one anchored line a uid.
fn is_held(hold: &Path, uid: &str) -> bool {
    let wanted = format!("from userid {uid}\\)");
    std::fs::read_to_string(hold).is_ok_and(|table| table.lines().any(|l| l.contains(&wanted)))
}
