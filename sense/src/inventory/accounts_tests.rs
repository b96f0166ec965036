//! Tests of `accounts.d`: what is refused, with which words and line.

use expect_test::{Expect, expect};

use super::*;

fn check(text: &str, right: Expect) {
    let said = match parse(Path::new("a.toml"), text.as_bytes()) {
        Ok(file) => format!("{} accounts", file.accounts.len()),
        Err(e) => e.to_string(),
    };
    right.assert_eq(&said);
}

const HEAD: &str = "[[account]]\nname = \"a\"\nuid = 2001\nhome = \"/home/a\"\n";

#[test]
fn a_wrong_key_or_value_is_refused_with_its_line_and_what_is_right() {
    check(HEAD, expect!["1 accounts"]);
    check(
        &format!("{HEAD}time_zone = \"Mars/Base\"\n"),
        expect![[
            r#"a.toml:5: "Mars/Base" is not a time zone that this machine knows: write an IANA name, as in Asia/Tokyo"#
        ]],
    );
    check(
        &format!("{HEAD}colour = 1\n"),
        expect![[
            r#"a.toml:5: unknown field `colour`, expected one of `name`, `uid`, `home`, `contacts`, `time_zone`, `sites`, `generation`"#
        ]],
    );
    check(
        &format!("{HEAD}sites = [{{ domain = \"a b\", root = \"/x\" }}]\n"),
        expect![[
            r#"a.toml:5: "a b" is not a domain: a host name such as blog.example.jp (write IDNs in their xn-- form)"#
        ]],
    );
    check(
        &format!("{HEAD}sites = [{{ domain = \"a.jp\", root = \"x\" }}]\n"),
        expect![[r#"a.toml:5: "x" is not an absolute path; begin it with /"#]],
    );
    check("[[account]\n", expect!["a.toml:1: unclosed array table, expected `]`"]);
}

#[test]
fn an_address_is_exactly_one_safe_mailbox() {
    for right in ["owner@example.jp", "a.b+c@xn--wgv71a.jp", "x_y@localhost"] {
        assert!(MailAddress::try_from(right.to_owned()).is_ok(), "{right}");
    }
    for wrong in [
        "",
        "a",
        "@b.jp",
        "a@",
        "a@b@c",
        "a@b.jp,c@d.jp",
        "a@b.jp\r\nBcc: x@y.jp",
        "a b@c.jp",
        "\"a\"@b.jp",
        "A <a@b.jp>",
        "山@b.jp",
        "a@日本.jp",
        "-a@b.jp",
        ".a@b.jp",
        "a..b@c.jp",
        "a@-b.jp",
        "a@b..jp",
        "a@b.jp ",
        "a(x)@b.jp",
        "a@[127.0.0.1]",
    ] {
        assert!(MailAddress::try_from(wrong.to_owned()).is_err(), "{wrong}");
    }
}

#[test]
fn contacts_keep_role_language_and_name() {
    let text = format!(
        "{HEAD}contacts = [{{ address = \"o@x.jp\", role = \"agency\", language = \"en\", name = \"山田 太郎\" }}]\n"
    );
    let file = parse(Path::new("a.toml"), text.as_bytes()).unwrap();
    let contact = &file.accounts[0].contacts()[0];
    assert_eq!((contact.role, contact.language, contact.name.as_str()), (Role::Agency, Language::En, "山田 太郎"));
    let turned = text.replace("太郎", "\\u202etxt");
    assert!(parse(Path::new("a.toml"), turned.as_bytes()).is_err());
}
