//! Tests of the whole reading: sources together, generations, the fingerprint, ten thousand virtual hosts.

use std::fs;
use std::os::unix::fs::chown;
use std::time::{Duration, Instant};

use rustix::process::getuid;

use super::testing::Folder;
use super::*;

/// A node in a folder: needs root, because homes belong to other uids.
fn node(tenants: &[(&str, u32)]) -> Option<(Folder, Sources)> {
    if !getuid().is_root() {
        eprintln!("SKIPPED: needs root, because homes belong to other uids");
        return None;
    }
    let folder = Folder::new();
    let mut lines = String::from("root:x:0:0::/root:/bin/sh\n");
    for (name, uid) in tenants {
        chown(folder.folder(&format!("home/{name}")), Some(*uid), None).unwrap();
        lines += &format!("{name}:x:{uid}:{uid}::@/home/{name}:/bin/sh\n");
    }
    let passwd = folder.write("passwd", lines);
    let conf = folder.write("nginx/nginx.conf", "http { include sites/*; }");
    let sources = Sources {
        passwd: Some(passwd),
        tenant_uids: "2000-59999".parse().unwrap(),
        shared_uids: Vec::new(),
        accounts_dir: Some(folder.folder("accounts.d")),
        nginx: Some(NginxSource { conf, prefix: "/usr/share/nginx".into() }),
        apache: Vec::new(),
        host_addresses: vec!["192.0.2.10".parse().unwrap()],
        time_zone: "Asia/Tokyo".into(),
    };
    Some((folder, sources))
}

