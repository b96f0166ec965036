//! The node's resolvers, as resolv.conf(5) names them. The file is root's.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::Path;

/// Most that is read of the file, bytes, and most servers taken from it (MAXNS of resolv.conf(5)).
const BYTES_MAX: u64 = 64 * 1024;
const SERVERS_MAX: usize = 3;

/// Addresses of `nameserver` lines, in order, those on loopback left out; none when the file cannot be read.
pub fn servers(file: &Path) -> Vec<IpAddr> {
    let mut text = Vec::new();
    let _ = File::open(file).and_then(|file| file.take(BYTES_MAX).read_to_end(&mut text));
    let text = String::from_utf8_lossy(&text);
    let servers = text.lines().filter_map(|line| line.trim_start().strip_prefix("nameserver"));
    let servers = servers.filter_map(|rest| rest.split_whitespace().next()?.parse::<IpAddr>().ok());
    servers.take(SERVERS_MAX).filter(|server| !server.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_three_servers_count_and_those_on_loopback_are_left_out() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let named = |text: &str| {
            std::fs::write(file.path(), text).unwrap();
            servers(file.path()).iter().map(IpAddr::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            named("search x\n nameserver 192.0.2.1 # a\nnameserver\t2001:db8::1\n"),
            ["192.0.2.1", "2001:db8::1"]
        );
        let four = "nameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.3\nnameserver 192.0.2.4\n";
        assert_eq!(named(four), ["192.0.2.3"]);
        assert!(named("nameserver\nnameserver x\n#nameserver 192.0.2.1\n").is_empty());
        assert!(servers(Path::new("/nowhere/resolv.conf")).is_empty());
    }
}
