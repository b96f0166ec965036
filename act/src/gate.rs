//! The gate: flag files that close sites, the page they answer with, passes, and the servers' include texts.
//!
//! One root-owned file per vhost, named by a constant of the vhost and tested by `-f`, so closing takes one stat
//! and no reload and survives our death. The flag is the page: each site shows its own incident's number.
//!
//! ```text
//! GATE/nginx/SERVER_NAME                         403 page      GATE/nginx-503/SERVER_NAME
//! GATE/apache DOCUMENT_ROOT/.hikeshi-closed      403 page      GATE/apache DOCUMENT_ROOT/.hikeshi-closed-503
//! GATE/script/nginx/SERVER_NAME/PATH/.hikeshi-403       page of one blocked path
//! GATE/script/apache DOCUMENT_ROOT/PATH/.hikeshi-403
//! GATE/pass/nginx/SERVER_NAME/.hikeshi-tok-HEX   pass          .../.hikeshi-ip-ADDRESS
//! GATE/pass/apache DOCUMENT_ROOT/.hikeshi-tok-HEX
//! ```

mod include;
mod page;

use std::io;
use std::net::IpAddr;

use model::packet::PassKey;
use model::{FilePath, GateKey};
use sys::dir::Dir;

pub use include::{apache_include, nginx_include};
pub(crate) use page::page;

/// Begins every file name of ours below a document root; such a folder name is refused in a root.
const OURS: &str = ".hikeshi-";
/// Longest server name and root component, bytes (a file name has 255).
const NAME_MAX: usize = 254;
/// The flag of a path is a file of this name in a folder named like the path.
const SCRIPT: &str = ".hikeshi-403";
/// Names with a dot that nginx's include tells apart in an address.
const DOTTED_MAX: usize = 3;
/// Longest flag of a path, bytes: GATE is put before it, and the kernel takes 4,095.
const FLAG_MAX: usize = 3500;

/// Which answer closed sites give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// 403.
    Forbidden,
    /// 503 with `Retry-After`.
    Unavailable,
}

/// Where a vhost's flag file of this answer lies below GATE, or why it cannot have one.
pub(crate) fn flag(key: &GateKey, answer: Answer) -> Result<String, String> {
    Ok(match (checked(key)?, answer, key) {
        (name, Answer::Forbidden, GateKey::Nginx(_)) => format!("nginx/{name}"),
        (name, Answer::Unavailable, GateKey::Nginx(_)) => format!("nginx-503/{name}"),
        (root, Answer::Forbidden, GateKey::Apache(_)) => format!("apache{root}/{OURS}closed"),
        (root, Answer::Unavailable, GateKey::Apache(_)) => format!("apache{root}/{OURS}closed-503"),
    })
}

/// Where the flag file of one path of a vhost lies below GATE, or why the path cannot be blocked.
///
/// Apache names the flag by the file, so a path of an outer site and of a site within it have one flag if they are
/// one file.
pub(crate) fn script(key: &GateKey, path: &FilePath) -> Result<String, String> {
    let refuse =
        |what: &str| Err(format!("{path} {what}; use close-site, or quarantine-file if it is the file that harms"));
    let name = checked(key)?;
    let Ok(text) = std::str::from_utf8(path.bytes()) else { return refuse("is not UTF-8") };
    if text.bytes().any(|b| b < 0x20 || b == 0x7f) {
        return refuse("has control signs");
    }
    let parts = || text.split('/');
    if parts().any(|part| part.starts_with(OURS) || part.starts_with(".hk-")) || parts().next() == Some("__hk") {
        return refuse("is named like our own files");
    }
    let server = match key {
        GateKey::Apache(_) => "apache",
        GateKey::Nginx(_) if parts().next_back().is_none_or(|last| !last.contains('.')) => {
            return refuse("has no dot in its name, so that nginx does not see what is appended to it");
        }
        GateKey::Nginx(_) if parts().filter(|part| part.contains('.')).count() > DOTTED_MAX => {
            return refuse("lies below more than 2 folders with a dot in their name, which nginx does not see through");
        }
        GateKey::Nginx(_) => "nginx/",
    };
    match format!("script/{server}{name}/{text}/{SCRIPT}") {
        flag if flag.len() > FLAG_MAX => refuse("is too long"),
        flag => Ok(flag),
    }
}

/// Where a vhost's pass file with this leaf lies below GATE.
pub(crate) fn pass(key: &GateKey, leaf: &str) -> Result<String, String> {
    Ok(match (checked(key)?, key) {
        (name, GateKey::Nginx(_)) => format!("pass/nginx/{name}/{leaf}"),
        (root, GateKey::Apache(_)) => format!("pass/apache{root}/{leaf}"),
    })
}

