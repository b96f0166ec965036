//! Takes a line of Exim's main log apart (Exim specification, chapter «Log files»).
//!
//! | line | what it says |
//! |---|---|
//! | `cwd=DIR N args: …` | a program is about to hand a message over from DIR (log_selector +arguments) |
//! | `ID <= SENDER U=USER P=local S=… …` | a process of USER handed a message over; the only line that attributes a script |
//! | `ID <= SENDER H=… [IP]:… P=esmtpsa … A=AUTH:LOGIN S=…` | LOGIN handed a message in with its password |
//! | `ID Sender identification U=USER D=… S=…` | cPanel: for whom a shared user handed it over |
//! | `ID =>`, `->`, `>>` / `**` / `==` | delivered / failed / put off |
//! | `ID Completed`, `removed by`, `frozen by`, `unfrozen by` | left the queue, held, released |
//!
//! `U=` of a message with `H=` is what the client's ident server claims (RFC 1413) and never attributes. Exim writes
//! U, P and A in this order before `S=`; what stands behind it (message id, subject) is the tenant's text and is not looked at,
//! except for the recipients at the end. A HELO name in which a field seems to begin has two readings.
//!
//! Exim writes the folder of `cwd=` as it is, newlines included (seen with 4.96): with +arguments in log_selector a
//! tenant who makes such a folder writes lines that look exactly alike. Nothing in the text tells them apart, so such
//! a log is [`super::Trust::Forgeable`]; sender, subject and arguments are escaped.

use super::line::{Id, Line, Parsed, Status, Why, address, closing_quote, contains, find, number, why};
use super::relay::Via;

/// Takes apart what follows Exim's stamp: `[PID] ID FLAG …` or `cwd=…`.
pub fn parse(line: &[u8]) -> Parsed<'_> {
    let (pid, text) = process(line);
    if let Some(text) = text.strip_prefix(b"cwd=") {
        return folder(text, pid);
    }
    let Some((id, text)) = Id::of_exim(text) else { return Parsed::Other };
    if let Some(text) = text.strip_prefix(b"<= ") {
        return arrival(id, text, pid);
    }
    let known = match text.get(..3) {
        Some(b"=> " | b"-> " | b">> ") => delivery(id, &text[3..], Status::Sent),
        Some(b"** ") => delivery(id, &text[3..], Status::Bounced),
        Some(b"== ") => delivery(id, &text[3..], Status::Deferred),
        _ if text == b"Completed" || text.starts_with(b"Completed ") => Some(Line::Removed(id)),
        _ if text.starts_with(b"removed by ") || text.starts_with(b"cancelled by ") => Some(Line::Removed(id)),
        _ if text.starts_with(b"frozen by ") => Some(Line::Held(id)),
        _ if text.starts_with(b"unfrozen by ") => Some(Line::Unheld(id)),
        _ => match text.strip_prefix(b"Sender identification ") {
            Some(text) => identified(id, text),
            None => return Parsed::Other,
        },
    };
    known.map_or(Parsed::Malformed, Parsed::Line)
}

/// Takes apart what stands behind `HOST exim[PID]: ` in syslog, where the main log goes with `log_file_path = syslog`;
/// Exim repeats its own stamp there (`syslog_timestamp`).
pub fn in_syslog(line: &[u8]) -> Option<Parsed<'_>> {
    let host = line.iter().position(|b| *b == b' ')?;
    let tag = line[host + 1..].strip_prefix(b"exim")?;
    let tag = tag.strip_prefix(b"4").unwrap_or(tag);
    let (_, text) = number(tag.strip_prefix(b"[")?)?;
    let text = text.strip_prefix(b"]: ")?;
    let stamped = text.len() > 20 && text[4] == b'-' && text[10] == b' ' && text[13] == b':' && text[19] == b' ';
    Some(parse(if stamped { &text[20..] } else { text }))
}

