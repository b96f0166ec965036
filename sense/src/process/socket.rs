//! The kernel's socket tables (`/proc/net/tcp`, `tcp6`, `udp`, `udp6`; proc(5)), joined to processes by inode.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::table::{Proto, Socket, SocketState};

/// Sockets by inode, with the uid that the kernel keeps beside each.
#[derive(Debug, Default)]
pub struct Sockets(HashMap<u64, (u32, Socket)>);

impl Sockets {
    /// Most sockets kept; a node with more shows only these.
    const MAX: usize = 1 << 20;

    /// Adds the lines of one table of the kernel; lines that are not understood are left out.
    pub fn add(&mut self, table: &[u8], proto: Proto) {
        for line in table.split(|b| *b == b'\n').skip(1) {
            if self.0.len() >= Sockets::MAX {
                return;
            }
            if let Some((inode, uid, socket)) = parse(line, proto) {
                self.0.insert(inode, (uid, socket));
            }
        }
    }

    /// The socket of this inode.
    pub fn get(&self, inode: u64) -> Option<&Socket> {
        self.0.get(&inode).map(|(_, socket)| socket)
    }

    /// Inode and uid of every socket.
    pub fn owners(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.0.iter().map(|(inode, (uid, _))| (*inode, *uid))
    }
}

/// `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode …`
fn parse(line: &[u8], proto: Proto) -> Option<(u64, u32, Socket)> {
    let line = std::str::from_utf8(line).ok()?;
    let mut words = line.split_ascii_whitespace();
    let local = address(words.nth(1)?)?;
    let remote = address(words.next()?)?;
    let state = match (proto, words.next()?) {
        (_, "01") => SocketState::Established,
        (Proto::Tcp, "02") => SocketState::SynSent,
        (Proto::Tcp, "0A") => SocketState::Listen,
        _ => SocketState::Other,
    };
    let uid = words.nth(3)?.parse().ok()?;
    let inode = words.nth(1)?.parse().ok().filter(|inode| *inode != 0)?;
    Some((inode, uid, Socket { proto, local, remote, state }))
}

/// `0100007F:1F90`, or 32 digits for IPv6: words of 32 bits in the order of the machine.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| Some(u32::from_str_radix(host.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    let ip = match host.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0u8; 16];
            for (at, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(at * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn a_line_of_the_kernel_is_read_with_address_state_uid_and_inode() {
        let table = b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  2001        0 7777 1 0000000000000000 100 0 0 10 0\nbroken line\n";
        let mut sockets = Sockets::default();
        sockets.add(table, Proto::Tcp);
        assert_eq!(sockets.owners().collect::<Vec<_>>(), [(7777, 2001)]);
        let socket = sockets.get(7777).unwrap();
        assert_eq!((socket.local.to_string(), socket.state), ("127.0.0.1:8080".to_owned(), SocketState::Listen));
    }
}
