//! Puts the gate's include line into virtual hosts and takes it out again, byte for byte.
//!
//! What is put in has a fixed form that holds our own path, so taking it out needs no memory of where it was:
//! `strip(insert(x)) == x` for every text that does not hold the line already.

use std::path::Path;

use sense::inventory::Server;

/// One insertion: at this byte of the old text, these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Offset in the old text.
    pub at: usize,
    /// Bytes taken out there.
    pub gone: usize,
    /// Bytes put in.
    pub new: Vec<u8>,
}

/// The line for one virtual host whose inside begins at `open`.
///
/// nginx: first in the block, because directives of the rewrite phase run in order, and the gate must come
/// before the operator's own `return` and `rewrite`. On a line of its own where the block begins one, else
/// (`server { listen …`) right behind the brace without a comment, which would swallow the rest of the line.
///
/// Apache: first in the section for the same reason: rules of a virtual host run in order and an `[L]` or
/// `[END]` above would pass the gate by. Tenants' `.htaccess` rules come in a later phase either way.
pub fn insertion(server: Server, text: &[u8], open: usize, include: &Path) -> Piece {
    let include = include.display();
    let line_end = text[open..].iter().position(|b| *b == b'\n').map_or(text.len(), |at| open + at + 1);
    let crlf = |from: usize| text[..from].ends_with(b"\r\n");
    match server {
        Server::Apache => {
            let end = if crlf(open) { "\r\n" } else { "\n" };
            Piece { at: open, gone: 0, new: format!("    Include {include}{end}").into_bytes() }
        }
        Server::Nginx => {
            let rest = text[open..line_end].trim_ascii();
            let own_line = text[..line_end].ends_with(b"\n") && (rest.is_empty() || rest.starts_with(b"#"));
            match own_line {
                true => {
                    let end = if crlf(line_end) { "\r\n" } else { "\n" };
                    Piece { at: line_end, gone: 0, new: format!("    include {include}; # hikeshi{end}").into_bytes() }
                }
                false => Piece { at: open, gone: 0, new: format!(" include {include};").into_bytes() },
            }
        }
    }
}

/// All places where our line stands.
pub fn removals(server: Server, text: &[u8], include: &Path) -> Vec<Piece> {
    let include = include.display();
    let (line, inside) = match server {
        Server::Apache => (format!("    Include {include}"), None),
        Server::Nginx => (format!("    include {include}; # hikeshi"), Some(format!(" include {include};"))),
    };
    let mut out = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        let line_start = at == 0 || text[at - 1] == b'\n';
        if line_start && rest.starts_with(line.as_bytes()) {
            let after = &rest[line.len()..];
            let end = if after.starts_with(b"\r\n") { 2 } else { usize::from(after.starts_with(b"\n")) };
            if end > 0 {
                out.push(Piece { at, gone: line.len() + end, new: Vec::new() });
                at += line.len() + end;
                continue;
            }
        }
        if let Some(inside) = &inside
            && at > 0
            && text[at - 1] == b'{'
            && rest.starts_with(inside.as_bytes())
        {
            out.push(Piece { at, gone: inside.len(), new: Vec::new() });
            at += inside.len();
            continue;
        }
        at += 1;
    }
    out
}

/// The text with the pieces carried out; they are sorted and do not overlap.
pub fn apply(text: &[u8], pieces: &[Piece]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64 * pieces.len());
    let mut at = 0;
    for piece in pieces {
        out.extend_from_slice(&text[at..piece.at]);
        out.extend_from_slice(&piece.new);
        at = piece.at + piece.gone;
    }
    out.extend_from_slice(&text[at..]);
    out
}