/// File names of a pass. An IPv4 address has two forms, because a dual-stack listener shows the mapped one.
pub(crate) fn leaves(pass: &PassKey) -> Vec<String> {
    match pass {
        PassKey::Token(token) => {
            let hex: String = token.iter().map(|b| format!("{b:02x}")).collect();
            vec![format!("{OURS}tok-{hex}")]
        }
        PassKey::Address(IpAddr::V4(v4)) => vec![format!("{OURS}ip-{v4}"), format!("{OURS}ip-::ffff:{v4}")],
        PassKey::Address(IpAddr::V6(v6)) => vec![format!("{OURS}ip-{v6}")],
    }
}

/// Makes a flag what it should be: this page, or no flag at all.
pub(crate) fn set(gate: &Dir, flag: &str, page: Option<&str>) -> Result<(), String> {
    let done = page.map_or_else(|| take(gate, flag), |text| put(gate, flag, text.as_bytes()));
    done.map_err(|e| format!("flag file {flag}: {e}; check the gate folder's owner and free space"))
}

/// Whether a flag is there with exactly this page.
pub(crate) fn holds(gate: &Dir, flag: &str, page: &str) -> bool {
    matches!(gate.read(flag, 64 * 1024), Ok(Some(bytes)) if bytes == page.as_bytes())
}

/// All flag files below GATE, passes left out; at most 100,000.
pub(crate) fn flags(gate: &Dir) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![String::new()]);
    while let Some(folder) = folders.pop() {
        let names = match folder.as_str() {
            "" => gate.list(),
            name => gate.open_dir(name).and_then(|dir| dir.list()),
        };
        for name in names.unwrap_or_default() {
            let path = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            match gate.has_file(&path) {
                Ok(true) if found.len() < 100_000 => found.push(path),
                Ok(false) if path != "pass" => folders.push(path),
                _ => {}
            }
        }
    }
    found
}

/// Writes a file and the folders above it, readable by the web server's worker and listable by nobody.
pub(crate) fn put(gate: &Dir, path: &str, bytes: &[u8]) -> io::Result<()> {
    if let Some((folder, _)) = path.rsplit_once('/') {
        gate.make_dirs(folder, 0o711)?;
    }
    gate.replace(path, bytes, 0o644)
}

/// Removes a file and the folders above it that are empty now (the first one below GATE stays).
pub(crate) fn take(gate: &Dir, path: &str) -> io::Result<()> {
    match gate.unlink(path) {
        Err(e) if e.kind() == io::ErrorKind::NotADirectory => return Ok(()), // then the flag cannot be there
        other => other?,
    };
    let mut at = path;
    while let Some((folder, _)) = at.rsplit_once('/').filter(|(folder, _)| folder.contains('/')) {
        if !gate.remove_dir(folder).unwrap_or(false) {
            break;
        }
        at = folder;
    }
    Ok(())
}

