//! What a path is for: scripts, folders of data, of code and of components, logins, uploads, front doors.
//!
//! Words that many programs share come first; the tables add what single programs call differently (WordPress, Joomla,
//! Drupal, EC-CUBE, MediaWiki, Magento, a-blog cms, Movable Type, Nextcloud, concrete5, Laravel file managers). Each
//! rule works without the tables, only less surely. All paths are plain (see [`super::request::plain_path`]).

use memchr::memmem;

use super::table::short;

/// What the last part of a path ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A file that servers send as it is (pictures, styles, scripts of the browser).
    Static,
    /// A program of the server.
    Script,
    /// Something else, mostly a page.
    Page,
}

/// Endings as one number each: a comparison of numbers, not of texts, because each line asks.
const STATIC: [u64; 27] = numbers([
    "css", "js", "mjs", "map", "png", "jpg", "jpeg", "gif", "svg", "webp", "avif", "ico", "bmp", "woff", "woff2",
    "ttf", "eot", "otf", "mp4", "webm", "mp3", "pdf", "txt", "zip", "gz", "flv", "wasm",
]);
const SCRIPTS: [u64; 19] = numbers([
    "php", "php3", "php4", "php5", "php7", "php8", "phtml", "pht", "phar", "phpt", "cgi", "pl", "py", "rb", "asp",
    "aspx", "ashx", "jsp", "jspx",
]);

const fn numbers<const N: usize>(words: [&str; N]) -> [u64; N] {
    let mut all = [0; N];
    let mut n = 0;
    while n < N {
        let bytes = words[n].as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            all[n] = all[n] << 8 | bytes[at] as u64;
            at += 1;
        }
        n += 1;
    }
    all
}

/// By the ending alone, cheap enough for each line.
pub fn ending(path: &[u8]) -> Ending {
    let mut number = 0u64;
    for (n, b) in path.iter().rev().take(6).enumerate() {
        if *b == b'.' {
            return match number {
                _ if STATIC.contains(&number) => Ending::Static,
                _ if SCRIPTS.contains(&number) => Ending::Script,
                _ => Ending::Page,
            };
        }
        number |= u64::from(b.to_ascii_lowercase()) << (8 * n);
    }
    Ending::Page
}

/// The script that answers a path: itself, or what stands before the extra path (`/a.php/x`).
pub fn script(path: &[u8]) -> Option<&[u8]> {
    if ending(path) == Ending::Script {
        return Some(path);
    }
    // Only the endings that carry extra paths in practice; a folder `x.php` is none.
    [&b".php/"[..], b".cgi/", b".phtml/", b".pl/"]
        .iter()
        .filter_map(|mark| memmem::find(path, mark).map(|at| &path[..at + mark.len() - 1]))
        .min_by_key(|p| p.len())
}

/// What a folder on the way to a script says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A place from which programs are called.
    Plain,
    /// A front door of a known program: everybody calls it, it proves nothing.
    Door,
    /// Below a plugin, theme or module: meant to be loaded, sometimes called.
    Component,
    /// A folder that mostly holds data.
    Loose,
    /// A folder of code that is loaded, never called.
    Code,
    /// A folder into which visitors and programs write: no program belongs here.
    Data,
}

/// Scripts that everybody calls directly: suffix of the path.
const DOORS: &[&str] = &[
    "/wp-login.php",
    "/xmlrpc.php",
    "/wp-cron.php",
    "/wp-comments-post.php",
    "/wp-trackback.php",
    "/wp-signup.php",
    "/wp-activate.php",
    "/wp-links-opml.php",
    "/wp-mail.php",
    "/cron.php",
    "/remote.php",
    "/ocs/v1.php",
    "/ocs/v2.php",
    "/rest.php",
    "/load.php",
    "/get.php",
    "/mt-search.cgi",
    "/mt-data-api.cgi",
    "/mt-xmlrpc.cgi",
    "/mt-comments.cgi",
    "/mt-tb.cgi",
    "/mt.cgi",
    "/mt-cp.cgi",
];

