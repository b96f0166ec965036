//! Tests of server blocks: names, roots, listens, includes.

use expect_test::{Expect, expect};

use super::super::testing::Folder;
use super::*;

/// One line a server block.
fn told(web: &Web, folder: &Folder) -> String {
    let mut out = String::new();
    for v in &web.vhosts {
        let root = match &v.root {
            Root::At(path) => shown(path),
            Root::Nowhere => "nowhere".into(),
            Root::Unclear(why) => format!("unclear: {why}"),
        };
        let probes: Vec<String> =
            v.probes.iter().map(|p| format!("{}{}", p.address, if p.tls { "+tls" } else { "" })).collect();
        let only = if v.redirects_only { " redirects-only" } else { "" };
        out += &format!("{:?} {root} [{}]{only} gate {:?}\n", v.names, probes.join(" "), gate_name(&v.names[0]));
    }
    for u in &web.unclear {
        out += &format!("! {}: {}\n", u.subject, u.why);
    }
    out.replace(folder.path().to_str().unwrap(), "@")
}

fn check(http: &str, right: Expect) {
    let folder = Folder::new();
    let conf = folder.write("nginx.conf", format!("events {{}}\nhttp {{\n{http}\n}}\n"));
    let source = NginxSource { conf, prefix: "/usr/share/nginx".into() };
    let web = read(&source, &mut Reader::default());
    right.assert_eq(&told(&web, &folder));
}

#[test]
fn names_listens_and_roots_are_those_that_nginx_uses() {
    check(
        "server { listen 80; listen [::]:80; listen 443 ssl; server_name A.jp www.a.jp; root /home/a/www; }",
        expect![[r#"
            ["a.jp", "www.a.jp"] /home/a/www [127.0.0.1:80 [::1]:80 127.0.0.1:443+tls] gate Some("a.jp")
        "#]],
    );
    check(
        "server { root html/; server_name .a.jp; }",
        expect![[r#"
        [".a.jp"] /usr/share/nginx/html [127.0.0.1:80] gate Some("a.jp")
    "#]],
    );
    check(
        "server { listen unix:/run/x; listen 192.0.2.1:81 default_server; server_name ~^(?<n>.+)$ b.jp; root /b; }",
        expect![[r#"
            ["~^(?<n>.+)$", "b.jp"] /b [192.0.2.1:81] gate None
        "#]],
    );
    check(
        "server { listen 80; server_name \"\"; return 444; }",
        expect![[r#"
        [""] /usr/share/nginx/html [127.0.0.1:80] redirects-only gate None
    "#]],
    );
    check(
        "server { server_name *.a.jp _; root '/a b'; }",
        expect![[r#"
        ["*.a.jp", "_"] /a b [127.0.0.1:80] gate Some("*.a.jp")
    "#]],
    );
}

#[test]
fn tls_and_proxy_protocol_hold_for_every_block_on_the_socket() {
    check(
        "server { listen 443 ssl; server_name a.jp; root /a; } server { listen 443; server_name b.jp; root /b; }
         server { listen 82; server_name c.jp; root /c; } server { listen 82 proxy_protocol; server_name d.jp; root /d; }",
        expect![[r#"
            ["a.jp"] /a [127.0.0.1:443+tls] gate Some("a.jp")
            ["b.jp"] /b [127.0.0.1:443+tls] gate Some("b.jp")
            ["c.jp"] /c [] gate Some("c.jp")
            ["d.jp"] /d [] gate Some("d.jp")
        "#]],
    );
}

#[test]
fn a_root_may_be_inherited_a_constant_or_that_of_location_slash() {
    check(
        "server { server_name a.jp; } root /late;
         server { server_name b.jp; set $base /home/b; root $base/www/${base2}x; set $base2 y; }
         server { server_name c.jp; location / { root /home/c; } }
         server { server_name d.jp; root /home/$host; }
         server { server_name e.jp; set $r /a; if ($x) { set $r /b; } root $r; }",
        expect![[r#"
            ["a.jp"] /late [127.0.0.1:80] gate Some("a.jp")
            ["b.jp"] /home/b/www/yx [127.0.0.1:80] gate Some("b.jp")
            ["c.jp"] /home/c [127.0.0.1:80] gate Some("c.jp")
            ["d.jp"] unclear: the root "/home/$host" depends on $host, which is not a constant of this server block; write the sites into accounts.d [127.0.0.1:80] gate Some("d.jp")
            ["e.jp"] unclear: the root "$r" depends on $r, which is not a constant of this server block; write the sites into accounts.d [127.0.0.1:80] gate Some("e.jp")
        "#]],
    );
}

#[test]
fn redirects_and_proxies_have_no_root_of_their_own() {
    check(
        "server { server_name a.jp; return 301 https://a.jp$request_uri; }
         server { server_name b.jp; location / { proxy_pass http://127.0.0.1:8080; } }
         server { server_name c.jp; rewrite ^ https://$host permanent; }
         server { server_name d.jp; location /.well-known { root /acme; } location / { return 301 https://d.jp; } }",
        expect![[r#"
            ["a.jp"] /usr/share/nginx/html [127.0.0.1:80] redirects-only gate Some("a.jp")
            ["b.jp"] nowhere [127.0.0.1:80] gate Some("b.jp")
            ["c.jp"] /usr/share/nginx/html [127.0.0.1:80] redirects-only gate Some("c.jp")
            ["d.jp"] /usr/share/nginx/html [127.0.0.1:80] redirects-only gate Some("d.jp")
        "#]],
    );
}

#[test]
fn a_file_that_does_not_parse_is_reported_with_its_line_and_the_rest_is_read() {
    let folder = Folder::new();
    let conf = folder.write("nginx.conf", "http { include sites/*.conf; include none.conf; }");
    folder.write("sites/a.conf", "server { server_name a.jp; root /a; }");
    folder.write("sites/b.conf", "server { server_name b1.jp; root /b; }\nserver {\n server_name b.jp;;\n root /b; }");
    folder.write("sites/c.conf", b"server { server_name c.jp; root /c; }\n\xff\0\"");
    folder.write("sites/.hidden.conf", "server { server_name hidden.jp; }");
    let web = read(&NginxSource { conf, prefix: "/p".into() }, &mut Reader::default());
    expect![[r#"
        ["a.jp"] /a [127.0.0.1:80] gate Some("a.jp")
        ["b1.jp"] /b [127.0.0.1:80] gate Some("b1.jp")
        ["c.jp"] /c [127.0.0.1:80] gate Some("c.jp")
        ! @/sites/b.conf:3: nginx configuration does not parse: ";" or "{" without a directive before it; what follows in this file is not known. Run "nginx -t" and correct it
        ! @/sites/c.conf:2: nginx configuration does not parse: the text ends before ";"; what follows in this file is not known. Run "nginx -t" and correct it
        ! @/none.conf: nginx configuration was not read: @/none.conf: No such file or directory (os error 2); check the path and the rights
    "#]]
    .assert_eq(&told(&web, &folder));
}

#[test]
fn a_circle_of_includes_ends_and_is_reported() {
    let folder = Folder::new();
    let conf = folder.write("nginx.conf", "http { include a.conf; }");
    folder.write("a.conf", "include b.conf; include b.conf;");
    folder.write("b.conf", "include a.conf; include a.conf; server { server_name x.jp; root /x; }");
    let web = read(&NginxSource { conf, prefix: "/p".into() }, &mut Reader::default());
    assert_eq!(web.vhosts.len(), 1);
    assert!(web.unclear.iter().any(|u| u.why.contains("look for a circle")), "{:?}", web.unclear);
}
