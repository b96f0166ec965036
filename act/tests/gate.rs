//! The gate on real web servers: nginx and Apache with small configurations on loopback.

mod node;

use std::path::{Path, PathBuf};
use std::process::Command;

use model::packet::{PassKey, SiteHandle};
use model::{GateKey, Measure, Moment};
use node::server::Server;
use node::*;

const TOKEN: [u8; 16] = [0xab; 16];

/// A document root as a tenant has it: a page, an own 403, and tricks against the gate.
fn root(folder: &Path, name: &str) -> PathBuf {
    let root = folder.join(name);
    std::fs::create_dir_all(root.join("own403")).unwrap();
    std::fs::write(root.join("index.html"), format!("this is {name}")).unwrap();
    std::fs::write(root.join("own.html"), "the tenant's own 403").unwrap();
    std::fs::write(root.join("my404.html"), "the host's own 404").unwrap();
    std::fs::write(root.join("own403/.htaccess"), "<If \"true\">\nRequire all denied\n</If>\n").unwrap();
    let tricks = "ErrorDocument 403 /own.html\nRewriteEngine On\nRewriteRule ^ - [E=HK_SET:x]\n<If \"true\">\nRequire all granted\n</If>\n";
    std::fs::write(root.join(".htaccess"), tricks).unwrap();
    root
}

/// The same questions to both servers; `site` and `other` are two vhosts, `site` the default one.
fn check(node: &Node, server: &Server, site: SiteHandle, other_host: &str) {
    let hosts = ["site.test", "alias.test", "any.wild.test", "unknown.test", "SITE.test"];
    let mut actor = node.open();
    let closing = restriction(1, 0, Measure::CloseSite { site: site.domain.clone() });
    for host in hosts {
        assert_eq!(server.get(host), 200, "open: {host}");
    }
    let (_, own) = server.ask("GET", "site.test", "/own403/", "");
    assert!(own.contains("the tenant's own 403"), "{own}");

    done(actor.handle(impose(1, &alice(), &closing, std::slice::from_ref(&site))));
    for host in hosts {
        for method in ["GET", "POST", "PUT"] {
            for path in ["/", "/own403/", "/own.html", "/__hk/x", "/__hk/403/../../", "/__hk/pass"] {
                let (code, text) = server.ask(method, host, path, "");
                let passing = path == "/__hk/pass" && code == 404;
                assert!(code == 403 || passing, "{method} {host} {path}: {text}");
                assert!(passing || text.contains(&number(1).to_string()), "{method} {host} {path}: {text}");
            }
        }
    }
    for path in ["/__hk/403", "/__hk/page", "/__hk/closed", "/__hk/closed-503", "/__hk/page-503", "/__hk/503"] {
        let (code, text) = server.ask("GET", "site.test", path, "");
        assert!(code != 200 && !text.contains("this is"), "{path}: {text}");
    }
    let (_, text) = server.ask("GET", "site.test", "/", "");
    for header in ["X-Hikeshi: closed", "Cache-Control: no-store", "text/html; charset=utf-8"] {
        assert!(text.contains(header), "{header}: {text}");
    }
    assert!(!text.contains("Retry-After") && !text.contains("Last-Modified"), "{text}");
    assert_eq!(server.get(other_host), 200);

    passes(node, server, &mut actor, &site, other_host);

    done(actor.handle(lift(9, &alice(), &closing, false)));
    for host in hosts {
        assert_eq!(server.get(host), 200, "lifted: {host}");
    }
    let (code, own) = server.ask("GET", "site.test", "/own403/", "");
    assert!(code == 403 && own.contains("the tenant's own 403"), "{own}");
    drop(actor);

    let mut busy = node.with_config();
    busy.config.unavailable = true;
    let mut actor = busy.open();
    let closing = restriction(2, 0, closing.measure);
    done(actor.handle(impose(20, &alice(), &closing, &[site])));
    for method in ["GET", "POST"] {
        let (code, text) = server.ask(method, "alias.test", "/", "");
        assert!(code == 503 && text.contains("Retry-After: 3600") && text.contains(&number(2).to_string()), "{text}");
        assert!(text.contains("X-Hikeshi: closed"), "{text}");
    }
    done(actor.handle(lift(21, &alice(), &closing, false)));
    assert_eq!(server.get("site.test"), 200);
}