/// The part of a file name that a server makes of this key by itself.
fn checked(key: &GateKey) -> Result<String, String> {
    let control = |text: &str| text.bytes().any(|b| b < 0x20 || b == 0x7f);
    let (name, wrong, next) = match key {
        GateKey::Nginx(name) => {
            // nginx itself lowers the case and drops the dot of `.example.jp` (not so a regex).
            let plain = match name.starts_with('~') {
                true => name.clone(),
                false => name.strip_prefix('.').unwrap_or(name).to_ascii_lowercase(),
            };
            let wrong = match plain.as_str() {
                "" | "." => Some("is no file name"),
                text if text.contains('/') || text.contains("..") || control(text) => Some("is no file name"),
                text => (text.len() > NAME_MAX).then_some("is longer than 254 bytes"),
            };
            (plain, wrong, "give the server block a plain first server_name")
        }
        GateKey::Apache(root) => {
            let parts: Vec<&str> = root.strip_prefix('/').unwrap_or_default().split('/').collect();
            let long = root.len() > 3000 || parts.iter().any(|part| part.len() > NAME_MAX);
            let wrong = match control(root) || parts.iter().any(|part| matches!(*part, "" | "." | "..")) {
                true => Some("is not a normal absolute path"),
                false if long => Some("is too long (254 bytes a folder)"),
                // Otherwise a tenant could name a folder so that one site's flag is another one's folder.
                false => {
                    parts.iter().any(|part| part.starts_with(OURS)).then_some("has a folder named like our own files")
                }
            };
            (
                root.clone(),
                wrong,
                "write DocumentRoot as an absolute path, shorter, and without `.`, `..`, `//` or `.hikeshi-`",
            )
        }
    };
    wrong.map_or(Ok(name), |wrong| Err(format!("{key:?} {wrong}; {next}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nginx(name: &str) -> GateKey {
        GateKey::Nginx(name.into())
    }
    fn apache(root: &str) -> GateKey {
        GateKey::Apache(root.into())
    }

    #[test]
    fn keys_that_climb_hide_or_overflow_have_no_flag_and_say_what_to_do() {
        let long = "a".repeat(255);
        let roots =
            ["", "relative", "/", "/a/../b", "/a//b", "/a/", "/a/./b", "/a\nb", "/a\0b", "/a/.hikeshi-closed/b"];
        let mut bad: Vec<GateKey> = roots.iter().map(|root| apache(root)).collect();
        bad.extend(["", ".", "..", "a/b", "../x", "a\nb", "a\0", "a..b", &long].map(nginx));
        bad.push(apache(&format!("/{long}")));
        for key in bad {
            let error = flag(&key, Answer::Forbidden).unwrap_err();
            assert!(error.contains("; "), "{error}");
        }
        for key in [nginx("*.example.jp"), nginx("_"), nginx("~^www\\d+\\.jp$"), apache("/home/a b/www")] {
            flag(&key, Answer::Forbidden).unwrap();
        }
        assert_eq!(flag(&nginx(".Example.JP"), Answer::Forbidden).unwrap(), "nginx/example.jp");
    }

    #[test]
    fn nested_roots_open_and_close_apart_and_leave_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        let gate = Dir::open_own(folder.path()).unwrap();
        let of = |root: &str| flag(&apache(root), Answer::Forbidden).unwrap();
        let (outer, inner) = (of("/home/a/www"), of("/home/a/www/shop"));
        for flag in [&outer, &inner] {
            set(&gate, flag, Some("page")).unwrap();
            assert!(holds(&gate, flag, "page") && !holds(&gate, flag, "other"));
        }
        set(&gate, &inner, None).unwrap();
        assert!(holds(&gate, &outer, "page") && !holds(&gate, &inner, "page"));
        set(&gate, &outer, None).unwrap();
        set(&gate, &outer, None).unwrap();
        assert_eq!(std::fs::read_dir(folder.path().join("apache")).unwrap().count(), 0);
    }

    #[test]
    fn paths_that_cannot_be_blocked_reliably_are_refused_with_the_next_step() {
        let long = vec!["a".repeat(255); 14].join("/");
        let (www, any) = (nginx("a.jp"), apache("/home/a/www"));
        let bad = ["a%0Ab.php", "%1B.php", "%FF.php", ".hikeshi-403/x.php", "a/.hikeshi-x/b.php", "__hk/x.php"];
        let bad = bad.iter().flat_map(|path| [(&www, *path), (&any, *path)]);
        let deep = [(&www, "run"), (&www, "a.b/bin/run"), (&www, "1.a/2.b/3.c/x.php"), (&any, &long)];
        for (key, path) in bad.chain(deep) {
            let error = script(key, &path.parse().unwrap()).unwrap_err();
            assert!(error.contains("; use close-site"), "{error}");
        }
        let name = format!("{}.php", "a".repeat(251));
        for (key, path) in [(&any, "run"), (&any, "1.a/2.b/3.c/x.php"), (&www, "1.a/2.b/x.php"), (&www, &name)] {
            script(key, &path.parse().unwrap()).unwrap();
        }
    }

    #[test]
    fn no_path_of_a_site_is_the_flag_of_another_site_or_hides_one() {
        let keys = [nginx("a.jp"), nginx("b.jp"), apache("/home/a/www"), apache("/home/a/www2"), apache("/home/b/www")];
        let paths =
            ["x.php", "x.php/y.php", "a.jp/x.php", "b.jp/x.php", "www/x.php", "home/b/www/x.php", "a.php/x.php"];
        let flags: Vec<String> = keys
            .iter()
            .flat_map(|key| paths.map(|path| script(key, &path.parse().unwrap()).unwrap()))
            .chain(keys.iter().map(|key| flag(key, Answer::Forbidden).unwrap()))
            .collect();
        for (i, one) in flags.iter().enumerate() {
            let clash = |other: &&String| *other == one || other.starts_with(&format!("{one}/"));
            assert_eq!(flags[i + 1..].iter().chain(&flags[..i]).find(clash), None, "{one}");
        }
    }

    #[test]
    fn a_pass_for_an_ipv4_address_also_has_its_mapped_form() {
        let leaves = leaves(&PassKey::Address("192.0.2.7".parse().unwrap()));
        assert_eq!(leaves, [".hikeshi-ip-192.0.2.7", ".hikeshi-ip-::ffff:192.0.2.7"]);
    }
}
