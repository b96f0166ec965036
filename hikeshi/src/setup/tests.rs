//! Tests of setup against real servers: nginx, Apache and Postfix in a folder of their own.
//!
//! They need root (files of the servers belong to it) and the programs; without them they say SKIPPED.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::time::Duration;

use super::*;

/// A node in a temporary folder: `@` in texts stands for it.
struct Node {
    folder: tempfile::TempDir,
    config: Config,
}

fn able(test: &str, programs: &[&str]) -> bool {
    let missing = programs.iter().find(|p| !Path::new(p).exists());
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: {test} needs root");
    } else if let Some(program) = missing {
        eprintln!("SKIPPED: {test} needs {program}");
    } else {
        return true;
    }
    false
}

impl Node {
    fn new() -> Node {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let at = folder.path().display();
        let text = format!(
            "[node]\npasswd = \"{at}/passwd\"\n[web]\nnginx = \"{at}/nginx/nginx.conf\"\napache = []\n[mail]\npostfix_config_dir = \"{at}/postfix\"\n\
             hold_file = \"{at}/etc/postfix-hold\"\n[paths]\nstate = \"{at}/state\"\netc = \"{at}/etc\"\n"
        );
        let config = Config::parse(Path::new("t.toml"), &text).unwrap();
        Node { folder, config }
    }

    fn apache(mut self) -> Node {
        let empty = self.path("nginx/nginx.conf");
        fs::create_dir_all(empty.parent().unwrap()).unwrap();
        fs::write(&empty, "events {}\n").unwrap();
        let text = format!("[web]\napache = [\"{}\"]\n", self.path("apache.conf").display());
        self.config.web.apache = Config::parse(Path::new("t.toml"), &text).unwrap().web.apache;
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text.replace('@', self.folder.path().to_str().unwrap())).unwrap();
        path
    }

    fn texts(&self) -> Texts {
        let gate = self.path("gate");
        Texts {
            nginx: format!("if (-f {}/$server_name) {{ return 403; }}\n", gate.display()),
            apache: format!(
                "RewriteEngine On\nRewriteCond {}%{{DOCUMENT_ROOT}}/closed -f\nRewriteRule ^ - [F]\n",
                gate.display()
            ),
        }
    }

    fn plan(&self) -> Plan {
        plan(&self.config, &self.texts(), None).unwrap()
    }

    fn set_up(&self) -> carry_out::Done {
        apply(&self.config, &self.plan()).unwrap()
    }

    fn take_out(&self) -> carry_out::Done {
        apply(&self.config, &plan_removal(&self.config, None).unwrap()).unwrap()
    }
}

/// Bytes and everything that belongs to a file.
fn state(path: &Path) -> (String, u32, u32, i64, i64) {
    let meta = fs::metadata(path).unwrap();
    (fs::read_to_string(path).unwrap(), meta.mode(), meta.uid(), meta.mtime(), meta.mtime_nsec())
}