/// Folders into which visitors write, as they stand in paths of known programs.
const DATA: &[&str] = &[
    "/wp-content/uploads/",
    "/wp-content/cache/",
    "/wp-content/upgrade/",
    "/sites/default/files/",
    "/pub/media/",
    "/media/custom_options/",
    "/media/customer_address/",
    "/media/catalog/",
    "/media/wysiwyg/",
    "/html/upload/",
    "/upload/save_image/",
    "/upload/temp_image/",
    "/html/user_data/",
    "/user_data/",
    "/images/stories/",
    "/images/thumb/",
    "/storage/app/",
    "/application/files/",
    "/user_uploads/",
    "/var/cache/",
    "/fileadmin/",
    "/typo3temp/",
];
pub(super) const DATA_WORDS: &[&str] = &[
    "uploads",
    "userfiles",
    "userupload",
    "attachments",
    "attachment",
    "avatars",
    "avatar",
    "tmp",
    "temp",
    "cache",
    "caches",
    "sessions",
];
pub(super) const LOOSE_WORDS: &[&str] = &[
    "upload",
    "files",
    "file",
    "media",
    "medias",
    "images",
    "image",
    "img",
    "imgs",
    "pictures",
    "photos",
    "photo",
    "gallery",
    "thumbs",
    "thumbnails",
    "archives",
    "css",
    "js",
    "fonts",
    "font",
    "icons",
    "downloads",
    "logs",
    "backup",
    "backups",
    "data",
];
pub(super) const CODE_WORDS: &[&str] = &[
    "includes",
    "include",
    "inc",
    "incs",
    "lib",
    "libs",
    "library",
    "libraries",
    "vendor",
    "src",
    "classes",
    "class",
    "wp-includes",
    "language",
    "languages",
    "node_modules",
    "core",
    "helpers",
    "traits",
    "models",
];
const COMPONENT_WORDS: &[&str] = &[
    "plugins",
    "plugin",
    "modules",
    "components",
    "themes",
    "templates",
    "extensions",
    "addons",
    "add-ons",
    "mu-plugins",
    "skins",
    "blocks",
    "packages",
];

/// Where a script lies; the strongest folder on the way counts.
pub fn place(script: &[u8]) -> Place {
    let lower = script.to_ascii_lowercase();
    let within = |words: &[&str], part: &[u8]| words.iter().any(|w| w.as_bytes() == part);
    let (folder, name) = lower.split_at(lower.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1));
    let parts = || folder.split(|b| *b == b'/').filter(|p| !p.is_empty());
    let years = || parts().zip(parts().skip(1)).any(|(y, m)| is_year(y) && is_month(m));
    let uploads = |p: &[u8]| within(DATA_WORDS, p) || within(&["upload", "files", "media", "images"], p);
    let hidden = parts().any(|p| p.starts_with(b".")) || name.starts_with(b".");
    let known = DATA.iter().any(|d| memmem::find(folder, d.as_bytes()).is_some());
    if known || hidden || parts().any(|p| within(DATA_WORDS, p)) || (years() && parts().any(uploads)) {
        return Place::Data;
    }
    // A file manager's own folder of files lies inside its code, so the innermost word decides between the two.
    for part in parts().rev_parts() {
        if within(LOOSE_WORDS, part) {
            return Place::Loose;
        }
        if within(CODE_WORDS, part) {
            return Place::Code;
        }
    }
    if name.starts_with(b"class-") || name.starts_with(b"class.") || ends(name, &[".class.php", ".inc.php", ".lib.php"])
    {
        return Place::Code;
    }
    let door = DOORS.iter().any(|d| lower.ends_with(d.as_bytes()));
    let front = name.starts_with(b"index.") && parts().count() <= 2;
    let office = parts().any(|p| p == b"wp-admin") && parts().next_back_is(&[b"wp-admin", b"network", b"user"]);
    if (door || front || office) && !parts().any(|p| within(COMPONENT_WORDS, p)) {
        return Place::Door;
    }
    match parts().any(|p| within(COMPONENT_WORDS, p)) {
        true => Place::Component,
        false => Place::Plain,
    }
}

/// Whether it lies in a folder of uploads of a known program, or one sorted by year and month.
pub fn is_upload_tree(script: &[u8]) -> bool {
    let lower = script.to_ascii_lowercase();
    let parts = || lower.split(|b| *b == b'/').filter(|p| !p.is_empty());
    DATA.iter().any(|d| memmem::find(&lower, d.as_bytes()).is_some())
        || parts().zip(parts().skip(1)).any(|(year, month)| is_year(year) && is_month(month))
        || parts().any(|p| p.starts_with(b"."))
}