/// `[PID] ` (log_selector +pid).
fn process(line: &[u8]) -> (Option<u32>, &[u8]) {
    let pid = || {
        let (pid, rest) = number(line.strip_prefix(b"[")?)?;
        Some((pid, rest.strip_prefix(b"] ")?))
    };
    pid().map_or((None, line), |(pid, rest)| (Some(pid), rest))
}

/// `DIR N args: PROGRAM OPTION…`. Calls that hand nothing over (queue runs, tests, listings) are passed over.
fn folder(text: &[u8], pid: Option<u32>) -> Parsed<'_> {
    const MARK: &[u8] = b" args: ";
    // A folder or an argument that imitates the mark leaves it open where the folder ends.
    let Some(at) = find(text, MARK).filter(|at| !contains(&text[at + 1..], MARK)) else { return Parsed::Malformed };
    let digits = text[..at].iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let Some(path) = text[..at - digits].strip_suffix(b" ").filter(|_| digits > 0) else { return Parsed::Malformed };
    let arguments = text[at + MARK.len()..].split(|b| *b == b' ').skip(1);
    let other = |argument: &[u8]| match argument {
        [b'-', b'q' | b'M' | b'R' | b'S', ..] => true,
        [b'-', b'b', mode, ..] => !matches!(mode, b'm' | b's' | b'S'),
        _ => false,
    };
    if !path.starts_with(b"/") || arguments.into_iter().any(other) {
        return Parsed::Other;
    }
    Parsed::Line(Line::Folder { path, pid })
}

/// `SENDER FIELD… S=SIZE …[ for RECIPIENT…]`.
fn arrival(id: Id, text: &[u8], pid: Option<u32>) -> Parsed<'_> {
    let Some((sender, mut rest)) = sender(text) else { return Parsed::Malformed };
    let (mut user, mut protocol, mut login, mut client) = (None, None, None, None);
    loop {
        let end = rest.iter().position(|b| *b == b' ').unwrap_or(rest.len());
        let field = &rest[..end];
        if let Some(host) = field.strip_prefix(b"H=") {
            // `H=NAME (HELO) [IP]:PORT`: up to the address; a HELO may hold anything.
            let Some((found, after)) = host_address(&rest[2..]) else { return Parsed::Malformed };
            if client.is_some() || host.is_empty() {
                return Parsed::Malformed;
            }
            (client, rest) = (Some(found), after);
            continue;
        }
        if field.starts_with(b"S=") {
            break;
        }
        let slot = match field {
            [b'U', b'=', ..] if protocol.is_none() => Some(&mut user),
            [b'P', b'=', ..] => Some(&mut protocol),
            [b'A', b'=', ..] if protocol.is_some() => Some(&mut login),
            // Out of their order they stand in what an ident server or a HELO said.
            [b'U' | b'A', b'=', ..] | [b'[', ..] => return Parsed::Malformed,
            _ => None,
        };
        if slot.is_some_and(|slot| slot.replace(&field[2..]).is_some()) || end == rest.len() {
            return Parsed::Malformed; // twice, or cut before the size
        }
        rest = &rest[end + 1..];
    }
    let Some(protocol) = protocol else { return Parsed::Malformed };
    let recipients = recipients(rest);
    let line = match (client, login, user) {
        // The protocol says too that there was a login (RFC 3848).
        (Some(client), Some(login), _) if protocol.ends_with(b"a") => {
            // `A=AUTHENTICATOR:ID[:SENDER]`; without an id nobody is named.
            let Some(name) = login.split(|b| *b == b':').nth(1).filter(|name| !name.is_empty()) else {
                return Parsed::Line(Line::Arrived { id, before: None, sender: Some(sender) });
            };
            Line::Login { id, login: name, client, sender: Some(sender), recipients }
        }
        (None, None, Some(user)) if protocol.starts_with(b"local") => Line::Local { id, user, sender, recipients, pid },
        _ => Line::Arrived { id, before: None, sender: Some(sender) },
    };
    Parsed::Line(line)
}