fn ask(port: u16, host: &str) -> u16 {
    let address: SocketAddr = ([127, 0, 0, 1], port).into();
    for _ in 0..100 {
        let Ok(mut stream) = TcpStream::connect(address) else {
            std::thread::sleep(Duration::from_millis(50));
            continue;
        };
        stream.write_all(format!("GET / HTTP/1.0\r\nHost: {host}\r\n\r\n").as_bytes()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        if let Some(code) = answer.split(' ').nth(1).and_then(|c| c.parse().ok()) {
            return code;
        }
    }
    panic!("no answer at {port}");
}

/// Asks until the answer is this one: a reload takes a moment.
fn becomes(port: u16, host: &str, code: u16) {
    for _ in 0..100 {
        if ask(port, host) == code {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(ask(port, host), code, "{host}");
}

const NGINX: &str = "/usr/sbin/nginx";
const APACHE: &str = "/usr/sbin/apache2";

/// A server that ends with the test.
struct Running {
    pid_file: PathBuf,
}

impl Drop for Running {
    fn drop(&mut self) {
        let Ok(pid) = fs::read_to_string(&self.pid_file) else { return };
        if let Some(pid) = pid.trim().parse().ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
    }
}

const NGINX_CONF: &str = "pid @/nginx.pid; error_log @/error.log; worker_processes 1;\nevents { worker_connections 64; }\n\
     http { access_log off; include sites-enabled/*; }\n";

fn nginx_node(port: u16) -> Node {
    let node = Node::new();
    node.write("nginx/nginx.conf", NGINX_CONF);
    for site in ["a", "b"] {
        node.write(&format!("www/{site}/index.html"), site);
    }
    let site =
        format!("server {{ # one\n  listen 127.0.0.1:{port};\n  server_name a.jp www.a.jp;\n  root @/www/a;\n}}\n");
    let a = node.write("nginx/sites-available/a", &site);
    let b = format!("server {{ listen 127.0.0.1:{port}; server_name b.jp; root @/www/b; }}");
    node.write("nginx/sites-available/b", &b);
    fs::create_dir_all(node.path("nginx/sites-enabled")).unwrap();
    fs::set_permissions(&a, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    for site in ["a", "b"] {
        std::os::unix::fs::symlink(
            node.path(&format!("nginx/sites-available/{site}")),
            node.path(&format!("nginx/sites-enabled/{site}")),
        )
        .unwrap();
    }
    node
}

#[test]
fn nginx_gets_the_gate_closes_one_site_and_comes_back_byte_for_byte() {
    if !able("nginx_gets_the_gate", &[NGINX]) {
        return;
    }
    let node = nginx_node(17287);
    let paths = [node.path("nginx/sites-available/a"), node.path("nginx/sites-available/b")];
    let before = paths.each_ref().map(|p| state(p));
    assert!(Command::new(NGINX).arg("-c").arg(node.path("nginx/nginx.conf")).status().unwrap().success());
    let _running = Running { pid_file: node.path("nginx.pid") };
    becomes(17287, "a.jp", 200);

    let plan = node.plan();
    assert_eq!(plan.edits.len(), 2);
    assert!(plan.diff().contains("nginx-gate.conf; # hikeshi"), "{}", plan.diff());
    assert_eq!(missing(&node.config).len(), 2);
    let done = apply(&node.config, &plan).unwrap();
    assert!(done.said.iter().any(|s| s == "nginx: tested and reloaded"), "{done:?}");
    assert!(node.plan().nothing_to_do() && missing(&node.config).is_empty());
    assert!(node.path("nginx/sites-enabled/a").is_symlink());

    node.write("gate/a.jp", "");
    becomes(17287, "a.jp", 403);
    // A worker from before the reload may still answer for a moment.
    becomes(17287, "www.a.jp", 403);
    assert_eq!(ask(17287, "b.jp"), 200);

    node.take_out();
    assert_eq!(paths.each_ref().map(|p| state(p)), before);
    becomes(17287, "a.jp", 200);
    assert!(!node.path("etc/nginx-gate.conf").exists() && !node.path("state/setup").exists());
    assert!(plan_removal(&node.config, None).unwrap().nothing_to_do());
}

#[test]
fn a_new_virtual_host_is_found_and_a_later_change_survives_the_removal() {
    if !able("a_new_virtual_host_is_found", &[NGINX]) {
        return;
    }
    let node = nginx_node(17282);
    node.set_up();
    let b = node.path("nginx/sites-available/b");
    let added = "\nserver { listen 127.0.0.1:17282; server_name c.jp; root /nowhere; }\n";
    fs::write(&b, fs::read_to_string(&b).unwrap() + added).unwrap();
    assert_eq!(missing(&node.config)[0].name, "c.jp");
    node.set_up();
    assert!(missing(&node.config).is_empty());
    node.take_out();
    let left = fs::read_to_string(&b).unwrap();
    assert!(left.ends_with(added) && !left.contains("gate"), "{left}");
}

#[test]
fn a_refused_configuration_brings_everything_back() {
    if !able("a_refused_configuration", &[NGINX]) {
        return;
    }
    let node = nginx_node(17283);
    let paths = [node.path("nginx/sites-available/a"), node.path("nginx/sites-available/b")];
    let before = paths.each_ref().map(|p| state(p));
    let bad = Texts { nginx: "no_such_directive on;\n".into(), apache: String::new() };
    let plan = plan(&node.config, &bad, None).unwrap();
    let error = apply(&node.config, &plan).unwrap_err().to_string();
    assert!(error.contains("no_such_directive") && error.contains("Everything is as it was"), "{error}");
    assert_eq!(paths.each_ref().map(|p| state(p)), before);
    assert!(!node.path("etc/nginx-gate.conf").exists());
    // Broken before us: nothing is touched, and it is not blamed on us.
    let a = node.write("nginx/sites-available/z", "server { listen 127.0.0.1:17283; nonsense; }\n");
    fs::rename(&a, node.path("nginx/sites-enabled/z")).unwrap();
    let error = apply(&node.config, &node.plan()).unwrap_err().to_string();
    assert!(error.contains("refused before any change"), "{error}");
    assert_eq!(paths.each_ref().map(|p| state(p)), before);
}

#[test]
fn a_run_that_was_cut_off_is_finished_or_undone_by_the_next() {
    if !able("a_run_that_was_cut_off", &[NGINX]) {
        return;
    }
    for kill_after in 0..3 {
        let node = nginx_node(17284);
        let paths = [node.path("nginx/sites-available/a"), node.path("nginx/sites-available/b")];
        let before = paths.each_ref().map(|p| state(p));
        let plan = node.plan();
        // What stands on the disk when the process dies after so many edits.
        let shelf = shelf(&node.config);
        let record = carry_out::remember(&node.config, &plan, &shelf, &Record::default()).unwrap();
        fs::create_dir_all(node.path("etc")).unwrap();
        fs::write(node.path("etc/nginx-gate.conf"), node.texts().nginx).unwrap();
        for edit in plan.edits.iter().take(kill_after) {
            let new = edit::apply(&edit.old, &edit.pieces);
            disk::replace(&edit.path, &new, record.files[&edit.path].before_looks, false).unwrap();
        }
        assert!(!node.plan().nothing_to_do(), "an unfinished run is seen");
        node.set_up();
        assert!(node.plan().nothing_to_do() && missing(&node.config).is_empty());
        node.take_out();
        assert_eq!(paths.each_ref().map(|p| state(p).0), before.clone().map(|s| s.0), "after {kill_after}");
    }
}

#[test]
fn files_of_a_panel_or_of_a_tenant_are_refused_with_what_to_do() {
    if !able("files_of_a_panel", &[NGINX]) {
        return;
    }
    let node = nginx_node(17285);
    let a = node.path("nginx/sites-available/a");
    fs::write(&a, "# DO NOT EDIT, generated by mypanel\nserver { server_name a.jp; }\n").unwrap();
    std::os::unix::fs::chown(node.path("nginx/sites-available/b"), Some(20199), None).unwrap();
    let plan = node.plan();
    assert!(plan.edits.is_empty());
    let why: Vec<&str> = plan.refused.iter().map(|r| r.why.as_str()).collect();
    assert!(why.iter().any(|w| w.contains("template that it is made from")), "{why:?}");
    assert!(why.iter().any(|w| w.contains("can be changed by others than root")), "{why:?}");
}

#[test]
fn apache_gets_the_gate_before_the_rules_of_the_virtual_host() {
    if !able("apache_gets_the_gate", &[APACHE]) {
        return;
    }
    let node = Node::new().apache();
    let modules = "/usr/lib/apache2/modules";
    let mut conf = String::from(
        "ServerRoot @\nPidFile @/apache.pid\nDefaultRuntimeDir @\nErrorLog @/e.log\nListen 127.0.0.1:17286\nServerName x\n",
    );
    for module in ["mpm_event", "authz_core", "dir", "rewrite"] {
        conf += &format!("LoadModule {module}_module {modules}/mod_{module}.so\n");
    }
    conf += "User www-data\nInclude sites.conf\n";
    node.write("apache.conf", &conf);
    for site in ["a", "b"] {
        node.write(&format!("www/{site}/index.html"), site);
    }
    let rules = " RewriteEngine On\r\n RewriteRule ^/$ /index.html [L]\r\n";
    let sites = node.write(
        "sites.conf",
        &format!(
            "<VirtualHost 127.0.0.1:17286>\r\n ServerName a.jp\r\n ServerAlias www.a.jp\r\n DocumentRoot \"@//www/./a/\"\r\n{rules}\
             </VirtualHost>\r\n<virtualhost 127.0.0.1:17286>\n servername b.jp\n DocumentRoot @/www/b\n</virtualhost>\n"
        ),
    );
    let before = state(&sites);
    let run = |order: &str| Command::new(APACHE).arg("-f").arg(node.path("apache.conf")).args(["-k", order]).status();
    assert!(run("start").unwrap().success());
    let _running = Running { pid_file: node.path("apache.pid") };
    becomes(17286, "a.jp", 200);
    let done = node.set_up();
    assert!(done.said.iter().any(|s| s == "Apache: tested and reloaded"), "{done:?}");
    assert!(node.plan().nothing_to_do() && missing(&node.config).is_empty());
    // The key that the inventory gives is the folder below which Apache looks for the flag.
    let (vhosts, _, _) = webs(&node.config)[1].read();
    let root = vhosts[0].document_root.clone().unwrap();
    assert_eq!(root, node.path("www/a").to_str().unwrap());
    let flag = node.path("gate").join(root.trim_start_matches('/')).join("closed");
    fs::create_dir_all(flag.parent().unwrap()).unwrap();
    fs::write(&flag, "").unwrap();
    becomes(17286, "a.jp", 403);
    becomes(17286, "www.a.jp", 403);
    assert_eq!(ask(17286, "b.jp"), 200);
    node.take_out();
    assert_eq!(state(&sites), before);
    becomes(17286, "a.jp", 200);
}

#[test]
fn postfix_asks_our_tables_first_and_gets_its_own_file_back() {
    if !able("postfix_asks_our_tables_first", &["/usr/sbin/postconf"]) {
        return;
    }
    let sasl = "${{$smtpd_sasl_auth_enable} == {yes} ? {check_sasl_access regexp:@/etc/postfix-hold-sasl}}";
    let refused = "!texthash:@/etc/postfix-hold-refused";
    for (lines, after) in [
        (
            "header_checks=regexp:/etc/x,\n  pcre:/etc/y # z\nsmtpd_data_restrictions =\n  reject_unauth_pipelining\n\
             authorized_submit_users = !www, static:all\n",
            [
                "regexp:@/etc/postfix-hold, regexp:/etc/x, pcre:/etc/y # z".to_owned(),
                format!("{sasl}, reject_unauth_pipelining"),
                format!("{refused}, !www, static:all"),
            ],
        ),
        ("", ["regexp:@/etc/postfix-hold".to_owned(), sasl.to_owned(), format!("{refused}, static:anyone")]),
    ] {
        let mut node = Node::new();
        node.write("nginx/nginx.conf", "events {}\n");
        let main = node.write(
            "postfix/main.cf",
            &format!("compatibility_level=3.6\nmyhostname = x.test\n{lines}mynetworks=127.0.0.0/8\n"),
        );
        node.write("postfix/master.cf", "");
        let before = state(&main);
        let plan = node.plan();
        assert!(plan.notes.iter().any(|n| n.contains("enable_long_queue_ids=yes")), "{:?}", plan.notes);
        apply(&node.config, &plan).unwrap();
        assert!(node.plan().nothing_to_do());
        assert!(!node.path("etc/postfix-hold-refused").exists(), "refusing is the operator's decision");
        // The decision comes later: the first original is still the one that comes back.
        node.config.mail.can_refuse = true;
        apply(&node.config, &node.plan()).unwrap();
        let now = postfix::read(&node.path("postfix")).unwrap().values;
        let now = Table::ALL.map(|table| now[table.parameter()].clone());
        assert_eq!(now, after.map(|value| value.replace('@', node.folder.path().to_str().unwrap())));
        let tables = Table::ALL.map(|table| table.path(&node.path("etc/postfix-hold")));
        assert!(tables.iter().all(|table| fs::read(table).unwrap().is_empty()));
        assert!(node.plan().nothing_to_do());
        node.take_out();
        assert_eq!(state(&main), before);
        assert!(tables.iter().all(|table| !table.exists()) && !node.path("state/setup").exists());
    }
}

#[test]
fn setup_says_which_door_hides_our_table_and_leaves_out_what_postdrop_could_not_read() {
    if !able("setup_says_which_door", &["/usr/sbin/postconf"]) {
        return;
    }
    let mut node = Node::new();
    node.config.mail.can_refuse = true;
    node.write("nginx/nginx.conf", "events {}\n");
    node.write("postfix/main.cf", "compatibility_level=3.6\nmyhostname = x.test\n");
    node.write(
        "postfix/master.cf",
        "submission inet n - n - - smtpd\n -o smtpd_sasl_auth_enable=yes\n -o smtpd_data_restrictions=permit\n",
    );
    disk::folder(&node.path("etc"), 0o700).unwrap();
    let plan = node.plan();
    for part in ["service submission of master.cf sets smtpd_data_restrictions = permit", "can_refuse is left out"] {
        assert!(plan.notes.iter().any(|note| note.contains(part)), "{:?}", plan.notes);
    }
    assert!(!plan.postfix.unwrap().after.contains_key("authorized_submit_users"));
}

/// Needs the test bed (tenants in1 and in2, without its own gate): `HK_BED=FOLDER`.
#[test]
fn a_whole_node_is_read_set_up_closed_and_left_as_it_was() {
    let Some(bed) = std::env::var_os("HK_BED").map(PathBuf::from) else {
        eprintln!("SKIPPED: a_whole_node needs a running test bed, named by HK_BED");
        return;
    };
    let (b, own) = (bed.display(), Node::new());
    fs::copy("/etc/passwd", own.path("passwd")).unwrap();
    let at = own.folder.path().display();
    let text = format!(
        "[node]\ntenant_uids = \"20121-20122\"\npasswd = \"{at}/passwd\"\n[web]\nnginx = \"{b}/etc/nginx.conf\"\napache = [\"{b}/etc/apache.conf\"]\n\
         [mail]\npostfix_config_dir = \"{b}/etc/postfix\"\nhold_file = \"{at}/etc/postfix-hold\"\n\
         [paths]\nstate = \"{at}/state\"\netc = \"{at}/etc\"\n"
    );
    let config = Config::parse(Path::new("bed.toml"), &text).unwrap();
    let inventory = sense::inventory::Inventory::read(&config.sources());
    assert!(inventory.unclear.is_empty(), "{:#?}", inventory.unclear);
    let names: Vec<&str> = inventory.accounts.iter().map(|a| a.account.name.as_str()).collect();
    assert_eq!(names, ["in1", "in2"]);
    for account in &inventory.accounts {
        assert_eq!(account.sites.len(), 2, "{account:#?}");
        assert!(account.sites.iter().all(|s| s.gates.len() == 2 && s.probes.len() == 2), "{account:#?}");
    }
    let files: Vec<PathBuf> =
        ["nginx-vhosts.conf", "apache-vhosts.conf", "postfix/main.cf"].map(|f| bed.join("etc").join(f)).into();
    let before: Vec<_> = files.iter().map(|f| state(f)).collect();
    let first = plan(&config, &own.texts(), None).unwrap();
    let done = apply(&config, &first).unwrap();
    eprintln!("{}\n{done:#?}", first.diff());
    assert!(plan(&config, &own.texts(), None).unwrap().nothing_to_do() && missing(&config).is_empty());

    let site = &inventory.accounts[0].sites[1];
    let (gate, name) = (own.path("gate"), site.domain.as_str());
    fs::create_dir_all(gate.join(site.root.trim_start_matches('/'))).unwrap();
    let ports: Vec<u16> = site.probes.iter().map(|p| p.address.port()).collect();
    for port in &ports {
        becomes(*port, name, 200);
    }
    for key in &site.gates {
        let flag = match key {
            model::GateKey::Nginx(name) => gate.join(name),
            model::GateKey::Apache(root) => gate.join(root.trim_start_matches('/')).join("closed"),
        };
        fs::write(flag, "").unwrap();
    }
    for port in &ports {
        becomes(*port, name, 403);
        becomes(*port, inventory.accounts[1].sites[1].domain.as_str(), 200);
    }
    apply(&config, &plan_removal(&config, None).unwrap()).unwrap();
    assert_eq!(files.iter().map(|f| state(f)).collect::<Vec<_>>(), before);
    for port in &ports {
        becomes(*port, name, 200);
    }
}
