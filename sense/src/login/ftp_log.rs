//! What FTP servers write: vsftpd's own log, xferlog(5), ProFTPD, Pure-FTPd.

use super::event::{Event, Read, Service, What, address, between, find, find_last, number};

fn event<'a>(user: &'a [u8], source: std::net::IpAddr, what: What<'a>) -> Read<'a> {
    Read::Event(Event { service: Service::Ftp, user, source: Some(source), pid: 0, what })
}

const IN: What<'static> = What::Accepted { method: b"password", key: b"", second: false, country: b"" };

/// Behind the time of day and date: vsftpd's `[pid 811] [user] OK LOGIN: Client "…"`, or a line of xferlog.
pub(super) fn own_log(rest: &[u8]) -> Read<'_> {
    let Some(rest) = rest.strip_prefix(b"[pid ") else { return transfer(rest) };
    let Some(end) = find(rest, b"] ") else { return Read::Unclear };
    if number(&rest[..end]).is_none() {
        return Read::Unclear;
    }
    let rest = &rest[end + 2..];
    let (user, rest) = match rest.strip_prefix(b"[") {
        Some(rest) => match find(rest, b"] ") {
            Some(end) => (&rest[..end], &rest[end + 2..]),
            None => return Read::Unclear,
        },
        None => (&b""[..], rest),
    };
    // vsftpd writes `logstr.c`: what happened, a colon, the client in quotes, then a comma and what it was about.
    let Some(client) = find(rest, b": Client \"") else { return Read::Unclear };
    let (what, rest) = (&rest[..client], &rest[client + 10..]);
    let Some(end) = find(rest, b"\"") else { return Read::Unclear };
    let Some(source) = address(&rest[..end]) else { return Read::Unclear };
    // What happened is in capitals and small letters; anything else is a part of a name.
    // A second client on the line stands in what somebody typed as his name.
    if !what.iter().all(|b| b.is_ascii_alphabetic() || *b == b' ') || find(rest, b": Client \"").is_some() {
        return Read::Unclear;
    }
    let about = rest[end + 1..].strip_prefix(b", ").unwrap_or(&rest[end + 1..]);
    let named = !user.is_empty();
    match what {
        b"OK LOGIN" if named && about.is_empty() => event(user, source, IN),
        b"OK LOGIN" if named && about.starts_with(b"anon password") => Read::Nothing,
        b"FAIL LOGIN" if about.is_empty() => event(user, source, What::Failed(1)),
        // The end tells that nothing was cut off.
        b"OK DOWNLOAD" | b"OK UPLOAD" if named && !about.ends_with(b"byte/sec") => Read::Unclear,
        b"OK DOWNLOAD" | b"OK UPLOAD" if named => {
            let size = find_last(about, b" bytes").and_then(|at| {
                let before = &about[..at];
                let start = before.iter().rposition(|b| *b == b' ')? + 1;
                number(&before[start..])
            });
            let path = find_last(about, b"\"").and_then(|end| about.get(1..end)).unwrap_or_default();
            match (what, size) {
                (b"OK DOWNLOAD", Some(size)) => event(user, source, What::Got(path, size)),
                (_, Some(size)) => event(user, source, What::Put(path, size)),
                // An empty file has no count.
                (_, None) => event(user, source, What::Other),
            }
        }
        b"OK LIST" | b"OK NLST" | b"OK MLSD" if named => event(user, source, What::Listed),
        b"FTP command" if named && [&b"\"LIST"[..], b"\"NLST", b"\"MLSD"].iter().any(|c| about.starts_with(c)) => {
            event(user, source, What::Listed)
        }
        b"CONNECT" | b"FTP command" | b"FTP response" | b"DEBUG" => Read::Nothing,
        b"OK LOGIN" | b"FAIL LOGIN" => Read::Unclear,
        _ if named && (what.starts_with(b"OK ") || what.starts_with(b"FAIL ")) => event(user, source, What::Other),
        _ => Read::Unclear,
    }
}