fn passes(node: &Node, server: &Server, actor: &mut act::Actor, site: &SiteHandle, other_host: &str) {
    let hex = "ab".repeat(16);
    let cookie = format!("Cookie: a=b; hkpass={hex}; c=d\r\n");
    let link = format!("/__hk/pass?t={hex}");
    assert_eq!(server.ask("GET", "site.test", "/", &cookie).0, 403, "no pass file yet");
    let (code, text) = server.ask("GET", "site.test", &link, "");
    assert!(matches!(code, 403 | 404) && !text.contains("Set-Cookie"), "{text}");

    let until = Moment(node.clock.0.lock().unwrap().0.0) + model::Span::hours(1);
    let sites = std::slice::from_ref(site);
    done(actor.handle(open_pass(2, &alice(), sites, PassKey::Token(TOKEN), until)));
    let (code, text) = server.ask("GET", "alias.test", &link, "");
    assert_eq!(code, 302, "{text}");
    assert!(text.contains(&format!("Set-Cookie: hkpass={hex}; Path=/; HttpOnly; SameSite=Lax\r\n")), "{text}");
    assert!(text.contains("Cache-Control: no-store") && text.contains("Location: "), "{text}");
    assert_eq!(server.ask("GET", "site.test", "/", &cookie).0, 200, "owner passes");
    assert_eq!(server.ask("GET", "site.test", "/", "").0, 403, "others do not");
    for forged in ["/../../etc/passwd", "", "none", &"AB".repeat(16), &"ab".repeat(15), &"cd".repeat(16)] {
        let cookie = format!("Cookie: hkpass={forged}\r\n");
        assert_eq!(server.ask("GET", "site.test", "/", &cookie).0, 403, "{forged}");
        let (code, text) = server.ask("GET", "site.test", &format!("/__hk/pass?t={forged}"), "");
        assert!(code != 302 && !text.contains("Set-Cookie"), "{forged}: {text}");
    }
    assert_eq!(server.get(other_host), 200);

    done(actor.handle(open_pass(3, &alice(), sites, PassKey::Address("127.0.0.1".parse().unwrap()), until)));
    assert_eq!(server.get("site.test"), 200, "by address");
    node.pass_time(3601);
    actor.tick();
    assert_eq!(server.get("site.test"), 403, "address pass ended");
    assert_eq!(server.ask("GET", "site.test", "/", &cookie).0, 403, "token pass ended");
    assert!(!node.gate().join("pass/nginx").read_dir().is_ok_and(|mut d| d.next().is_some()), "files are gone");
}