/// The plugin, theme or module to which a script belongs: its path up to the folder behind the component word.
pub fn component(path: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    let mut inside = false;
    for (n, part) in path.split(|b| *b == b'/').enumerate() {
        from += part.len() + usize::from(n > 0);
        if inside {
            return (from < path.len()).then(|| &path[..from]);
        }
        inside = COMPONENT_WORDS.iter().any(|w| part.eq_ignore_ascii_case(w.as_bytes()));
    }
    None
}

pub(super) fn is_year(part: &[u8]) -> bool {
    part.len() == 4 && part.starts_with(b"20") && part.iter().all(u8::is_ascii_digit)
}

pub(super) fn is_month(part: &[u8]) -> bool {
    part.len() == 2 && part.iter().all(u8::is_ascii_digit)
}

fn ends(name: &[u8], tails: &[&str]) -> bool {
    tails.iter().any(|t| name.ends_with(t.as_bytes()))
}

/// The two looks from behind that a split cannot give without a copy.
trait Backwards<'a>: Iterator<Item = &'a [u8]> + Sized {
    fn rev_parts(self) -> std::iter::Rev<std::vec::IntoIter<&'a [u8]>> {
        self.collect::<Vec<_>>().into_iter().rev()
    }
    fn next_back_is(self, words: &[&[u8]]) -> bool {
        self.last().is_some_and(|last| words.contains(&last))
    }
}
impl<'a, I: Iterator<Item = &'a [u8]>> Backwards<'a> for I {}

/// Words of a path or its parameters that speak of putting files there.
const UPLOAD_WORDS: &[&str] = &[
    "upload",
    "connector",
    "filemanager",
    "file_manager",
    "file-manager",
    "elfinder",
    "kcfinder",
    "fileman",
    "import",
    "async-upload",
    "media-form",
    "attach",
    "dropzone",
    "plupload",
    "jfile",
    "filebrowser",
    "ckfinder",
    "install",
    "theme-editor",
    "plugin-editor",
    "edit-theme-plugin-file",
    "customer/address_file",
    "guest-carts",
    "savefile",
    "save_file",
    "store/template",
    "restore",
];

/// Whether a path, or the parameters of a request, speak of an upload. The words are looked for in lower case.
pub fn is_upload(text: &[u8]) -> bool {
    let lower = text[..text.len().min(512)].to_ascii_lowercase();
    !lower.is_empty() && UPLOAD_WORDS.iter().any(|w| memmem::find(&lower, w.as_bytes()).is_some())
}

/// Whether it installs a component of the site: the administrator's upload of a plugin, theme or module.
pub fn is_install(path: &[u8], query: &[u8]) -> bool {
    const PAIRS: &[(&str, &str)] = &[
        ("/wp-admin/update.php", "action=upload-"),
        ("/wp-admin/plugin-editor.php", ""),
        ("/wp-admin/theme-editor.php", ""),
        ("/administrator/", "com_installer"),
        ("/admin/modules/install", ""),
        ("/admin/theme/install", ""),
        ("/admin/appearance/install", ""),
        ("/store/plugin/install", ""),
        ("/store/template/install", ""),
        ("/ownersstore/", ""),
    ];
    let (path, query) = (path.to_ascii_lowercase(), query.to_ascii_lowercase());
    let has = |text: &[u8], word: &str| memmem::find(text, word.as_bytes()).is_some();
    // Without the table: inside of an office, something is uploaded or installed.
    let general = is_office(&path) && ["upload", "install", "import"].iter().any(|w| has(&path, w) || has(&query, w));
    let media = has(&path, "async-upload") || has(&path, "media-new");
    PAIRS.iter().any(|(p, q)| has(&path, p) && has(&query, q)) || (general && !media)
}

/// Whether a path is where somebody signs in. The words stand for themselves: `/login`, `/wp-login.php`, `/user/login`.
pub fn is_login(path: &[u8]) -> bool {
    const WORDS: &[&str] = &[
        "login",
        "signin",
        "sign-in",
        "sign_in",
        "logon",
        "log-in",
        "log_in",
        "loginpost",
        "authenticate",
        "userlogin",
        "login_check",
        "wp-login",
        "xmlrpc",
        "special:userlogin",
        "mt",
        "auth",
    ];
    const WHOLE: &[&str] = &["/administrator/", "/administrator/index.php", "/admin/", "/admin/index.php", "/admin"];
    let lower = path[..path.len().min(512)].to_ascii_lowercase();
    let mut parts = lower.split(|b| *b == b'/').rev().filter(|p| !p.is_empty()).take(2);
    let stem = |part: &[u8]| match part.iter().position(|b| *b == b'.') {
        Some(dot) => part[..dot].to_vec(),
        None => part.to_vec(),
    };
    WHOLE.iter().any(|w| lower == w.as_bytes())
        || parts.any(|part| {
            let stem = stem(part);
            WORDS.iter().any(|w| stem == w.as_bytes()) || stem.ends_with(b"login")
        })
}

