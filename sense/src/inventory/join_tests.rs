//! Tests of ownership: who gets a virtual host, and when nobody does.

use std::os::unix::fs::symlink;

use expect_test::{Expect, expect};
use rustix::process::getuid;

use super::super::apache_sites::{self, ApacheSource};
use super::super::nginx_sites::{self, NginxSource};
use super::super::testing::Folder;
use super::*;

/// Accounts `a` (uid 2001) and `b` (uid 2002) with homes `@/home/a` and `@/home/b`.
struct Node {
    folder: Folder,
    owners: Vec<Owner>,
}

impl Node {
    fn new() -> Node {
        let folder = Folder::new();
        let owner = |name: &str, uid: u32| {
            let home = folder.folder(&format!("home/{name}"));
            Owner { name: name.parse().unwrap(), uid, homes: [home.clone(), home], declared: Vec::new() }
        };
        let owners = vec![owner("a", 2001), owner("b", 2002)];
        Node { folder, owners }
    }

    /// Sites and reports, one a line.
    fn told(&self, nginx: &str, apache: &str) -> String {
        let mut reader = Reader::default();
        let conf = self.folder.write("nginx.conf", format!("http {{ {nginx} }}"));
        let mut vhosts = nginx_sites::read(&NginxSource { conf, prefix: "/p".into() }, &mut reader).vhosts;
        let conf = self.folder.write("apache.conf", format!("Listen 8080\n{apache}"));
        let source = ApacheSource { conf, server_root: "/p".into(), envvars: None, defines: Vec::new() };
        vhosts.extend(apache_sites::read(&source, &mut reader).vhosts);
        let joined = join(&self.owners, &vhosts, &mut reader);
        let mut out = String::new();
        for (owner, sites) in self.owners.iter().zip(joined.sites) {
            for s in sites {
                let aliases: Vec<&str> = s.aliases.iter().map(|a| a.as_str()).collect();
                let probes: Vec<String> = s.probes.iter().map(|p| p.address.to_string()).collect();
                out += &format!("{}: {} {aliases:?} {} {:?} {probes:?}\n", owner.name, s.domain, s.root, s.gates);
            }
        }
        for u in joined.unclear {
            let names: Vec<&str> = u.candidates.iter().map(|c| c.as_str()).collect();
            out += &format!("! {}: {} {names:?}\n", u.subject, u.why);
        }
        out.replace(self.folder.path().to_str().unwrap(), "@")
    }
}

fn check(nginx: &str, apache: &str, right: Expect) {
    right.assert_eq(&Node::new().told(nginx, apache));
}