#[test]
fn nginx_closes_by_the_name_of_the_block_whatever_the_client_says() {
    if !Path::new("/usr/sbin/nginx").exists() || !is_root() {
        skipped("nginx is not installed or this is not root");
        return;
    }
    let (node, port) = (Node::new(), 17_151);
    let folder = node.folder.path();
    let (one, two) = (root(folder, "one"), root(folder, "two"));
    std::fs::write(folder.join("gate.conf"), act::gate::nginx_include(&node.gate()).unwrap()).unwrap();
    let include = format!("include {};", folder.join("gate.conf").display());
    let own = "error_page 403 /own.html; location /own403/ { deny all; } location / { try_files $uri $uri/ /index.html; } location @x { return 200; } expires 30d;";
    // The naive twin is named by $host: an alias walks past it.
    let naive = format!("if (-f \"{}/nginx/$host\") {{ return 403; }}", node.gate().display());
    let conf = format!(
        "daemon off; pid {f}/nginx.pid; error_log {f}/error.log; user www-data; events {{ }}
http {{ include /etc/nginx/mime.types; access_log off; client_body_temp_path {f}/body; disable_symlinks on;
error_page 404 /my404.html;
server {{ listen 127.0.0.1:{port} default_server; {include} server_name site.test alias.test *.wild.test; root {one}; {own} }}
server {{ listen 127.0.0.1:{port}; {include} server_name other.test; root {two}; if ($arg_old) {{ rewrite ^ /own.html last; }} }}
server {{ listen 127.0.0.1:{port}; error_page 463 /x; server_name hidden.test; root {two}; }}
server {{ listen 127.0.0.1:{naive_port} default_server; {naive} server_name site.test alias.test; root {one}; }}
server {{ listen 127.0.0.1:{port}; {include} server_name .Dot.test; root {two}; }}
server {{ listen 127.0.0.1:{port}; {include} server_name ~^re\\d+\\.test$; root {two}; }} }}
",
        f = folder.display(),
        one = one.display(),
        two = two.display(),
        naive_port = port + 1,
    );
    std::fs::write(folder.join("nginx.conf"), conf).unwrap();
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(folder.join("nginx.conf")).arg("-e").arg(folder.join("error.log"));
    let server = Server::start(port, command);
    let (_, rewritten) = server.ask("GET", "other.test", "/?old=1", "");
    assert!(rewritten.contains("the tenant's own 403"), "own rewrite rules still work: {rewritten}");
    // Error pages of `http` reach a vhost only while it has none of its own; the twin shows what one would do.
    let missing = |host: &str| server.ask("GET", host, "/missing", "").1.contains("the host's own 404");
    assert!(missing("other.test") && !missing("hidden.test"), "inherited error pages still work");

    let mut actor = node.open();
    let handle = site("site.test", vec![GateKey::Nginx("site.test".into())]);
    let closing = restriction(7, 0, Measure::CloseSite { site: handle.domain.clone() });
    done(actor.handle(impose(100, &alice(), &closing, std::slice::from_ref(&handle))));
    let twin = Server { port: port + 1, child: sleeper(test_uid()) };
    assert_eq!((twin.get("site.test"), twin.get("alias.test")), (403, 200), "the twin must let the alias through");
    done(actor.handle(lift(101, &alice(), &closing, false)));
    for (next, key, host) in [(110, ".Dot.test", "x.dot.test"), (120, "~^re\\d+\\.test$", "re7.test")] {
        let handle = site(host, vec![GateKey::Nginx(key.into())]);
        let closing = restriction(8, 0, Measure::CloseSite { site: handle.domain.clone() });
        done(actor.handle(impose(next, &alice(), &closing, std::slice::from_ref(&handle))));
        assert_eq!(server.get(host), 403, "{key}");
        done(actor.handle(lift(next + 1, &alice(), &closing, false)));
    }
    drop(actor);
    std::fs::remove_file(node.config.state_dir.join("journal")).unwrap();
    check(&node, &server, handle, "other.test");
}