#[test]
fn accounts_sites_and_contacts_come_together() {
    let Some((folder, sources)) = node(&[("a", 2001), ("b", 2002)]) else { return };
    folder.write("nginx/sites/a", "server { server_name x.jp; root @/home/a/w; }");
    let contact = "contacts = [{ address = \"o\\u0040c.jp\", role = \"owner\", language = \"ja\" }]\n";
    folder.write("accounts.d/a.toml", format!("[[account]]\nname = \"a\"\nuid = 2001\nhome = \"@/home/a\"\n{contact}"));
    folder.write("accounts.d/bad.toml", "[[account]]\nnames = 1\n");
    folder.write("accounts.d/c.toml", "[[account]]\nname = \"c\"\nuid = 2002\nhome = \"@/home/b\"\n");
    let read = Inventory::read(&sources);
    let names: Vec<&str> = read.accounts.iter().map(|a| a.account.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!(read.accounts[0].contacts[0].address, "o@c.jp");
    assert_eq!(read.accounts[0].sites[0].domain.as_str(), "x.jp");
    assert_eq!((read.accounts[1].time_zone.as_str(), read.accounts[1].sites.len()), ("Asia/Tokyo", 0));
    let unclear: Vec<String> = read.unclear.iter().map(|u| format!("{}: {}", u.subject, u.why)).collect();
    assert_eq!(unclear.len(), 2, "{unclear:?}");
    assert!(unclear[0].contains("bad.toml:2: unknown field `names`"), "{unclear:?}");
    assert!(unclear[1].contains("b has uid 2002 elsewhere"), "{unclear:?}");
}

#[test]
fn a_file_that_a_tenant_can_write_names_no_owner() {
    let Some((folder, sources)) = node(&[("a", 2001)]) else { return };
    let path = folder.write("accounts.d/a.toml", "[[account]]\nname = \"z\"\nuid = 2009\nhome = \"@/home/a\"\n");
    chown(&path, Some(2001), None).unwrap();
    let read = Inventory::read(&sources);
    assert!(read.unclear[0].why.contains("so it is not believed"), "{:?}", read.unclear);
    assert_eq!(read.accounts.len(), 1);
}

#[test]
fn nothing_changed_is_known_without_reading_and_every_change_is_seen() {
    let Some((folder, sources)) = node(&[("a", 2001), ("b", 2002)]) else { return };
    folder.write("nginx/sites/a", "server { server_name x.jp; root @/home/a/w; }");
    folder.folder("home/a/w");
    let fingerprint = || Inventory::read(&sources).fingerprint;
    let before = fingerprint();
    assert!(before.unchanged() && before.paths() > 4);
    fs::write(folder.path().join("home/a/w/new.php"), "").unwrap();
    assert!(before.unchanged(), "what tenants write in their roots is no change of the inventory");
    folder.write("nginx/sites/b", "server { server_name y.jp; root @/home/b/w; }");
    assert!(!before.unchanged(), "a new file below a glob");
    let before = fingerprint();
    folder.write("accounts.d/n.toml", "");
    assert!(!before.unchanged(), "a new file of accounts");
    let before = fingerprint();
    fs::rename(folder.path().join("home/a/w"), folder.path().join("home/a/old")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("home/b"), folder.path().join("home/a/w")).unwrap();
    assert!(!before.unchanged(), "a root became a link");
    assert!(fingerprint().unchanged());
}

#[test]
fn a_reused_uid_is_a_stranger() {
    let entry = |name: &str, uid, generation| AccountEntry {
        account: AccountRef { name: name.parse().unwrap(), uid, generation },
        home: format!("/home/{name}"),
        sites: Vec::new(),
        contacts: Vec::new(),
        time_zone: "UTC".into(),
    };
    let homes = |ids: &[(&str, u64)]| ids.iter().map(|(n, i)| (n.parse().unwrap(), (1, *i))).collect::<Homes>();
    let known = [entry("a", 2001, 1), entry("b", 2002, 3), entry("old", 2003, 2), entry("d", 2004, 1)];
    let before = homes(&[("a", 1), ("b", 2), ("d", 4)]);
    let now =
        || [entry("a", 2001, 1), entry("b", 2002, 1), entry("new", 2003, 1), entry("d", 2004, 1), entry("e", 2005, 1)];
    let seen = |after: &Homes| {
        let mut now = now();
        generations(&known, &before, &mut now, after);
        now.map(|e| e.account.generation)
    };
    assert_eq!(seen(&homes(&[("a", 1), ("b", 2), ("d", 9)])), [1, 3, 3, 2, 1]);
    assert_eq!(seen(&homes(&[("a", 7), ("b", 8), ("d", 9)])), [1, 3, 3, 1, 1], "the whole node moved to another disk");
}

#[test]
fn a_file_describes_a_node_by_itself() {
    let folder = Folder::new();
    let account = "[[account]]\nname = \"h\"\nuid = 2001\nhome = \"/home/h\"\ntime_zone = \"Asia/Tokyo\"\n\
                   sites = [{ domain = \"h.jp\", root = \"/home/h/w\" }]\n";
    let head = "[node]\nhost_addresses = [\"192.0.2.10\"]\ntenant_uids = \"2000-59999\"\n";
    let read = Inventory::from_file(&folder.write("i.toml", format!("{head}{account}"))).unwrap();
    assert_eq!(read.accounts[0].sites[0].root, "/home/h/w");
    assert_eq!(read.node.host_addresses.len(), 1);
    for (text, why) in [
        (account.to_owned(), "[node] is missing"),
        (format!("{head}{account}{account}"), "described twice"),
        (format!("{head}{}", account.replace("2001", "1001")), "not within tenant_uids"),
    ] {
        let error = Inventory::from_file(&folder.write("i.toml", text)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn ten_thousand_virtual_hosts_are_read_within_two_seconds() {
    let names: Vec<(String, u32)> = (0..100).map(|i| (format!("t{i}"), 3000 + i)).collect();
    let tenants: Vec<(&str, u32)> = names.iter().map(|(n, u)| (n.as_str(), *u)).collect();
    let Some((folder, sources)) = node(&tenants) else { return };
    for i in 0..10_000 {
        let text = format!(
            "server {{\n listen 80; listen [::]:80;\n server_name s{i}.jp www.s{i}.jp;\n root @/home/t{}/s{i};\n \
             location / {{ try_files $uri /index.php; }}\n location ~ \\.php$ {{ fastcgi_pass unix:/run/x; }}\n}}\n",
            i % 100
        );
        folder.write(&format!("nginx/sites/s{i}.conf"), text);
    }
    let begun = Instant::now();
    let read = Inventory::read(&sources);
    let took = begun.elapsed();
    assert_eq!(read.accounts.iter().map(|a| a.sites.len()).sum::<usize>(), 10_000);
    assert!(read.unclear.is_empty(), "{:?}", &read.unclear[..3]);
    let begun = Instant::now();
    assert!(read.fingerprint.unchanged());
    eprintln!("read in {took:?}, unchanged in {:?}", begun.elapsed());
    // Debug builds and busy machines are slower than what we promise.
    let bound = if cfg!(debug_assertions) { 10 } else { 2 };
    assert!(took < Duration::from_secs(bound), "{took:?}");
}
