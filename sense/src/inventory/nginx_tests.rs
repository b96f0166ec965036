//! Tests of the nginx grammar: a table of cases, and printing followed by reading.

use super::*;

/// A directive tree in one line: `name arg{inner;}`.
fn shape(directives: &[Directive]) -> String {
    let one = |d: &Directive| {
        let words: Vec<String> = d.words.iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect();
        match &d.block {
            None => words.join("|") + ";",
            Some(b) => format!("{}{{{}{}", words.join("|"), shape(&b.inner), if b.complete { "}" } else { "…" }),
        }
    };
    directives.iter().map(one).collect()
}

#[test]
fn the_grammar_is_read_as_nginx_reads_it() {
    for (text, right, error) in [
        ("a b;", "a|b;", None),
        ("a  'b c'\n\"d\\\"e\";", "a|b c|d\"e;", None),
        ("a b#c d; # e;\n", "a|b#c|d;", None),
        ("#only\n", "", None),
        ("root /x/${y}/z;", "root|/x/${y}/z;", None),
        ("root /x/$y{", "root|/x/$y{…", Some(1)),
        ("a \\;b;", "a|\\;b;", None),
        ("a \\\"b;", "a|\"b;", None),
        ("a '\\t\\n\\d';", "a|\t\n\\d;", None),
        ("if ($a = \"b\") { c; }", "if|($a|=|b|){c;}", None),
        ("location ~ \\.php$ { d; }", "location|~|\\.php${d;}", None),
        ("location ~ \"\\.php$\" { d; }", "location|~|\\.php${d;}", None),
        ("a{b{c d;}}e;", "a{b{c|d;}}e;", None),
        ("a b}c;", "a|b}c;", None),
        ("a b;;", "a|b;", Some(1)),
        ("a { b; } }", "a{b;}", Some(1)),
        ("a;\nb {\nc;\nd", "a;b{c;…", Some(4)),
        ("a \"b\"c;", "", Some(1)),
        ("a;\n b \"unended", "a;", Some(2)),
        ("content_by_lua_block { if x == \"}\" then t = {} end -- }\n } b;", "content_by_lua_block{}b;", None),
        ("a \u{3042};", "a|\u{3042};", None),
    ] {
        let (directives, found) = parse(text.as_bytes());
        assert_eq!(shape(&directives), right, "{text}");
        assert_eq!(found.map(|e| e.line), error, "{text}");
    }
}

#[test]
fn a_block_says_where_it_begins_and_ends() {
    let text = b"http { server\n{ listen 80; } }";
    let (directives, _) = parse(text);
    let server = directives[0].block.as_ref().unwrap().inner[0].clone();
    let block = server.block.unwrap();
    assert_eq!((server.line, text[block.open - 1], text[block.close]), (1, b'{', b'}'));
    assert_eq!(&text[block.open..block.close], b" listen 80; ");
}

#[test]
fn any_bytes_end_without_a_panic() {
    let mut random = Random(7);
    for _ in 0..20_000 {
        let text: Vec<u8> = (0..random.below(60)).map(|_| b"ab {};#\"'\\$\n\t)}\xff\0"[random.below(17)]).collect();
        let (directives, _) = parse(&text);
        assert!(directives.len() <= text.len());
    }
    let deep = b"a{".repeat(100_000);
    assert!(parse(&deep).1.is_some_and(|e| e.what.contains("nested")));
}

#[test]
fn what_is_printed_reads_back_the_same() {
    for seed in 1..400 {
        let mut random = Random(seed);
        let tree = random.tree(0);
        let mut text = Vec::new();
        print(&tree, &mut text, &mut random);
        let (read, error) = parse(&text);
        assert_eq!(error, None, "seed {seed}: {}", String::from_utf8_lossy(&text));
        assert_eq!(shape(&read), shape(&tree), "seed {seed}: {}", String::from_utf8_lossy(&text));
    }
}

/// Writes a tree with quotes where they are needed, and white space and comments where they are allowed.
fn print(tree: &[Directive], out: &mut Vec<u8>, random: &mut Random) {
    for directive in tree {
        out.extend([&b"\n"[..], b"  ", b"\t# a ; comment {\n", b"\r\n"][random.below(4)]);
        for (i, word) in directive.words.iter().enumerate() {
            if i > 0 {
                out.extend([&b" "[..], b"\n", b" # c\n", b"\t"][random.below(4)]);
            }
            let quote = [b'"', b'\''][random.below(2)];
            out.push(quote);
            for byte in word {
                match byte {
                    b'"' | b'\'' | b'\\' => out.extend([b'\\', *byte]),
                    b'\t' if random.below(2) == 0 => out.extend(b"\\t"),
                    b'\n' if random.below(2) == 0 => out.extend(b"\\n"),
                    other => out.push(*other),
                }
            }
            out.push(quote);
        }
        match &directive.block {
            None => out.push(b';'),
            Some(block) => {
                out.extend(if random.below(2) == 0 { &b" {"[..] } else { b"{" });
                print(&block.inner, out, random);
                out.extend(b" }");
            }
        }
    }
}

/// A small generator (xorshift64), so that a failure is known by its seed.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % n
    }

    fn word(&mut self) -> Vec<u8> {
        (0..=self.below(6)).map(|_| b"ab/.*{};#\"'\\$ \n\t\xe3~"[self.below(18)]).collect()
    }

    fn tree(&mut self, depth: usize) -> Vec<Directive> {
        let count = self.below(if depth == 0 { 8 } else { 4 });
        (0..count)
            .map(|_| {
                let words = (0..=self.below(3)).map(|_| self.word()).collect();
                let block = (depth < 4 && self.below(3) == 0).then(|| Block {
                    open: 0,
                    close: 0,
                    complete: true,
                    inner: self.tree(depth + 1),
                });
                Directive { words, line: 0, block }
            })
            .collect()
    }
}
