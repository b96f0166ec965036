//! Tests of the Apache grammar.

use super::*;

fn shape(nodes: &[Node]) -> String {
    let one = |n: &Node| {
        let words: Vec<String> = n.words().iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        match &n.section {
            None => format!("{}({});", n.name, words.join("|")),
            Some(s) => {
                format!("{}({}){{{}{}", n.name, words.join("|"), shape(&s.inner), if s.complete { "}" } else { "…" })
            }
        }
    };
    nodes.iter().map(one).collect()
}

#[test]
fn the_grammar_is_read_as_httpd_reads_it() {
    for (text, right, error) in [
        ("ServerName a.jp\n", "servername(a.jp);", None),
        ("  DocumentRoot \"/a b/\\\"c\" # no comment\r\n", "documentroot(/a b/\"c|#|no|comment);", None),
        ("ServerAlias a \\\n b\\\nc\n", "serveralias(a|bc);", None),
        ("# a \\\nServerName b\nListen 80", "listen(80);", None),
        ("<VirtualHost *:80 [::]:80>\nX y\n</VirtualHost>\n", "virtualhost(*:80|[::]:80){x(y);}", None),
        ("<virtualhost *>\n</VIRTUALHOST>", "virtualhost(*){}", None),
        ("< IfModule x>\n</IfModule>", "(IfModule|x){…", Some(2)),
        ("<A>\n<B>\n</A>", "a(){b(){……", Some(3)),
        ("x\n<A b\n", "x();", Some(2)),
        ("<A>\nx", "a(){x();…", Some(1)),
        ("</A>", "", Some(1)),
        ("a 'b\\'c' d\\\\e", "a(b'c|d\\e);", None),
        ("a \"unended", "a(unended);", None),
    ] {
        let (nodes, found) = parse(text.as_bytes());
        assert_eq!(shape(&nodes), right, "{text}");
        assert_eq!(found.map(|e| e.line), error, "{text}");
    }
}

#[test]
fn a_section_says_where_it_begins_and_ends() {
    let text = b"x\n<VirtualHost \\\n *:80>\n  ServerName a\n  </VirtualHost>\n";
    let (nodes, _) = parse(text);
    let section = nodes[1].section.as_ref().unwrap();
    assert_eq!(&text[section.open..section.close], b"  ServerName a\n");
    assert_eq!(nodes[1].line, 2);
}

#[test]
fn any_bytes_end_without_a_panic() {
    let mut state = 99u64;
    for _ in 0..20_000 {
        let mut text = Vec::new();
        for _ in 0..40 {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            text.push(b"aB <>/\\\"'\n\r#${}\xff\0"[(state >> 40) as usize % 17]);
        }
        let (nodes, _) = parse(&text);
        nodes.iter().for_each(|n| assert!(n.words().len() <= text.len()));
    }
}

#[test]
fn sections_nested_without_end_are_an_error_and_no_overflow() {
    let deep = b"<a>\n".repeat(100_000);
    assert!(parse(&deep).1.is_some_and(|e| e.what.contains("nested")));
}
