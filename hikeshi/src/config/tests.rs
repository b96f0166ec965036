//! Tests of the configuration: defaults, all mistakes at once, the example, the hash.

use expect_test::{Expect, expect};

use super::*;

fn check_text(text: &str, right: Expect) {
    let said = match Config::parse(Path::new("h.toml"), text) {
        Ok(_) => "right\n".to_owned(),
        Err(errors) => errors.iter().map(|e| format!("{e}\n")).collect(),
    };
    right.assert_eq(&said);
}

#[test]
fn an_empty_file_is_right_and_only_observes() {
    let config = Config::parse(Path::new("h.toml"), "").unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.mode, Mode::Observe);
}

#[test]
fn the_example_is_right_and_names_every_key() {
    let text = include_str!("../../hikeshi.toml.example");
    let config = Config::parse(Path::new("hikeshi.toml.example"), text).unwrap();
    // Keys with a default stand in the example at this default.
    let serde_json::Value::Object(tables) = serde_json::to_value(&config).unwrap() else { panic!("a table") };
    for (table, keys) in tables {
        let serde_json::Value::Object(keys) = keys else { continue };
        assert!(text.contains(&format!("[{table}]")), "{table}");
        for key in keys.keys() {
            assert!(text.contains(&format!("\n{key} = ")), "{table}.{key}");
        }
    }
    assert_eq!((config.mail, config.net, config.limits, config.release, config.paths), {
        let d = Config::default();
        (d.mail, d.net, d.limits, d.release, d.paths)
    });
}

#[test]
fn all_mistakes_are_said_at_once_with_line_key_and_what_is_right() {
    check_text(
        "mode = \"enforced\"\n[node]\ntenant_uids = \"0-100\"\ncuntry = \"jp\"\ncountry = \"Japan\"\n\
         host_addresses = [\"192.0.2.1\", \"x\"]\n[limits]\naccounts_per_hour = -1\n[release]\npass = \"2 parsecs\"\n\
         [net]\nnever = [\"192.0.2.0/40\"]\n[colour]\nred = 1\n[web]\nnginx = \"etc/nginx\"\n[notice]\noperator_mail = \"a@b.jp, c@d.jp\"\n",
        expect![[r#"
            h.toml:1: mode: unknown variant `enforced`, expected one of `observe`, `advise`, `enforce`
            h.toml:3: node.tenant_uids: "0-100" is not a range of tenant uids: write first-last with first at least 500, as in "20000-59999"
            h.toml:4: node.cuntry: unknown field `cuntry`, expected one of `tenant_uids`, `host_addresses`, `country`, `time_zone`, `shared_uids`, `passwd`, `accounts_dir`
            h.toml:5: node.country: "Japan" is wrong here: write the two letters of the country, as in "jp"
            h.toml:6: node.host_addresses: not an IP address; write it as in "192.0.2.10" or "2001:db8::10"
            h.toml:8: limits.accounts_per_hour: -1 is out of bounds: write 0 to 1000
            h.toml:10: release.pass: "2 parsecs" is wrong here: write a number and s, min, h or d, as in "2h"
            h.toml:12: net.never: "192.0.2.0/40" is no network; write it as in "198.51.100.0/24", "2001:db8::/32" or "192.0.2.10"
            h.toml:13: colour: unknown field `colour`, expected one of `mode`, `node`, `web`, `mail`, `login`, `net`, `notice`, `limits`, `release`, `paths`
            h.toml:16: web.nginx: "etc/nginx" is wrong here: write an absolute path of plain signs, as in "/etc/hikeshi"
            h.toml:18: notice.operator_mail: "a@b.jp, c@d.jp" is not a mail address: write exactly one address in ASCII, as in owner@example.jp (IDNs in their xn-- form)
        "#]],
    );
    check_text(
        "[node\n",
        expect![[r#"
        h.toml:1: unclosed table, expected `]`
    "#]],
    );
    check_text(
        "[node]\ntenant_uids = 5\n",
        expect![[r#"
        h.toml:2: node.tenant_uids: invalid type: integer `5`, expected a string
    "#]],
    );
}

#[test]
fn paths_and_addresses_that_could_break_out_are_refused() {
    for wrong in ["a", "/a b", "/a;b", "/a\"", "/a/../b", "/a$x", "/a\n", "/あ", ""] {
        assert!(AbsolutePath::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
    let wrong = Config::parse(Path::new("h.toml"), "[paths]\nquarantine = [\"/srv/q\", \"q\"]\n").unwrap_err();
    assert!(wrong[0].key == "paths.quarantine" && wrong[0].what.contains("absolute path"), "{}", wrong[0]);
    for wrong in ["", "https://", "ftp://x", "https://x/", "https://x\"y", "https://a b", "javascript:x"] {
        assert!(Url::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
    for wrong in ["", "127.0.0.1", "x:0", ":25", "a b:25", "x:99999"] {
        assert!(Endpoint::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
    assert!(Endpoint::try_from("[::1]:25".to_owned()).is_ok());
    for wrong in ["", "5", "h", "-1h", "0s", "9999999999999999999d", "4000d", "1 year", "山h"] {
        assert!(Delay::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}

#[test]
fn a_deny_list_is_the_configured_one_or_one_that_is_there() {
    let text = "[login]\nssh_deny = \"/a/ssh\"\nftp_deny = \"/a/ftp\"\nmail_deny = \"/a/mail\"\n";
    let lists = |text: &str| {
        let login = Config::parse(Path::new("h.toml"), text).unwrap().login;
        [login.ssh_deny(), login.ftp_deny(), login.mail_deny()]
    };
    assert_eq!(lists(text), ["/a/ssh", "/a/ftp", "/a/mail"].map(|path| Some(PathBuf::from(path))));
    let usual = ["/etc/ssh/sshd_config.d/hikeshi.conf", "/etc/ftpusers", "/etc/dovecot/hikeshi-deny"];
    for (list, usual) in lists("").into_iter().zip(usual) {
        let there = if usual.contains("ssh") {
            Path::new(usual).parent().unwrap().is_dir()
        } else {
            Path::new(usual).is_file()
        };
        assert_eq!(list, there.then(|| PathBuf::from(usual)));
    }
    check_text(
        "[login]\nssh_deny = \"x\"\nftp = \"/a\"\n",
        expect![[r#"
            h.toml:2: login.ssh_deny: "x" is wrong here: write an absolute path of plain signs, as in "/etc/hikeshi"
            h.toml:3: login.ftp: unknown field `ftp`, expected one of `ssh_deny`, `ssh_config`, `ssh_pid`, `ftp_deny`, `mail_deny`, `mail_config`, `logs`, `guarded_logs`
        "#]],
    );
}

#[test]
fn doubts_are_warnings_not_errors() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("hikeshi.toml");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o666)).unwrap();
    let checked = check(&path);
    assert!(checked.config.is_some() && checked.errors.is_empty());
    for part in ["operator_mail is missing", "can be written by others (mode 666)"] {
        assert!(checked.warnings.iter().any(|w| w.contains(part)), "{part}: {:?}", checked.warnings);
    }
    assert!(check(&folder.path().join("none")).errors[0].what.contains("an empty file is right"));
}
