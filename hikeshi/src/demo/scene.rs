//! The demo's stage: a temporary folder with homes, sites, a web server's configuration, accounts, and our own.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use crate::exit::CommandError;

/// The account that gets hijacked.
pub const HIJACKED: &str = "hinata";
/// Its site that starts the harm.
pub const BLOG: &str = "blog.hinata.example.jp";
/// Accounts, and the sites of each.
pub const ACCOUNTS: [(&str, &[&str]); 3] = [
    (HIJACKED, &[BLOG, "shop.hinata.example.jp", "hinata.example.jp"]),
    ("sakura", &["sakura.example.jp"]),
    ("kaede", &["kaede.example.jp"]),
];
/// The uid under which the log shows the account at this place; the first one is our own.
pub fn uid(place: usize) -> u32 {
    let own = rustix::process::geteuid().as_raw();
    if place == 0 { own } else { own.wrapping_add(10_000 + place as u32) }
}

/// Where everything is.
pub struct Scene {
    /// The temporary folder.
    pub root: PathBuf,
    /// Where the sites answer.
    pub web: SocketAddr,
}

impl Scene {
    /// Sets it up below `root`; the returned listener is the web server's.
    pub fn set(root: &Path, smtp: SocketAddr) -> Result<(Scene, TcpListener), CommandError> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let web = listener.local_addr()?;
        let scene = Scene { root: root.to_owned(), web };
        for folder in ["run", "state", "etc/accounts.d", "log"] {
            std::fs::create_dir_all(root.join(folder))?;
        }
        private(&root.join("run"))?;
        // The line that `setup` would write into every server block; the demo's own server honours it.
        let gate = root.join("etc/nginx-gate.conf");
        std::fs::write(&gate, act::gate::nginx_include(&root.join("gate")).map_err(CommandError::failure)?)?;
        let mut vhosts = "events {}\nhttp {\n".to_owned();
        let mut accounts = String::new();
        for (place, (name, sites)) in ACCOUNTS.iter().enumerate() {
            let home = scene.home(name);
            let mut declared = Vec::new();
            for site in *sites {
                let folder = scene.site(name, site);
                let shown = folder.display();
                std::fs::create_dir_all(folder.join("wp-content/uploads"))?;
                std::fs::write(folder.join("index.php"), format!("<?php echo \"{site}\";\n"))?;
                vhosts.push_str(&format!(
                    "  server {{ include {}; listen {web}; server_name {site}; root {shown}; }}\n",
                    gate.display()
                ));
                declared.push(format!("{{ domain = \"{site}\", root = \"{shown}\" }}"));
            }
            accounts.push_str(&account(name, place, &home, &declared.join(", ")));
        }
        vhosts.push_str("}\n");
        std::fs::write(root.join("etc/nginx.conf"), vhosts)?;
        std::fs::write(root.join("etc/accounts.d/demo.toml"), accounts)?;
        std::fs::write(scene.mail_log(), "")?;
        std::fs::write(scene.config(), scene.configuration(smtp))?;
        Ok((scene, listener))
    }

    /// An account's home.
    pub fn home(&self, account: &str) -> PathBuf {
        self.root.join("home").join(account)
    }

    /// A site's root.
    pub fn site(&self, account: &str, site: &str) -> PathBuf {
        self.home(account).join(site)
    }

    /// Where an intruder put his programs.
    pub fn hideout(&self) -> PathBuf {
        self.site(HIJACKED, BLOG).join("wp-content/uploads/2026/.t")
    }

    /// The mail server's log.
    pub fn mail_log(&self) -> PathBuf {
        self.root.join("log/mail.log")
    }

    /// The table of held uids.
    pub fn hold_file(&self) -> PathBuf {
        self.root.join("etc/hold")
    }

    /// Our configuration.
    pub fn config(&self) -> PathBuf {
        self.root.join("etc/hikeshi.toml")
    }

    /// The story's clock.
    pub fn clock(&self) -> PathBuf {
        self.root.join("clock")
    }

    /// All sites.
    pub fn sites() -> Vec<String> {
        ACCOUNTS.iter().flat_map(|(_, sites)| sites.iter().map(|s| s.to_string())).collect()
    }

    fn configuration(&self, smtp: SocketAddr) -> String {
        let root = self.root.display();
        let (first, last) = (uid(0), uid(ACCOUNTS.len()));
        format!(
            r#"# Written by `hikeshi demo`.
mode = "enforce"

[node]
tenant_uids = "{first}-{last}"
shared_uids = [{first}]
accounts_dir = "{root}/etc/accounts.d"
passwd = "{root}/etc/passwd"

[web]
nginx = "{root}/etc/nginx.conf"
apache = []
access_logs = []
fpm_logs = []

[login]
logs = []
guarded_logs = []

[mail]
log = "{root}/log/mail.log"
hold_file = "{hold}"
log_is_guarded = true

[notice]
smtp = "{smtp}"
from = "support@host.example"
host_name = "例ホスティング"
desk_name_ja = "サポート窓口"
desk_name_en = "the support desk"
portal_url = "https://help.example"
operator_mail = "night-shift@host.example"

[release]
stage_minutes = 10

[paths]
state = "{root}/state"
run = "{root}/run"
gate = "{root}/gate"
etc = "{root}/etc"
"#,
            hold = self.hold_file().display(),
        )
    }
}

fn account(name: &str, place: usize, home: &Path, sites: &str) -> String {
    format!(
        "[[account]]\nname = \"{name}\"\nuid = {}\nhome = \"{}\"\ntime_zone = \"Asia/Tokyo\"\n\
         contacts = [{{ address = \"owner@{name}-contact.example\", role = \"owner\", language = \"ja\", name = \"{}\" }}]\nsites = [{sites}]\n\n",
        uid(place),
        home.display(),
        ["山田花子", "佐藤桜", "鈴木楓"][place],
    )
}

fn private(folder: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}