/// The envelope sender and what follows it; a quoted local part may hold spaces and whole fields.
fn sender(text: &[u8]) -> Option<(&[u8], &[u8])> {
    if let Some(rest) = text.strip_prefix(b"<> ") {
        return Some((b"", rest));
    }
    let from = if text.starts_with(b"\"") { 2 + closing_quote(&text[1..])? } else { 0 };
    let end = from + text[from..].iter().position(|b| *b == b' ')?;
    Some((&text[..end], &text[end + 1..]))
}

/// The client's address in `NAME (HELO) [IP]:PORT `, and what follows it.
fn host_address(text: &[u8]) -> Option<(std::net::IpAddr, &[u8])> {
    let mut rest = text;
    loop {
        let end = rest.iter().position(|b| *b == b' ')?;
        let token = &rest[..end];
        if let Some(inside) = token.strip_prefix(b"[")
            && let Some(close) = inside.iter().position(|b| *b == b']')
            && let Some(found) = address(&inside[..close])
        {
            return Some((found, &rest[end + 1..]));
        }
        if [&b"U="[..], b"P=", b"A=", b"S="].iter().any(|field| token.starts_with(field)) {
            return None;
        }
        rest = &rest[end + 1..];
    }
}

/// The recipients at the end (`received_recipients`), empty when they are not logged. The subject before them is in
/// quotes, quotes inside it are escaped.
fn recipients(text: &[u8]) -> &[u8] {
    const FOR: &[u8] = b" for ";
    let after = match find(text, b" T=\"") {
        None => text,
        Some(at) => match closing_quote(&text[at + 4..]) {
            Some(close) => &text[at + 5 + close..],
            None => return b"",
        },
    };
    find(after, FOR).map_or(b"", |at| &after[at + FOR.len()..])
}

/// `ADDRESS[ <ORIGINAL>] FIELD…[: REASON]`. The address before rewriting and aliases counts if it is there: it is the
/// one that the arrival names.
fn delivery(id: Id, text: &[u8], status: Status) -> Option<Line<'_>> {
    let program = matches!(text.first()?, b'/' | b'|' | b':');
    let from = match text.first()? {
        b'"' => 1 + closing_quote(&text[1..])?,
        // A file or command of a forward: what it holds is free text, the original stands behind it.
        b'/' | b'|' | b':' => find(text, b" <")?,
        _ => 0,
    };
    let end = from + text[from..].iter().position(|b| *b == b' ').unwrap_or(text.len() - from);
    let (mut to, mut rest) = (text[..end].strip_suffix(b":").unwrap_or(&text[..end]), &text[end..]);
    if let Some(parent) = rest.strip_prefix(b" (") {
        rest = &parent[parent.iter().position(|b| *b == b')')? + 1..];
    }
    if let Some(original) = rest.strip_prefix(b" <") {
        let close = original.iter().position(|b| *b == b'>')?;
        (to, rest) = (&original[..close], &original[close + 1..]);
    } else if program {
        return None;
    }
    if to.is_empty() || !to.iter().all(|b| *b > b' ' || to[0] == b'"') {
        return None;
    }
    let why = if status == Status::Sent { Why::Other } else { why(reason(rest)) };
    Some(Line::Delivery { id, to, status, why, via: Via::Exim(rest) })
}

/// What follows the fields.
fn reason(text: &[u8]) -> &[u8] {
    find(text, b": ").map_or(text, |at| &text[at..])
}

/// `U=USER D=DOMAIN S=SENDER`.
fn identified(id: Id, text: &[u8]) -> Option<Line<'_>> {
    let (user, rest) = text.strip_prefix(b"U=")?.split_at_checked(text.iter().position(|b| *b == b' ')? - 2)?;
    let sender = &rest[find(rest, b" S=")? + 3..];
    // A domain that imitates the field leaves two readings; whose it is was read before it.
    (!user.is_empty() && !contains(sender, b" S=")).then_some(Line::Identified { id, user, sender })
}

#[cfg(test)]
mod tests;
