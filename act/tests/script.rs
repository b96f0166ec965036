//! One path of a site answers 403 on real nginx, Apache and PHP, by whatever way it is asked for.

mod node;

use std::path::{Path, PathBuf};
use std::process::Command;

use model::{Failure, GateKey, Measure, Restriction};
use node::server::Server;
use node::*;

const UID: u32 = 20_260;
/// What the planted scripts print when they run.
const RAN: &str = "PLANTED CODE RAN";

fn missing(programs: &[&str]) -> bool {
    let missing = programs.iter().find(|program| !Path::new(program).exists());
    if let Some(why) = missing.map(|p| format!("{p} is not installed")).or((!is_root()).then(|| "no root".into())) {
        skipped(&why);
        return true;
    }
    false
}

fn block(path: &str) -> Measure {
    Measure::BlockScript { site: "site.test".parse().unwrap(), path: path.parse().unwrap() }
}

/// A tenant's tree: planted scripts, good ones beside them, and addresses that lead to the planted ones.
fn tree(folder: &Path) -> PathBuf {
    let root = folder.join("one");
    let put = |name: &str, text: &str| {
        let path = root.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let planted = format!("<?php echo '{RAN}';");
    for name in
        ["x.php", "a.b/v1.0/x.php", "sub/index.php", "front/index.php", "two words ?%41.php", "two words %41.php"]
    {
        put(name, &planted);
    }
    for name in ["ok.php", "X.php", "x.php5.php", "sub/ok.php", "a.b/ok.php", "front/in/ok.php"] {
        put(name, &format!("<?php echo 'good {name}';"));
    }
    put("page.html", "good page");
    put("sub/page.html", "good page");
    put("front/page.html", "good page");
    let tricks = "Options +MultiViews +Includes\nAddType text/html .php\nAddOutputFilter INCLUDES .shtml\n\
        RewriteEngine On\nRewriteRule ^pretty$ x.php [L]\nRewriteRule ^end$ x.php [END]\nSatisfy Any\nAllow from all\n\
        <FilesMatch php>\nRequire all granted\n</FilesMatch>\n";
    put(".htaccess", tricks);
    put("index/.htaccess", "DirectoryIndex /x.php\n");
    put("index/a", "");
    put("back/.htaccess", "FallbackResource /x.php\n");
    put("back/a", "");
    put("error/.htaccess", "ErrorDocument 404 /x.php\n");
    put("error/a", "");
    put("virtual.shtml", "<!--#include virtual=\"/x.php\" -->");
    put("file.shtml", "<!--#include file=\"x.php\" -->");
    root
}

/// PHP for the web servers; ended as they are, so that its workers end too.
fn php(folder: &Path) -> Server {
    let f = folder.display();
    let conf = format!(
        "[global]\nerror_log = {f}/fpm.log\ndaemonize = no\n[www]\nuser = {UID}\ngroup = {UID}\nlisten = {f}/fpm.sock\n\
         listen.mode = 0666\npm = static\npm.max_children = 2\n"
    );
    std::fs::write(folder.join("fpm.conf"), conf).unwrap();
    let mut command = Command::new("/usr/sbin/php-fpm8.2");
    command.arg("-F").arg("-y").arg(folder.join("fpm.conf"));
    let child = command.stderr(std::process::Stdio::null()).spawn().unwrap();
    let server = Server { port: 0, child: Sleeper(child) };
    eventually("php answers", || std::os::unix::net::UnixStream::connect(folder.join("fpm.sock")).is_ok());
    server
}

struct Way(&'static str, &'static str);

/// Each way reaches the planted script while it is open, and no longer when it is blocked; `shown` ones get our page.
fn check(node: &Node, server: &Server, key: GateKey, blocked: &str, shown: &[&str], hidden: &[&str], good: &[Way]) {
    let handle = site("site.test", vec![key]);
    let one = restriction(40, 0, block(blocked));
    let mut actor = node.open();
    let ways = || shown.iter().chain(hidden).flat_map(|way| ["GET", "POST"].map(|method| (method, *way)));
    let fine = |when: &str| {
        for Way(path, text) in good {
            let (code, said) = server.ask("GET", "site.test", path, "");
            assert!(code == 200 && said.contains(text), "{when}, {path}: {said}");
        }
    };
    for (method, path) in ways() {
        let (_, text) = server.ask(method, "site.test", path, "");
        assert!(text.contains(RAN), "{method} {path} must reach the script while it is open: {text}");
    }
    fine("open");
    done(actor.handle(impose(1, &alice(), &one, std::slice::from_ref(&handle))));
    let hex = "ab".repeat(16);
    let until = node.clock.0.lock().unwrap().0 + model::Span::hours(1);
    let pass = model::packet::PassKey::Token([0xab; 16]);
    done(actor.handle(open_pass(2, &alice(), std::slice::from_ref(&handle), pass, until)));
    for (method, path) in ways() {
        for cookie in ["", &format!("Cookie: hkpass={hex}\r\n")] {
            let (code, text) = server.ask(method, "site.test", path, cookie);
            assert!(!text.contains(RAN), "{method} {path}: {text}");
            let ours = code == 403 && text.contains(&number(40).to_string()) && text.contains("X-Hikeshi: closed");
            assert!(ours || hidden.contains(&path), "{method} {path}: {text}");
        }
    }
    fine("blocked");
    let closing = restriction(41, 0, Measure::CloseSite { site: handle.domain.clone() });
    done(actor.handle(impose(4, &alice(), &closing, std::slice::from_ref(&handle))));
    let cookie = format!("Cookie: hkpass={hex}\r\n");
    assert_eq!(server.ask("GET", "site.test", "/ok.php", "").0, 403, "closed");
    assert_eq!(server.ask("GET", "site.test", "/ok.php", &cookie).0, 200, "the owner passes");
    let (code, text) = server.ask("GET", "site.test", shown[0], &cookie);
    assert!(code == 403 && text.contains(&number(40).to_string()), "but not to the script: {text}");
    done(actor.handle(lift(5, &alice(), &closing, false)));
    for path in ["/__hk/blocked", "/__hk/script", "/__hk/script/x.php", "/__hk/blocked/x.php"] {
        let (code, text) = server.ask("GET", "site.test", path, "");
        assert!(code != 200 && !text.contains(RAN), "{path}: {text}");
    }
    done(actor.handle(lift(3, &alice(), &one, false)));
    for (method, path) in ways() {
        assert!(server.ask(method, "site.test", path, "").1.contains(RAN), "lifted: {method} {path}");
    }
    fine("lifted");
    drop(actor);
    std::fs::remove_file(node.config.state_dir.join("journal")).unwrap();
}

#[test]
fn one_file_of_two_sites_stays_blocked_until_the_last_incident_lets_go() {
    let node = Node::new();
    let mut actor = node.open();
    let (outer, inner) = (GateKey::Apache("/home/a/www".into()), GateKey::Apache("/home/a/www/shop".into()));
    let flag = node.gate().join("script/apache/home/a/www/shop/x.php/.hikeshi-403");
    let number_shown =
        || std::fs::read_to_string(&flag).map(|page| (1..4).find(|n| page.contains(&number(*n).to_string())));
    let sites = [site("site.test", vec![outer]), site("shop.test", vec![inner])];
    let orders: Vec<Restriction> = vec![
        restriction(1, 0, block("shop/x.php")),
        restriction(2, 1, Measure::BlockScript { site: sites[1].domain.clone(), path: "x.php".parse().unwrap() }),
        restriction(3, 2, block("shop/x.php")),
    ];
    for (order, intent) in orders.iter().zip(1..) {
        done(actor.handle(impose(intent, &alice(), order, &sites)));
        assert_eq!(number_shown().unwrap(), Some(1), "the oldest incident's number");
    }
    assert!(in_force(&mut actor).iter().all(|(_, holds, _)| *holds));
    for (lifted, then) in [(0, Some(2)), (1, Some(3))] {
        done(actor.handle(lift(10 + lifted as u64, &alice(), &orders[lifted], false)));
        assert_eq!(number_shown().unwrap(), then);
    }
    std::fs::write(&flag, "somebody else's").unwrap();
    assert!(!in_force(&mut actor)[0].1, "a changed page is seen");
    done(actor.handle(lift(12, &alice(), &orders[2], false)));
    assert!(!node.gate().join("script/apache").exists());
}

#[test]
fn a_path_that_cannot_be_blocked_is_refused_before_anything_is_written() {
    let node = Node::new();
    let mut actor = node.open();
    let handle = site("site.test", vec![GateKey::Apache("/home/a/www".into()), GateKey::Nginx("site.test".into())]);
    let why = failed(actor.handle(impose(1, &alice(), &restriction(1, 0, block("cgi/run")), &[handle])));
    assert!(matches!(&why, Failure::Error(why) if why.contains("use close-site")), "{why}");
    assert!(!node.gate().join("script").exists());
}

const DIRECT: [&str; 12] = [
    "/x.php",
    "/x.php?a=/ok.php",
    "/%78.php",
    "/x%2Ephp",
    "//x.php",
    "/./x.php",
    "/a.b/../x.php",
    "/a.b/%2e%2e/x.php",
    "/x.php/",
    "/x.php/foo",
    "/x.php/foo/ok.php",
    "/x.php/a.b/c.d/e.f/g.h/i.php",
];
const GOOD: [Way; 7] = [
    Way("/ok.php", "good ok.php"),
    Way("/X.php", "good X.php"),
    Way("/x.php5.php", "good x.php5.php"),
    Way("/page.html", "good page"),
    Way("/sub/ok.php", "good sub/ok.php"),
    Way("/a.b/ok.php", "good a.b/ok.php"),
    Way("/front/in/ok.php", "good front/in/ok.php"),
];

#[test]
fn nginx_blocks_one_path_by_every_way_that_leads_to_it() {
    if missing(&["/usr/sbin/nginx", "/usr/sbin/php-fpm8.2"]) {
        return;
    }
    let (node, port) = (Node::new(), 21_240);
    let folder = node.folder.path();
    let root = tree(folder);
    let _php = php(folder);
    std::fs::write(folder.join("gate.conf"), act::gate::nginx_include(&node.gate()).unwrap()).unwrap();
    let f = folder.display();
    let fpm = format!("include /etc/nginx/fastcgi_params; fastcgi_pass unix:{f}/fpm.sock;");
    let script = "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;";
    let conf = |gate: &str, port: u16| {
        format!(
            "server {{ listen 127.0.0.1:{port}; {gate} server_name site.test; root {r}; index index.html index.php; merge_slashes {m};
error_page 410 /x.php; location = /gone {{ return 410; }}
location /front/ {{ if (!-e $request_filename) {{ rewrite ^ /front/index.php last; }} }}
location /try/ {{ try_files $uri /x.php; }}
location ~ \\.php(/|$) {{ {fpm} {script} fastcgi_split_path_info ^(.+\\.php)(/.*)$; }} }}\n",
            r = root.display(),
            m = if port == 21_242 { "off" } else { "on" },
        )
    };
    let include = format!("include {f}/gate.conf;");
    // The naive twin compares the address as it was sent.
    let naive = "if ($request_uri = /x.php) { return 403; }";
    let text = format!(
        "daemon off; pid {f}/nginx.pid; error_log {f}/error.log; user www-data; events {{ }}
http {{ include /etc/nginx/mime.types; access_log off; client_body_temp_path {f}/body; fastcgi_temp_path {f}/fast;\n{}{}{} }}",
        conf(&include, port),
        conf(naive, port + 1),
        conf(&include, port + 2),
    );
    std::fs::write(folder.join("nginx.conf"), text).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(folder.join("error.log"));
    let server = Server::start(port, command);
    let twin = Server { port: port + 1, child: sleeper(UID) };
    assert_eq!(twin.ask("GET", "site.test", "/x.php", "").0, 403);
    let walked = twin.ask("GET", "site.test", "/%78.php", "").1;
    assert!(walked.contains(RAN), "the twin must let %78 through: {walked}");

    let slashes = Server { port: port + 2, child: sleeper(UID) };
    let key = || GateKey::Nginx("site.test".into());
    check(&node, &server, key(), "x.php", &[&DIRECT[..], &["/try/none"]].concat(), &["/gone"], &GOOD);
    check(&node, &slashes, key(), "x.php", &DIRECT, &[], &GOOD);
    let deep = ["/a.b/v1.0/x.php", "/a.b/v1%2e0/x.php/foo/a.php", "/a.b//v1.0/./x.php"];
    check(&node, &server, key(), "a.b/v1.0/x.php", &deep, &[], &GOOD);
    check(&node, &server, key(), "sub/index.php", &["/sub/", "/sub/index.php", "/sub/index.php/x"], &[], &GOOD);
    let front = ["/front/", "/front/index.php", "/front/some/pretty/address", "/front/x?y=z"];
    check(&node, &server, key(), "front/index.php", &front, &[], &GOOD);
    check(&node, &slashes, key(), "front/index.php", &["/front//none", "/front//"], &[], &GOOD);
    let odd = ["/two%20words%20%3F%2541.php", "/two%20words%20%3f%2541.php/a.php?b"];
    check(&node, &server, key(), "two words ?%2541.php", &odd, &[], &GOOD);
}

