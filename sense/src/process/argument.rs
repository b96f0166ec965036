//! What arguments say: which script or text an interpreter runs, what a shell text pipes into what, and whether they
//! are those of a miner. Arguments are claims; a check joins them with places and connections.

use super::table::Process;
use super::word::{base, contains_any_case};
pub(crate) use crate::shell::Code;
use crate::shell::{Taint, code_of, runs_fetched};

/// What an interpreter was told to run.
pub(crate) fn code(process: &Process) -> Code {
    code_of(&process.exe, &process.argv, &process.cwd)
}

/// Whether a text of PHP, Python, Perl, Ruby or Node fetches or decodes something and runs it.
pub fn code_runs_download(text: &[u8]) -> bool {
    runs_fetched(text, Taint::default()).any()
}

/// Whether an address in the text is written as digits, as download servers of intruders often are.
pub fn names_bare_address(text: &[u8]) -> bool {
    text.windows(3).enumerate().filter(|(_, window)| *window == b"://").any(|(at, _)| {
        let host: &[u8] =
            text[at + 3..].split(|b| matches!(b, b'/' | b':' | b' ' | b'"' | b'\'' | b'|')).next().unwrap_or_default();
        !host.is_empty() && host.iter().all(|b| b.is_ascii_digit() || *b == b'.')
    })
}

/// Whether a shell text starts something again and again.
pub fn loops(text: &[u8]) -> bool {
    let words: Vec<&[u8]> =
        text.split(|b| b.is_ascii_whitespace() || matches!(b, b';' | b'&' | b'|' | b'(' | b'`')).collect();
    let has = |word: &[u8]| words.iter().any(|w| base(w) == word);
    (has(b"while") || has(b"until") || has(b"for"))
        && (has(b"sleep") || has(b"pgrep") || has(b"pidof") || has(b"ps") || has(b"kill"))
}

/// How much arguments look like a miner's: 3 or more cannot be read as anything else.
pub fn miner_points(argv: &[Vec<u8>]) -> u32 {
    const ALGORITHMS: &[&str] = &[
        "randomx",
        "rx",
        "cn",
        "cn-lite",
        "cn-heavy",
        "cn-pico",
        "cryptonight",
        "kawpow",
        "ethash",
        "etchash",
        "autolykos2",
        "autolykos",
        "yescrypt",
        "yespower",
        "scrypt",
        "sha256d",
        "argon2",
        "ghostrider",
        "gr",
        "verushash",
        "equihash",
        "x11",
        "x16r",
        "x16rv2",
        "x17",
        "lyra2rev2",
        "lyra2z",
        "kheavyhash",
        "progpow",
        "octopus",
        "cuckatoo31",
        "cuckatoo32",
        "astrobwt",
        "panthera",
        "firopow",
        "blake3",
        "nexapow",
        "karlsenhash",
        "pyrinhash",
        "minotaurx",
        "power2b",
        "allium",
        "neoscrypt",
        "groestl",
        "quark",
        "qubit",
        "monero",
        "xmr",
    ];
    let mut points = 0;
    let mut pool = false;
    let mut person = false;
    let mut algorithm = false;
    let mut special = false;
    for (at, arg) in argv.iter().enumerate() {
        let (name, value) = match arg.iter().position(|b| *b == b'=') {
            Some(eq) if arg.starts_with(b"-") => (&arg[..eq], Some(arg[eq + 1..].to_vec())),
            _ => (&arg[..], argv.get(at + 1).cloned()),
        };
        let value = value.unwrap_or_default();
        if ["stratum+", "stratum1+", "stratum2+", "stratum://", "stratums://", "daemon+http"]
            .iter()
            .any(|s| contains_any_case(arg, s.as_bytes()))
        {
            points += 3;
        }
        match name {
            b"--algo" | b"-a" | b"--coin" | b"--algorithm" | b"--pers" => {
                let value = value.to_ascii_lowercase();
                let stem = value.split(|b| *b == b'/' || *b == b'_').next().unwrap_or_default();
                algorithm |= ALGORITHMS.iter().any(|known| known.as_bytes() == stem);
            }
            b"--pool" | b"-o" | b"--url" | b"--server" | b"-P" | b"--proxy" | b"--address" => {
                pool |= is_host_port(&value)
            }
            b"--user" | b"-u" | b"--wallet" | b"--login" | b"-w" | b"--worker" | b"--username" => person = true,
            b"--donate-level"
            | b"--donate"
            | b"--rig-id"
            | b"--nicehash"
            | b"--cpu-max-threads-hint"
            | b"--max-cpu-usage"
            | b"--cpu-affinity"
            | b"--cpu-priority"
            | b"--huge-pages"
            | b"--no-huge-pages"
            | b"--asm"
            | b"--av"
            | b"--tls-fingerprint" => special = true,
            _ if name.starts_with(b"--randomx-") || name.starts_with(b"--cuda-") || name.starts_with(b"--opencl-") => {
                special = true
            }
            _ => {}
        }
        person |= is_wallet(arg.split(|b| matches!(b, b'.' | b'+' | b'/' | b'=')).next_back().unwrap_or(arg))
            || is_wallet(arg.split(|b| *b == b'.').next().unwrap_or(arg));
    }
    points + 2 * u32::from(algorithm) + u32::from(pool) + u32::from(person) + 2 * u32::from(special)
}

fn is_host_port(value: &[u8]) -> bool {
    let Some(colon) = value.iter().rposition(|b| *b == b':') else { return false };
    let port = &value[colon + 1..];
    colon > 3 && (2..=5).contains(&port.len()) && port.iter().all(u8::is_ascii_digit)
}

/// A coin address: Monero (95 or 106 signs from 4 or 8), Ethereum-like, bech32.
fn is_wallet(word: &[u8]) -> bool {
    let plain = word.iter().all(u8::is_ascii_alphanumeric);
    let hex = |rest: &[u8]| rest.len() == 40 && rest.iter().all(u8::is_ascii_hexdigit);
    plain
        && (((95..=106).contains(&word.len()) && matches!(word[0], b'4' | b'8'))
            || word.strip_prefix(b"0x").is_some_and(hex)
            || (word.starts_with(b"bc1") && (38..=62).contains(&word.len())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn miner_arguments_need_more_than_one_common_option() {
        let points = |line: &str| miner_points(&line.split(' ').map(|a| a.as_bytes().to_vec()).collect::<Vec<_>>());
        assert!(points("./x -o stratum+tcp://a.example:3333") >= 3);
        assert!(points("./x --algo=rx/0 --pool a.example:1010 --user w") >= 3);
        assert!(points("./x -o a.example:443 -u 4xx --donate-level 1") >= 3);
        assert!(points("./x --pool db.example:5432 --user app") < 3);
        assert!(points("./x -a 3 -o out.txt -u me") < 3);
        assert!(points("rsync -a --url x:22") < 3);
    }
}
