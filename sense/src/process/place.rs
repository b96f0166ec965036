//! Where a file lies: the system's part, a temporary directory, or a home, and in which corner of it.

/// Whether `path` is `folder` or lies below it.
pub(crate) fn below(path: &[u8], folder: &[u8]) -> bool {
    let folder = folder.strip_suffix(b"/").unwrap_or(folder);
    !folder.is_empty() && path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

/// A part of the file system, by who can write there and what belongs there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Package or panel directories, written by root only.
    System,
    /// Directories that everybody can write: `/tmp`, `/var/tmp`, `/dev/shm`.
    Temp {
        /// Memory-backed `/dev/shm` and the like: no installer unpacks there.
        memory: bool,
    },
    /// A directory into which a site puts what visitors send.
    Uploads,
    /// A hidden directory of the home in which no known tool installs programs.
    Hidden,
    /// A directory of the home in which version managers and tools install programs.
    Tools,
    /// Data directories inside a site: images, caches. Scripts may lie there, programs should not start there.
    Data,
    /// Anywhere else in a home.
    Home,
    /// None of these.
    Other,
}

impl Place {
    /// Whether a tenant can have put the file there.
    pub fn by_tenant(self) -> bool {
        !matches!(self, Place::System | Place::Other)
    }

    /// Temporary, upload and hidden directories: nobody's programs belong there.
    pub fn is_bad(self) -> bool {
        matches!(self, Place::Temp { .. } | Place::Uploads | Place::Hidden)
    }
}

const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/opt",
    "/snap",
    "/nix/store",
    "/gnu/store",
    "/etc",
    "/run/current-system",
    "/var/lib",
    "/var/cpanel",
    "/var/www/cgi-bin",
];
const TEMP: &[&str] = &["/tmp", "/var/tmp", "/run/user", "/run/lock", "/var/lock", "/var/spool", "/run/screen"];
const MEMORY: &[&str] = &["/dev", "/run/shm", "/memfd:", "/proc"];

/// Hidden directories below a home in which tools really install programs. An intruder may use them too: a place
/// here only means that the place itself says nothing.
const TOOLS: &[&str] = &[
    ".nvm",
    ".npm",
    ".npm-global",
    ".npm-packages",
    ".local",
    ".pyenv",
    ".rbenv",
    ".rvm",
    ".nodenv",
    ".phpenv",
    ".phpbrew",
    ".asdf",
    ".volta",
    ".fnm",
    ".linuxbrew",
    ".cargo",
    ".rustup",
    ".conda",
    ".mambaforge",
    ".miniconda",
    ".virtualenvs",
    ".venv",
    ".venvs",
    ".composer",
    ".config/composer",
    ".gem",
    ".bundle",
    ".sdkman",
    ".jenv",
    ".goenv",
    ".gvm",
    ".go",
    ".deno",
    ".bun",
    ".dotnet",
    ".vscode-server",
    ".vscode-server-insiders",
    ".vscode-remote",
    ".cursor-server",
    ".windsurf-server",
    ".cache/puppeteer",
    ".cache/ms-playwright",
    ".cache/composer",
    ".cache/pip",
    ".cache/go-build",
    ".cache/yarn",
    ".cache/pypoetry",
    ".cache/JetBrains",
    ".cache/node",
    ".cache/uv",
    ".cl.selector",
    ".cagefs",
    ".nix-profile",
    ".wp-cli",
    ".pm2",
    ".yarn",
    ".pnpm",
    ".acme.sh",
    ".rclone",
    ".mix",
    ".ghcup",
    ".opam",
    ".stack",
    ".proto",
    ".mise",
    ".jupyter",
    ".ipython",
    ".ansible",
    ".krew",
    ".poetry",
];

/// Where `path` lies; `home` and `roots` (document roots) are those of the account, empty when unknown.
pub(crate) fn place(path: &[u8], home: &[u8], roots: &[&[u8]]) -> Place {
    let root = roots.iter().filter(|root| below(path, root)).max_by_key(|root| root.len());
    let inside = (root.is_some() || below(path, home)) && !home.is_empty();
    if !inside {
        return match () {
            () if MEMORY.iter().any(|dir| path.starts_with(dir.as_bytes())) => Place::Temp { memory: true },
            () if TEMP.iter().any(|dir| below(path, dir.as_bytes())) => Place::Temp { memory: false },
            () if SYSTEM.iter().any(|dir| below(path, dir.as_bytes())) => Place::System,
            () => Place::Other,
        };
    }
    let web = root.map(|root| directories(path, root));
    let from_home = if below(path, home) { directories(path, home) } else { web.clone().unwrap_or_default() };
    if let Some(web) = web.or_else(|| from_home.iter().any(|dir| *dir == b"wp-content").then(|| from_home.clone())) {
        if web.iter().any(|dir| is_uploads(dir)) {
            return Place::Uploads;
        }
        if hidden(&web).is_some() && !tools(&web) {
            return Place::Hidden;
        }
        if web.iter().any(|dir| is_data(dir)) {
            return Place::Data;
        }
        return Place::Home;
    }
    // Homes have temporary directories of their own (`~/tmp` of the panels, PHP sessions in it).
    if from_home.first().is_some_and(|dir| *dir == b"tmp") && hidden(&from_home).is_some() {
        return Place::Hidden;
    }
    match hidden(&from_home) {
        Some(_) if tools(&from_home) => Place::Tools,
        Some(_) => Place::Hidden,
        None => Place::Home,
    }
}