#[test]
fn blocks_of_one_name_or_root_on_both_servers_are_one_site() {
    check(
        "server { listen 80; server_name x.jp www.x.jp; root @/home/a/w; }
         server { listen 443 ssl; server_name www.x.jp x.jp; root @/home/a/w; }",
        "<VirtualHost *:8080>\nServerName x.jp\nServerAlias old.x.jp\nDocumentRoot @/home/a/w/public\n</VirtualHost>\n",
        expect![[r#"
            a: x.jp ["www.x.jp", "old.x.jp"] @/home/a/w [Nginx("x.jp"), Nginx("www.x.jp"), Apache("@/home/a/w/public")] ["127.0.0.1:80", "127.0.0.1:443", "127.0.0.1:8080"]
        "#]],
    );
}

#[test]
fn a_proxy_belongs_to_the_site_of_its_name() {
    check(
        "server { listen 80; server_name x.jp; location / { proxy_pass http://127.0.0.1:8080; } }
         server { listen 80; server_name y.jp; location / { proxy_pass http://127.0.0.1:3000; } }",
        "<VirtualHost *:8080>\nServerName x.jp\nDocumentRoot @/home/a/w\n</VirtualHost>\n",
        expect![[r#"
            a: x.jp [] @/home/a/w [Apache("@/home/a/w"), Nginx("x.jp")] ["127.0.0.1:8080", "127.0.0.1:80"]
            ! @/nginx.conf:2: nginx y.jp: it passes requests on and has no root, so its owner cannot be told; write the site into accounts.d when it is a tenant's []
        "#]],
    );
}

#[test]
fn a_link_into_another_home_makes_the_site_unclear() {
    let node = Node::new();
    node.folder.folder("home/b/w");
    symlink(node.folder.path().join("home/b/w"), node.folder.path().join("home/a/w")).unwrap();
    expect![[r#"
        b: y.jp [] @/home/b/w [Nginx("y.jp")] ["127.0.0.1:80"]
        ! @/nginx.conf:1: nginx x.jp: the path as configured (@/home/a/w), the path behind its links (@/home/b/w) and the owner of the folder (its owner is uid UID) point to different accounts; write the site into accounts.d for the right one ["a", "b"]
    "#]]
    .assert_eq(
        &node
            .told("server { server_name x.jp; root @/home/a/w; } server { server_name y.jp; root @/home/b/w; }", "")
            .replace(&format!("uid {}", getuid().as_raw()), "uid UID"),
    );
}

#[test]
fn a_root_outside_of_all_homes_needs_the_uid_or_a_word_of_the_operator() {
    let mut node = Node::new();
    node.folder.folder("srv/x");
    let nginx = "server { server_name x.jp; root @/srv/x; } server { server_name z.jp; root @/srv/none; }";
    assert_eq!(node.told(nginx, "").matches("lies in no account's home").count(), 2);
    node.owners[1].declared.push(("z.jp".parse().unwrap(), node.folder.path().join("srv/none")));
    // The runner's own uid owns the folder.
    node.owners[0].uid = getuid().as_raw();
    expect![[r#"
        a: x.jp [] @/srv/x [Nginx("x.jp")] ["127.0.0.1:80"]
        b: z.jp [] @/srv/none [Nginx("z.jp")] ["127.0.0.1:80"]
    "#]]
    .assert_eq(&node.told(nginx, ""));
}

#[test]
fn nobody_takes_a_site_away_by_naming_it() {
    check(
        "server { server_name x.jp; root @/home/a/w; } server { server_name y.jp x.jp; root @/home/b/w; }
         server { server_name both.jp; root @/home/a/v; } server { server_name both.jp; root @/home/b/v; }",
        "",
        expect![[r#"
            a: x.jp [] @/home/a/w [Nginx("x.jp")] ["127.0.0.1:80"]
            b: y.jp [] @/home/b/w [Nginx("y.jp")] ["127.0.0.1:80"]
            ! both.jp: virtual hosts of several accounts have this as their first name; none of them is a site until one is removed ["a", "b"]
            ! x.jp: virtual hosts of several accounts carry this name; it stays with the one whose first name it is. Remove it from the other ["a", "b"]
        "#]],
    );
}

#[test]
fn a_gate_that_would_close_something_else_is_no_gate() {
    check(
        "server { server_name _ x.jp; root @/home/a/w; } server { server_name _; root /usr; }
         server { server_name ~^www; root @/home/a/w; } server { server_name ~^v; root @/home/b/w; }",
        "",
        expect![[r#"
            a: x.jp [] @/home/a/w [] ["127.0.0.1:80"]
            ! @/nginx.conf:1: nginx _: the root /usr lies in no account's home and its owner is uid 0; nothing to do for the host's own pages, else write the site into accounts.d []
            ! _: several virtual hosts that are not one site share this first name or root, so closing one would close the others; give each its own first name ["a"]
            ! @/nginx.conf:2: nginx ~^www: the first server_name is no plain name, so this server block cannot be closed; put a host name first ["a"]
            ! @/nginx.conf:2: nginx ~^v: no name of this virtual host is a host name, so it cannot be spoken of; give it a server name ["b"]
        "#]],
    );
}

#[test]
fn a_location_in_another_home_and_a_second_root_are_reported() {
    check(
        "server { server_name x.jp; root @/home/a/w; location /p { alias @/home/b/p/; } }
         server { listen 81; server_name x.jp; root @/home/a/v; }",
        "",
        expect![[r#"
            a: x.jp [] @/home/a/w [Nginx("x.jp")] ["127.0.0.1:80", "127.0.0.1:81"]
            ! @/nginx.conf:1: nginx x.jp: a location of this virtual host serves @/home/b/p, which lies in another account's home; what happens there is not bound to this site. Remove it unless it is meant ["a", "b"]
            ! x.jp: this site has two roots, @/home/a/w and @/home/a/v; only what lies below the first is bound to the site ["a"]
        "#]],
    );
}