#[test]
fn apache_closes_by_the_document_root_whatever_the_client_or_the_tenant_says() {
    if !Path::new("/usr/sbin/apache2").exists() || !is_root() {
        skipped("Apache is not installed or this is not root");
        return;
    }
    let (node, port) = (Node::new(), 17_161);
    let folder = node.folder.path();
    let (one, two, app) = (root(folder, "one"), root(folder, "two"), root(folder, "app"));
    std::fs::write(folder.join("gate.conf"), act::gate::apache_include(&node.gate()).unwrap()).unwrap();
    // In Debian's order: proxy before rewrite.
    let modules = [
        "mpm_event",
        "alias",
        "authz_core",
        "authz_host",
        "dir",
        "env",
        "headers",
        "mime",
        "proxy",
        "proxy_http",
        "rewrite",
        "setenvif",
    ];
    let modules: String =
        modules.iter().map(|m| format!("LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n")).collect();
    let f = folder.display();
    let naive = format!("RewriteEngine On\nRewriteCond {f}/gate/naive/%{{SERVER_NAME}} -f\nRewriteRule ^ - [F]");
    let vhost = |port: u16, names: &str, root: &Path, gate: &str| {
        format!(
            "<VirtualHost 127.0.0.1:{port}>\n{gate}\n{names}\nDocumentRoot {}\nDirectoryIndex index.html\nRewriteEngine On\nRewriteCond %{{QUERY_STRING}} old\nRewriteRule ^/$ /own.html [PT]\n</VirtualHost>\n",
            root.display()
        )
    };
    // An application behind the server: its requests never touch the document root.
    let proxied = format!(
        "ServerName app.test\nProxyPass / http://127.0.0.1:{}/\n<Location \"/\">\nRequire all granted\n</Location>",
        port + 1
    );
    let include = format!("Include {f}/gate.conf");
    let names = "ServerName site.test\nServerAlias alias.test *.wild.test";
    let conf = format!(
        "ServerRoot /etc/apache2\nPidFile {f}/apache.pid\nDefaultRuntimeDir {f}\nErrorLog {f}/error.log\n{modules}\nUser www-data\nGroup www-data\nListen 127.0.0.1:{port}\nListen 127.0.0.1:{}\nServerName localhost\nTypesConfig /etc/mime.types\nStartServers 1\n<Directory />\nRequire all denied\nAllowOverride None\n</Directory>\n<Directory {f}>\nRequire all granted\nAllowOverride All\nOptions SymLinksIfOwnerMatch\n</Directory>\n{}{}{}",
        port + 1,
        vhost(port, names, &one, &include),
        vhost(port, "ServerName other.test", &two, &include),
        vhost(port, &proxied, &app, &include) + &vhost(port + 1, names, &one, &naive),
    );
    std::fs::write(folder.join("apache.conf"), conf).unwrap();
    let mut command = Command::new("/usr/sbin/apache2");
    command.arg("-f").arg(folder.join("apache.conf")).arg("-DFOREGROUND");
    let server = Server::start(port, command);
    let (_, rewritten) = server.ask("GET", "other.test", "/?old=1", "");
    assert!(rewritten.contains("the tenant's own 403"), "own rewrite rules still work: {rewritten}");

    std::fs::create_dir(node.gate().join("naive")).unwrap();
    std::fs::write(node.gate().join("naive/site.test"), "").unwrap();
    let twin = Server { port: port + 1, child: sleeper(test_uid()) };
    assert_eq!((twin.get("site.test"), twin.get("alias.test")), (403, 200), "the twin must let the alias through");
    std::fs::remove_dir_all(node.gate().join("naive")).unwrap();
    for unavailable in [false, true] {
        let mut node = node.with_config();
        node.config.unavailable = unavailable;
        let handle = site("app.test", vec![GateKey::Apache(app.to_str().unwrap().into())]);
        let closing = restriction(30 + u16::from(unavailable), 0, Measure::CloseSite { site: handle.domain.clone() });
        let mut actor = node.open();
        assert_eq!(server.get("app.test"), 200, "the application answers");
        done(actor.handle(impose(200 + u64::from(unavailable) * 2, &alice(), &closing, &[handle])));
        for path in ["/", "/x?y=z"] {
            let (code, text) = server.ask("POST", "app.test", path, "");
            assert_eq!(code, if unavailable { 503 } else { 403 }, "{text}");
            assert!(text.contains(&closing.id.incident.to_string()), "{text}");
        }
        done(actor.handle(lift(201 + u64::from(unavailable) * 2, &alice(), &closing, false)));
        assert_eq!(server.get("app.test"), 200);
    }
    check(&node, &server, site("site.test", vec![GateKey::Apache(one.to_str().unwrap().into())]), "other.test");
}