/// Whether a path belongs to the part of a site behind its login, seen from outside by one word of it.
pub fn is_office(path: &[u8]) -> bool {
    const PUBLIC: &[&[u8]] = &[b"admin-ajax.php", b"admin-post.php"];
    let lower = path[..path.len().min(512)].to_ascii_lowercase();
    let name = lower.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let word = |p: &[u8]| {
        matches!(p, b"administrator" | b"dashboard" | b"backend" | b"manage" | b"manager" | b"backoffice" | b"mt.cgi")
            || p == b"admin"
            || p.ends_with(b"-admin")
            || p.ends_with(b"_admin")
    };
    !PUBLIC.contains(&name) && lower.split(|b| *b == b'/').any(word)
}

/// What a path is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Purpose {
    /// See [`is_login`].
    pub login: bool,
    /// See [`is_office`].
    pub office: bool,
    /// See [`is_upload`].
    pub upload: bool,
}

/// Purposes and agents that were worked out lately: sites ask for the same again and again. Fixed in size; a hash that
/// comes twice costs nothing but the work.
#[derive(Debug, Default)]
pub struct Lately {
    purposes: Vec<(u64, Purpose)>,
    agents: Vec<(u64, Agent)>,
}

/// Slots of each kind.
const LATELY: usize = 128;

impl Lately {
    /// What this path is for; whether it takes uploads only when the request `sends` something.
    pub fn purpose(&mut self, path: &[u8], sends: bool) -> Purpose {
        let key = short(path) ^ u64::from(sends);
        self.purposes.resize(LATELY, (0, Purpose::default()));
        let slot = &mut self.purposes[(key % LATELY as u64) as usize];
        if slot.0 != key {
            *slot = (key, Purpose { login: is_login(path), office: is_office(path), upload: sends && is_upload(path) });
        }
        slot.1
    }

    /// What this agent says that it is.
    pub fn agent(&mut self, text: &[u8]) -> Agent {
        let key = short(text);
        self.agents.resize(LATELY, (0, Agent::Other));
        let slot = &mut self.agents[(key % LATELY as u64) as usize];
        if slot.0 != key {
            *slot = (key, agent(text));
        }
        slot.1
    }
}

/// What an agent says that it is. Names are claims: they may make a request harmless, never harmful.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// A browser or unknown program.
    Other,
    /// A crawler by its own words.
    Crawler,
    /// A search engine that brings visitors; the owner wants it.
    Engine,
}

/// Words by which crawlers name themselves, and engines that are let alone (their own pages: developers.google.com
/// "Google crawlers", bing.com/webmasters "bingbot", yandex.com "Yandex robots", duckduckgo.com "DuckDuckBot",
/// apple.com "Applebot", help.baidu.com "Baiduspider", seznam.cz "SeznamBot", help.naver.com "Yeti").
pub fn agent(text: &[u8]) -> Agent {
    const ENGINES: &[&str] = &[
        "googlebot",
        "google-inspectiontool",
        "adsbot-google",
        "mediapartners-google",
        "feedfetcher-google",
        "bingbot",
        "bingpreview",
        "yandexbot",
        "yandex.com/bots",
        "duckduckbot",
        "applebot",
        "baiduspider",
        "seznambot",
        "yeti/",
        "slurp",
        "qwantbot",
        "mojeekbot",
        "internet archive",
        "archive.org_bot",
    ];
    const CRAWLERS: &[&str] =
        &["bot/", "bot;", "bot)", "bot ", "crawler", "spider", "scrapy", "externalagent", "externalhit", "-extended"];
    const MONITORS: &[&str] = &["uptime", "monitor", "pingdom", "statuscake", "healthcheck", "kube-probe", "site24x7"];
    let mut lower = text[..text.len().min(400)].to_ascii_lowercase();
    lower.push(b' ');
    let has = |words: &[&str]| words.iter().any(|w| memmem::find(&lower, w.as_bytes()).is_some());
    match () {
        () if has(ENGINES) => Agent::Engine,
        () if has(CRAWLERS) && !has(MONITORS) => Agent::Crawler,
        () => Agent::Other,
    }
}