/// A unified diff with three lines of context, as `diff -u` writes it.
pub fn unified(path: &str, old: &[u8], pieces: &[Piece]) -> String {
    const CONTEXT: usize = 3;
    let mut starts: Vec<usize> = vec![0];
    starts.extend(old.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1));
    if starts.last() == Some(&old.len()) {
        starts.pop();
    }
    let end_of = |line: usize| starts.get(line + 1).copied().unwrap_or(old.len());
    let line_of = |at: usize| starts.partition_point(|s| *s <= at).saturating_sub(1);
    // Old lines [from, to) that a run of pieces touches, and the pieces.
    let mut runs: Vec<(usize, usize, Vec<&Piece>)> = Vec::new();
    for piece in pieces {
        let whole = piece.at == old.len() || starts.binary_search(&piece.at).is_ok();
        let from = if piece.at == old.len() { starts.len() } else { line_of(piece.at) };
        let to = match (whole, piece.gone) {
            (true, 0) => from,
            (_, gone) => line_of(piece.at + gone.max(1) - 1) + 1,
        };
        match runs.last_mut() {
            Some(run) if from < run.1 || (from == run.1 && from > run.0) => {
                run.1 = run.1.max(to);
                run.2.push(piece);
            }
            _ => runs.push((from, to, vec![piece])),
        }
    }
    let mut out = format!("--- {path}\n+++ {path}\n");
    let show = |out: &mut String, sign: char, line: &[u8]| {
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        out.push(sign);
        out.push_str(&model::evidence::printable(text.strip_suffix(b"\r").unwrap_or(text), 4000));
        out.push('\n');
    };
    let mut shift = 0isize;
    let mut at = 0;
    while at < runs.len() {
        let mut last = at;
        while runs.get(last + 1).is_some_and(|next| next.0 <= runs[last].1 + 2 * CONTEXT) {
            last += 1;
        }
        let begin = runs[at].0.saturating_sub(CONTEXT);
        let end = (runs[last].1 + CONTEXT).min(starts.len());
        let mut body = String::new();
        let (mut line, mut added, mut removed) = (begin, 0usize, 0usize);
        for (from, to, pieces) in &runs[at..=last] {
            (line..*from).for_each(|l| show(&mut body, ' ', &old[starts[l]..end_of(l)]));
            (*from..*to).for_each(|l| show(&mut body, '-', &old[starts[l]..end_of(l)]));
            let base = starts.get(*from).copied().unwrap_or(old.len());
            let until = if to > from { end_of(to - 1) } else { base };
            let moved: Vec<Piece> =
                pieces.iter().map(|p| Piece { at: p.at - base, gone: p.gone, new: p.new.clone() }).collect();
            let new = apply(&old[base..until], &moved);
            for text in new.split_inclusive(|b| *b == b'\n') {
                show(&mut body, '+', text);
                added += 1;
            }
            removed += to - from;
            line = *to;
        }
        (line..end).for_each(|l| show(&mut body, ' ', &old[starts[l]..end_of(l)]));
        let old_count = end - begin;
        let new_count = old_count + added - removed;
        let new_begin = (begin as isize + shift + 1).max(1);
        out.push_str(&format!("@@ -{},{old_count} +{new_begin},{new_count} @@\n{body}", begin + 1));
        shift += added as isize - removed as isize;
        at = last + 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    const PATH: &str = "/etc/hikeshi/nginx-gate.conf";

    /// Puts the line into every server block that the parser finds.
    fn inserted(text: &[u8]) -> (Vec<u8>, Vec<Piece>) {
        fn opens(directives: &[sense::inventory::nginx::Directive], out: &mut Vec<usize>) {
            for d in directives {
                let Some(block) = &d.block else { continue };
                if d.name() == b"server" {
                    out.push(block.open);
                }
                opens(&block.inner, out);
            }
        }
        let mut at = Vec::new();
        opens(&sense::inventory::nginx::parse(text).0, &mut at);
        let pieces: Vec<Piece> =
            at.into_iter().map(|open| insertion(Server::Nginx, text, open, Path::new(PATH))).collect();
        (apply(text, &pieces), pieces)
    }

    #[test]
    fn what_is_put_in_comes_out_byte_for_byte_and_still_parses() {
        for text in [
            "server {\n listen 80;\n}\n",
            "server{listen 80;}",
            "server { listen 80; }\nserver { # two\r\n  listen 81;\r\n}",
            "server\n{\n\n}\n server {}\n",
            "server {\t # c\n}server { \n}",
            "http {\n server { listen 1; } server {\r\n}\n}",
        ] {
            let (new, _) = inserted(text.as_bytes());
            let shown = String::from_utf8_lossy(&new).into_owned();
            let (directives, error) = sense::inventory::nginx::parse(&new);
            assert_eq!(error, None, "{shown}");
            let count = format!("{directives:?}").matches("[105, 110, 99, 108, 117, 100, 101]").count();
            assert_eq!(count, text.matches("server").count(), "{shown}");
            let back = apply(&new, &removals(Server::Nginx, &new, Path::new(PATH)));
            assert_eq!(String::from_utf8_lossy(&back), text);
        }
    }

    #[test]
    fn apache_lines_come_out_byte_for_byte() {
        for text in ["<VirtualHost *:80>\nx\n</VirtualHost>", "<VirtualHost *>\r\n</VirtualHost>\r\n"] {
            let (nodes, _) = sense::inventory::apache::parse(text.as_bytes());
            let open = nodes[0].section.as_ref().unwrap().open;
            let piece = insertion(Server::Apache, text.as_bytes(), open, Path::new("/etc/hikeshi/a.conf"));
            let new = apply(text.as_bytes(), &[piece]);
            assert!(String::from_utf8_lossy(&new).contains("\n    Include /etc/hikeshi/a.conf"), "{new:?}");
            let back = apply(&new, &removals(Server::Apache, &new, Path::new("/etc/hikeshi/a.conf")));
            assert_eq!(String::from_utf8_lossy(&back), text);
        }
    }

    #[test]
    fn a_line_that_only_looks_like_ours_stays() {
        for text in [
            "    include /etc/hikeshi/nginx-gate.conf;\n",
            "x include /etc/hikeshi/nginx-gate.conf;",
            "# server { include /etc/hikeshi/nginx-gate.conf2;",
            "    include /etc/hikeshi/nginx-gate.conf; # hikeshi and more\n",
        ] {
            assert_eq!(removals(Server::Nginx, text.as_bytes(), Path::new(PATH)), [], "{text}");
        }
    }

    #[test]
    fn the_diff_shows_what_changes_with_its_surroundings() {
        let text = b"a;\nb;\nc;\nd;\nserver {\n listen 80;\n}\ne;\nf;\ng;\nh;\ni;\nj;\nk;\nserver { listen 81; }\n";
        let (_, pieces) = inserted(text);
        expect![[r#"
            --- x
            +++ x
            @@ -3,6 +3,7 @@
             c;
             d;
             server {
            +    include /etc/hikeshi/nginx-gate.conf; # hikeshi
              listen 80;
             }
             e;
            @@ -12,4 +13,4 @@
             i;
             j;
             k;
            -server { listen 81; }
            +server { include /etc/hikeshi/nginx-gate.conf; listen 81; }
        "#]]
        .assert_eq(&unified("x", text, &pieces));
    }
}