/// xferlog(5) behind its date: `0 HOST SIZE PATH a _ o r USER ftp 0 * c`. Eight and three words frame the path, so
/// spaces in it do no harm.
fn transfer(rest: &[u8]) -> Read<'_> {
    let words: Vec<&[u8]> = rest.split(|b| *b == b' ').filter(|word| !word.is_empty()).take(4096).collect();
    let count = words.len();
    if count < 13 {
        return Read::Unclear;
    }
    let (head, tail) = (&words[..3], &words[count - 9..]);
    let [kind, _special, direction, mode, user, _service, _method, _auth, status] = tail else {
        return Read::Unclear;
    };
    let fits = number(head[0]).is_some()
        && matches!(*kind, b"a" | b"b")
        && matches!(*mode, b"a" | b"g" | b"r")
        && matches!(*status, b"c" | b"i");
    let (Some(source), Some(size), true) = (address(head[1]), number(head[2]), fits) else { return Read::Unclear };
    let start = words[3].as_ptr() as usize - rest.as_ptr() as usize;
    let last = words[count - 10];
    let end = last.as_ptr() as usize - rest.as_ptr() as usize + last.len();
    let path = &rest[start..end];
    match (*mode, *direction, *status) {
        (b"a" | b"g", ..) => Read::Nothing,
        (_, b"o", b"c") => event(user, source, What::Got(path, size)),
        (_, b"i", b"c") => event(user, source, What::Put(path, size)),
        (_, b"o" | b"i" | b"d", _) => event(user, source, What::Other),
        _ => Read::Unclear,
    }
}

/// `host (client[203.0.113.9]) - USER kaede: Login successful.` (ProFTPD `mod_auth.c`).
pub(super) fn proftpd(text: &[u8]) -> Read<'_> {
    let Some(at) = find(text, b"USER ") else { return Read::Nothing };
    let (head, rest) = (&text[..at], &text[at + 5..]);
    let Some(source) = between(head, b"[", b"]").and_then(address) else { return Read::Unclear };
    // The name comes first; whoever chose one with such a text in it made the line unreadable.
    let marks: [(&[u8], What<'_>); 3] =
        [(b": Login successful", IN), (b" (Login failed)", What::Failed(1)), (b": no such user", What::Unknown)];
    let mut fits = marks.into_iter().filter_map(|(mark, what)| Some((find(rest, mark)?, what)));
    match (fits.next(), fits.next()) {
        (Some((end, what)), None) => event(&rest[..end], source, what),
        (Some(_), Some(_)) => Read::Unclear,
        (None, _) => Read::Nothing,
    }
}

/// `(kaede@203.0.113.9) [NOTICE] /home/kaede/x.php uploaded  (1804 bytes, 10KB/sec)` (Pure-FTPd `ftpd.c`).
pub(super) fn pure(text: &[u8]) -> Read<'_> {
    let Some(end) = find(text, b") [") else { return Read::Nothing };
    let Some(who) = text[..end].strip_prefix(b"(") else { return Read::Unclear };
    let Some(at) = who.iter().rposition(|b| *b == b'@') else { return Read::Unclear };
    let (user, source) = (&who[..at], address(&who[at + 1..]));
    let Some(source) = source else { return Read::Nothing };
    let Some(level) = find(&text[end..], b"] ") else { return Read::Unclear };
    let says = &text[end + level + 2..];
    if let Some(name) = says.strip_suffix(b" is now logged in") {
        return event(name, source, IN);
    }
    if let Some(rest) = says.strip_prefix(b"Authentication failed for user [") {
        return match rest.strip_suffix(b"]") {
            Some(name) => event(name, source, What::Failed(1)),
            None => Read::Unclear,
        };
    }
    if [&b"Command [list]"[..], b"Command [nlst]", b"Command [mlsd]"].iter().any(|c| says.starts_with(c)) {
        return event(user, source, What::Listed);
    }
    for (word, got) in
        [(&b" downloaded  ("[..], true), (b" uploaded  (", false), (b" downloaded (", true), (b" uploaded (", false)]
    {
        if let Some(at) = find_last(says, word) {
            let path = &says[..at];
            let count = &says[at + word.len()..];
            let Some(size) = find(count, b" bytes").and_then(|end| number(&count[..end])) else { return Read::Unclear };
            return event(user, source, if got { What::Got(path, size) } else { What::Put(path, size) });
        }
    }
    Read::Nothing
}