#[test]
fn apache_blocks_one_path_by_every_way_that_leads_to_it() {
    if missing(&["/usr/sbin/apache2", "/usr/sbin/php-fpm8.2"]) {
        return;
    }
    let (node, port) = (Node::new(), 21_245);
    let folder = node.folder.path();
    let root = tree(folder);
    let _php = php(folder);
    std::fs::write(folder.join("gate.conf"), act::gate::apache_include(&node.gate()).unwrap()).unwrap();
    let f = folder.display();
    let modules = "mpm_event access_compat alias authz_core authz_host dir env headers include mime negotiation proxy \
        proxy_fcgi rewrite setenvif";
    let modules: String = modules
        .split_whitespace()
        .map(|m| format!("LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n"))
        .collect();
    let vhost = |port: u16, gate: &str| {
        format!(
            "Listen 127.0.0.1:{port}\n<VirtualHost 127.0.0.1:{port}>\n{gate}\nServerName site.test\nDocumentRoot {}\n\
             DirectoryIndex index.html index.php\n</VirtualHost>\n",
            root.display()
        )
    };
    let conf = format!(
        "ServerRoot /etc/apache2\nPidFile {f}/apache.pid\nDefaultRuntimeDir {f}\nErrorLog {f}/error.log\n{modules}\n\
         User www-data\nGroup www-data\nServerName localhost\nTypesConfig /etc/mime.types\nStartServers 1\n\
         <Directory />\nRequire all denied\nAllowOverride None\n</Directory>\n\
         <Directory {f}>\nRequire all granted\nAllowOverride All\nOptions SymLinksIfOwnerMatch\n</Directory>\n\
         <FilesMatch \"\\.php$\">\nSetHandler \"proxy:unix:{f}/fpm.sock|fcgi://localhost\"\n</FilesMatch>\n{}{}",
        vhost(port, &format!("Include {f}/gate.conf")),
        vhost(port + 1, "RewriteEngine On\nRewriteCond %{THE_REQUEST} \" /x.php \"\nRewriteRule ^ - [F]"),
    );
    std::fs::write(folder.join("apache.conf"), conf).unwrap();
    let mut command = Command::new("/usr/sbin/apache2");
    command.arg("-f").arg(folder.join("apache.conf")).arg("-DFOREGROUND");
    let server = Server::start(port, command);
    let twin = Server { port: port + 1, child: sleeper(UID) };
    assert_eq!(twin.ask("GET", "site.test", "/x.php", "").0, 403);
    let walked = twin.ask("GET", "site.test", "/%78.php", "").1;
    assert!(walked.contains(RAN), "the twin must let %78 through: {walked}");

    let key = || GateKey::Apache(root.to_str().unwrap().into());
    let shown = [&DIRECT[..], &["/pretty", "/pretty?a"]].concat();
    let hidden = ["/end", "/x", "/index/", "/back/none", "/error/none", "/virtual.shtml", "/file.shtml"];
    check(&node, &server, key(), "x.php", &shown, &hidden, &GOOD);
    let deep = ["/a.b/v1.0/x.php", "/a.b/v1%2e0/x.php/foo/a.php", "/a.b//v1.0/./x.php"];
    check(&node, &server, key(), "a.b/v1.0/x.php", &deep, &[], &GOOD);
    check(&node, &server, key(), "sub/index.php", &["/sub/", "/sub/index.php", "/sub/index.php/x"], &[], &GOOD);
    let odd = ["/two%20words%20%2541.php", "/two%20words%20%2541.php/a.php?b"];
    check(&node, &server, key(), "two words %2541.php", &odd, &[], &GOOD);
}