/// Directories between `top` and the file, outermost first.
fn directories<'a>(path: &'a [u8], top: &[u8]) -> Vec<&'a [u8]> {
    let top = top.strip_suffix(b"/").unwrap_or(top);
    let rest = path.get(top.len()..).unwrap_or_default();
    let mut parts: Vec<&[u8]> = rest.split(|b| *b == b'/').filter(|part| !part.is_empty()).collect();
    parts.pop();
    parts
}

/// The first hidden directory that is not a tool's; `...` and names of spaces hide as well.
fn hidden<'a>(directories: &[&'a [u8]]) -> Option<&'a [u8]> {
    directories
        .iter()
        .copied()
        .find(|dir| (dir.first() == Some(&b'.') && *dir != b".well-known") || dir.iter().all(u8::is_ascii_whitespace))
}

/// Whether the first hidden directory is one of [`TOOLS`], and nothing deeper hides again in an unknown one.
fn tools(directories: &[&[u8]]) -> bool {
    let Some(first) = directories.iter().position(|dir| dir.first() == Some(&b'.')) else { return false };
    let from = &directories[first..];
    let length = TOOLS.iter().map(|tool| tool.as_bytes().split(|b| *b == b'/').collect::<Vec<_>>());
    let Some(length) = length.filter(|parts| from.starts_with(parts)).map(|parts| parts.len()).max() else {
        return false;
    };
    // Package managers hide a few directories of their own below; any other one hides from somebody.
    let own = [&b".bin"[..], b".pnpm", b".cache", b".store", b".venv", b".bundle", b".python-build"];
    from[length..].iter().all(|dir| dir.first() != Some(&b'.') || own.contains(dir))
}

/// Whether any directory of the path is hidden, wherever it lies (`/tmp/.x/a.pl`, `/dev/shm/.../k`).
pub fn has_hidden_part(path: &[u8]) -> bool {
    path.split(|b| *b == b'/').any(|part| {
        (part.len() > 1 && part[0] == b'.' && part != b"..") || (!part.is_empty() && part.iter().all(|b| *b == b' '))
    })
}

fn is_uploads(dir: &[u8]) -> bool {
    [&b"uploads"[..], b"upload", b"userfiles", b"user_uploads", b"attachments", b"blogs.dir"].contains(&dir)
}

fn is_data(dir: &[u8]) -> bool {
    [
        &b"files"[..],
        b"images",
        b"image",
        b"img",
        b"cache",
        b"tmp",
        b"temp",
        b"media",
        b"gallery",
        b"avatars",
        b"thumbs",
        b"fonts",
        b"css",
    ]
    .contains(&dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_told_by_directories_and_not_by_parts_of_names() {
        let at = |path: &str| place(path.as_bytes(), b"/home/aoi", &[b"/home/aoi/public_html"]);
        for (path, want) in [
            ("/usr/bin/perl", Place::System),
            ("/usr/local/panel/bin/php", Place::System),
            ("/tmp/x", Place::Temp { memory: false }),
            ("/tmpfs/x", Place::Other),
            ("/dev/shm/.a/b", Place::Temp { memory: true }),
            ("/memfd:x", Place::Temp { memory: true }),
            ("/home/aoi/public_html/wp-content/uploads/2026/a", Place::Uploads),
            ("/home/aoi/public_html/uploads-old/a", Place::Home),
            ("/home/aoi/uploads/a", Place::Home),
            ("/home/aoi/dev/site2/wp-content/uploads/a", Place::Uploads),
            ("/home/aoi/public_html/images/a.php", Place::Data),
            ("/home/aoi/public_html/.well-known/a.php", Place::Home),
            ("/home/aoi/.cache/crond", Place::Hidden),
            ("/home/aoi/.nvm/versions/node/v20/bin/node", Place::Tools),
            ("/home/aoi/.nvmx/node", Place::Hidden),
            ("/home/aoi/.bashrc", Place::Home),
            ("/home/aoi/bin/x", Place::Home),
            ("/home/aoi2/.x/y", Place::Other),
            ("/home/aoi/.../y", Place::Hidden),
        ] {
            assert_eq!(at(path), want, "{path}");
        }
    }
}
