//! Tests of Apache's virtual hosts: conditions, variables, names, addresses, includes.

use expect_test::{Expect, expect};

use super::super::testing::Folder;
use super::*;

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
        out += &format!("{:?} {root} [{}]{only}{}\n", v.names, probes.join(" "), v.weakens_gate.join(", "));
    }
    for u in &web.unclear {
        out += &format!("! {}: {}\n", u.subject, u.why);
    }
    out.replace(folder.path().to_str().unwrap(), "@")
}

fn check(conf: &str, right: Expect) {
    let folder = Folder::new();
    folder.write("envvars", "export A=/env\nexport B=$A/b$SUFFIX\nX=`id`\nexport C=\"${A}/c\"\n");
    folder.write("sites/a.conf", "<VirtualHost *:80>\nServerName a.jp\nDocumentRoot www\n</VirtualHost>\n");
    let conf = folder.write("apache.conf", conf);
    let source = ApacheSource {
        conf,
        server_root: folder.path().to_owned(),
        envvars: Some(folder.path().join("envvars")),
        defines: vec!["LIVE".into()],
    };
    let web = read(&source, &mut Reader::default());
    right.assert_eq(&told(&web, &folder));
}

#[test]
fn names_addresses_and_roots_are_those_that_httpd_uses() {
    check(
        "Listen 80\nListen [::]:81\nListen 192.0.2.7:82\nDocumentRoot /main\n\
         <VirtualHost *:80 [2001:db8::1]:81 192.0.2.7:82 192.0.2.8:82>\nServerName https://A.jp:80\n\
         ServerAlias www.A.jp *.b.jp\nDocumentRoot \"/home/a//x/\"\n</VirtualHost>\n\
         <VirtualHost _default_>\nServerName d.jp\n</VirtualHost>\n",
        expect![[r#"
            ["a.jp", "www.a.jp", "*.b.jp"] /home/a/x [127.0.0.1:80 [2001:db8::1]:81 192.0.2.7:82]
            ["d.jp"] /main [127.0.0.1:80 [::1]:81 192.0.2.7:82]
        "#]],
    );
}

#[test]
fn conditions_and_variables_are_followed_in_order() {
    check(
        "LoadModule ssl_module /m/mod_ssl.so\nListen 443\nDefine HOST c.jp\nInclude sites\nIncludeOptional none*/x none\n\
         <IfModule mod_ssl.c>\n<VirtualHost *:443>\nServerName ${HOST}\nDocumentRoot ${B}/${C}\nSSLEngine on\n</VirtualHost>\n</IfModule>\n\
         <IfModule !ssl_module>\n<VirtualHost *:443>\nServerName no1.jp\n</VirtualHost>\n</IfModule>\n\
         <IfModule mod_none.c>\n<VirtualHost *:443>\nServerName no2.jp\n</VirtualHost>\n</IfModule>\n\
         <IfDefine !LIVE>\n<VirtualHost *:443>\nServerName no3.jp\n</VirtualHost>\n</IfDefine>\n\
         <VirtualHost *:443>\nServerName e.jp\nDocumentRoot ${NONE}/x\n</VirtualHost>\n",
        expect![[r#"
            ["a.jp"] @/www []
            ["c.jp"] /env/b/env/c [127.0.0.1:443+tls]
            ["e.jp"] unclear: the root "${NONE}/x" uses a variable that is not defined; define it or write the site into accounts.d [127.0.0.1:443]
        "#]],
    );
}

#[test]
fn what_cannot_be_told_is_said() {
    check(
        "Listen 80\n<Macro V $n>\n<VirtualHost *:80>\nServerName $n\n</VirtualHost>\n</Macro>\nUse V x.jp\n\
         <IfModule mod_x.c>\n<VirtualHost www.y.jp:80>\nServerName y.jp\nVirtualDocumentRoot /home/%0\n</VirtualHost>\n</IfModule>\n",
        expect![[r#"
            ["y.jp"] unclear: virtualdocumentroot makes the root out of the name that a visitor sends; write the sites into accounts.d []
            ! @/apache.conf:7: virtual hosts made by a macro (Use) are not known to Hikeshi; write their sites into accounts.d, and put the gate's Include into the macro
            ! @/apache.conf:8: whether <ifmodule mod_x.c> holds cannot be told, so its virtual hosts are counted; write the sites into accounts.d when that is wrong
            ! @/apache.conf:9: "www.y.jp:80" is not an IP address, so this virtual host is not probed there; write the address
        "#]],
    );
}

#[test]
fn proxies_redirects_and_weak_gates_are_known() {
    check(
        "Listen 80\nDocumentRoot /main\n\
         <VirtualHost *:80>\nServerName p.jp\nProxyPass / http://127.0.0.1:3000/\n</VirtualHost>\n\
         <VirtualHost *:80>\nServerName r.jp\nRedirect permanent / https://r.jp/\n</VirtualHost>\n\
         <VirtualHost *:80>\nServerName w.jp\nDocumentRoot /w\nRewriteEngine Off\nErrorDocument 403 /x\n</VirtualHost>\n",
        expect![[r#"
            ["p.jp"] nowhere [127.0.0.1:80]
            ["r.jp"] /main [127.0.0.1:80] redirects-only
            ["w.jp"] /w [127.0.0.1:80]RewriteEngine off, ErrorDocument 403
        "#]],
    );
}
