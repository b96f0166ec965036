//! Packets between the roles: SOCK_SEQPACKET unix sockets with peer credentials and descriptors.
//!
//! One packet is one value. A packet that does not fit or does not decode is an error of the connection, never
//! a shorter value: the caller drops the connection.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{Mode, chmod};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::sockopt::{Timeout, set_socket_timeout, socket_peercred};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Most descriptors that one packet carries.
pub const FDS_MAX: usize = 32;
/// Connections that wait to be accepted.
const BACKLOG: i32 = 16;
/// Largest packet in bytes (the same 64 KiB that `model` promises).
pub const PACKET_MAX: usize = 64 * 1024;

/// Who is at the other end, as the kernel saw him when the connection was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Process id.
    pub pid: i32,
    /// Effective uid.
    pub uid: u32,
    /// Effective gid.
    pub gid: u32,
}

/// A socket that takes connections at a path.
#[derive(Debug)]
pub struct Listener {
    fd: OwnedFd,
    path: PathBuf,
}

impl Listener {
    /// Binds at `path` with exactly these permission bits; a socket left by an earlier run is replaced.
    ///
    /// It is bound under a second name and renamed, so nobody can connect before the mode is right. The folder
    /// must belong to us alone. Errors: those of bind(2), chmod(2), rename(2); a path over 100 bytes.
    pub fn bind(path: &Path, mode: u32) -> io::Result<Listener> {
        Listener::bind_for(path, mode, None)
    }

    /// The same for a group, which then may connect if `mode` says so.
    pub fn bind_for(path: &Path, mode: u32, group: Option<u32>) -> io::Result<Listener> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let fresh = PathBuf::from(fresh);
        let _ = std::fs::remove_file(&fresh);
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::net::bind(&fd, &SocketAddrUnix::new(&fresh)?)?;
        if let Some(group) = group {
            rustix::fs::chown(&fresh, None, Some(rustix::fs::Gid::from_raw(group)))?;
        }
        chmod(&fresh, Mode::from_raw_mode(mode))?;
        rustix::net::listen(&fd, BACKLOG)?;
        std::fs::rename(&fresh, path)?;
        Ok(Listener { fd, path: path.to_owned() })
    }

    /// Peers see the uid that listened (unix(7), SO_PEERCRED): after a change of uid it is told anew.
    pub fn listen_again(&self) -> io::Result<()> {
        Ok(rustix::net::listen(&self.fd, BACKLOG)?)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The next connection; waits for one.
    pub fn accept(&self) -> io::Result<Connection> {
        Ok(Connection(retry(|| rustix::net::accept_with(&self.fd, SocketFlags::CLOEXEC))?))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// One end of a connection. Closed on exec unless [`Connection::keep_on_exec`] was called.
#[derive(Debug)]
pub struct Connection(OwnedFd);

impl Connection {
    /// Connects to the listener at `path`.
    pub fn connect(path: &Path) -> io::Result<Connection> {
        let fd = rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        rustix::net::connect(&fd, &SocketAddrUnix::new(path)?)?;
        Ok(Connection(fd))
    }

    /// Two ends of a new connection, for a parent and its child or two threads.
    pub fn pair() -> io::Result<(Connection, Connection)> {
        let (one, two) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Connection(one), Connection(two)))
    }

    /// Takes over a descriptor that the parent left open for us; error when it is no SOCK_SEQPACKET socket.
    /// From here on it is closed on exec. May be called once per descriptor number.
    #[allow(unsafe_code)]
    pub fn inherited(fd: RawFd) -> io::Result<Connection> {
        if fd < 3 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("descriptor {fd} is a standard stream")));
        }
        // SAFETY: `fd` is not -1, and the borrow ends before anybody else learns of the number; if it is not
        // open the next call says EBADF and nothing is owned.
        let probe = unsafe { BorrowedFd::borrow_raw(fd) };
        if rustix::net::sockopt::socket_type(probe)? != SocketType::SEQPACKET {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("descriptor {fd} is no packet socket")));
        }
        fcntl_setfd(probe, FdFlags::CLOEXEC)?;
        // SAFETY: the parent handed this number to us alone (contract of the function), and it is open.
        Ok(Connection(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Leaves the descriptor open across exec, for a child that takes it by [`Connection::inherited`].
    pub fn keep_on_exec(&self) -> io::Result<()> {
        Ok(fcntl_setfd(&self.0, FdFlags::empty())?)
    }

    /// Ends the connection for both sides and for every handle of this end: a receive that waits returns.
    pub fn shut(&self) {
        let _ = rustix::net::shutdown(&self.0, rustix::net::Shutdown::Both);
    }

    /// A second handle of the same end.
    pub fn try_clone(&self) -> io::Result<Connection> {
        Ok(Connection(self.0.try_clone()?))
    }

    /// The other end's credentials.
    pub fn peer(&self) -> io::Result<Peer> {
        let credentials = socket_peercred(&self.0)?;
        Ok(Peer {
            pid: credentials.pid.as_raw_nonzero().get(),
            uid: credentials.uid.as_raw(),
            gid: credentials.gid.as_raw(),
        })
    }

    /// Longest wait of a receive; `None` waits for ever. A timeout is `WouldBlock`.
    pub fn set_recv_timeout(&self, wait: Option<Duration>) -> io::Result<()> {
        Ok(set_socket_timeout(&self.0, Timeout::Recv, wait)?)
    }

    /// Longest wait of a send while the other end does not read; a timeout is `WouldBlock`.
    pub fn set_send_timeout(&self, wait: Option<Duration>) -> io::Result<()> {
        Ok(set_socket_timeout(&self.0, Timeout::Send, wait)?)
    }

    /// Sends one packet of 1 to [`PACKET_MAX`] bytes.
    pub fn send(&self, bytes: &[u8]) -> io::Result<()> {
        self.send_with_fds(bytes, &[])
    }

    /// Sends one packet and at most [`FDS_MAX`] descriptors, which stay open here.
    pub fn send_with_fds(&self, bytes: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        if bytes.is_empty() || bytes.len() > PACKET_MAX || fds.len() > FDS_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a packet has 1 to {PACKET_MAX} bytes and at most {FDS_MAX} descriptors, not {} and {}",
                    bytes.len(),
                    fds.len()
                ),
            ));
        }
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(io::Error::other("descriptors do not fit their buffer"));
        }
        let sent = retry(|| rustix::net::sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL))?;
        match sent == bytes.len() {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::WriteZero, "packet was cut")),
        }
    }

    /// Receives one packet into `buffer`: its length and descriptors (closed on exec).
    ///
    /// Errors: `UnexpectedEof` when the other end is gone, `InvalidData` when packet or descriptors did not fit
    /// (whatever came of them is closed), `WouldBlock` after the receive timeout.
    pub fn recv(&self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FDS_MAX))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = retry(|| {
            rustix::net::recvmsg(&self.0, &mut [IoSliceMut::new(buffer)], &mut control, RecvFlags::CMSG_CLOEXEC)
        })?;
        let mut fds = Vec::new();
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(rights) = message {
                fds.extend(rights);
            }
        }
        if got.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "packet or its descriptors are too large"));
        }
        if got.bytes == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the other end is gone"));
        }
        Ok((got.bytes, fds))
    }

    /// Sends one value as postcard.
    pub fn send_value<T: Serialize>(&self, value: &T) -> io::Result<()> {
        let bytes = postcard::to_stdvec(value).map_err(|e| io::Error::new(io::ErrorKind::InvalidInput, e))?;
        self.send(&bytes)
    }

    /// Receives one value and its descriptors; a packet that does not decode to its last byte is `InvalidData`.
    pub fn recv_value<T: DeserializeOwned>(&self) -> io::Result<(T, Vec<OwnedFd>)> {
        let mut buffer = vec![0; PACKET_MAX];
        let (len, fds) = self.recv(&mut buffer)?;
        match postcard::take_from_bytes(&buffer[..len]) {
            Ok((value, [])) => Ok((value, fds)),
            Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the value")),
            Err(e) => Err(io::Error::new(io::ErrorKind::InvalidData, e)),
        }
    }
}

impl AsFd for Connection {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Waits until one of `fds` can be read (or is at its end); which ones, in order. None after `wait`, nor where no
/// descriptor is.
pub fn wait_readable<const N: usize>(fds: [Option<BorrowedFd<'_>>; N], wait: Duration) -> io::Result<[bool; N]> {
    use rustix::event::{PollFd, PollFlags, poll};
    let there = fds.iter().flatten();
    let mut polled: Vec<PollFd<'_>> = there.map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN)).collect();
    let wait = rustix::event::Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
    match poll(&mut polled, Some(&wait)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(e) => return Err(e.into()),
    }
    let mut ready = polled.iter().map(|p| !p.revents().is_empty());
    Ok(fds.map(|fd| fd.is_some() && ready.next() == Some(true)))
}

fn retry<T>(mut call: impl FnMut() -> rustix::io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_told_in_order_and_a_missing_descriptor_is_never() {
        let (one, other) = Connection::pair().unwrap();
        let wait = |fds| wait_readable(fds, Duration::ZERO).unwrap();
        assert_eq!(wait([Some(one.as_fd()), None, Some(other.as_fd())]), [false, false, false]);
        one.send(b"x").unwrap();
        assert_eq!(wait([None, Some(other.as_fd()), Some(one.as_fd())]), [false, true, false]);
        assert_eq!(wait([Some(one.as_fd()), None, Some(other.as_fd())]), [false, false, true]);
    }

    #[test]
    fn a_value_and_its_descriptors_arrive_together() {
        let (one, two) = Connection::pair().unwrap();
        let bytes = postcard::to_stdvec(&("hello", 7u32)).unwrap();
        one.send_with_fds(&bytes, &[one.as_fd(), two.as_fd()]).unwrap();
        let ((text, number), fds): ((String, u32), _) = two.recv_value().unwrap();
        assert_eq!((text.as_str(), number, fds.len()), ("hello", 7, 2));
        for fd in &fds {
            assert!(rustix::io::fcntl_getfd(fd).unwrap().contains(FdFlags::CLOEXEC));
        }
    }

    #[test]
    fn a_packet_larger_than_the_buffer_is_an_error_and_not_a_shorter_packet() {
        let (one, two) = Connection::pair().unwrap();
        one.send(&[7; 100]).unwrap();
        one.send(&[8; 10]).unwrap();
        let mut small = [0; 50];
        assert_eq!(two.recv(&mut small).unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert_eq!(two.recv(&mut small).unwrap().0, 10);
        assert!(one.send(&vec![0; PACKET_MAX + 1]).is_err() && one.send(&[]).is_err());
    }

    #[test]
    fn garbage_and_trailing_bytes_are_no_values() {
        let (one, two) = Connection::pair().unwrap();
        for bytes in [&[0xffu8; 40][..], &[1, 1, 1, 1, 1, 1]] {
            one.send(bytes).unwrap();
            assert_eq!(two.recv_value::<(u8, bool)>().unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
    }

    #[test]
    fn the_end_of_the_other_side_and_a_timeout_are_told_apart() {
        let (one, two) = Connection::pair().unwrap();
        two.set_recv_timeout(Some(Duration::from_millis(1))).unwrap();
        assert_eq!(two.recv(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(one);
        assert_eq!(two.recv(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_listener_replaces_a_stale_socket_and_knows_its_peers() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("act.sock");
        drop(Listener::bind(&path, 0o600).unwrap());
        let listener = Listener::bind(&path, 0o600).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let _client = Connection::connect(&path).unwrap();
        let peer = listener.accept().unwrap().peer().unwrap();
        assert_eq!(peer.uid, rustix::process::geteuid().as_raw());
        assert_eq!(peer.pid, std::process::id() as i32);
    }

    #[test]
    fn an_inherited_descriptor_must_be_a_packet_socket() {
        use std::os::fd::IntoRawFd;
        let (one, two) = Connection::pair().unwrap();
        let again = Connection::inherited(one.0.into_raw_fd()).unwrap();
        again.send(b"x").unwrap();
        assert_eq!(two.recv(&mut [0; 8]).unwrap().0, 1);
        let file = std::fs::File::open("/dev/null").unwrap();
        use std::os::fd::AsRawFd;
        assert!(Connection::inherited(file.as_raw_fd()).is_err());
        assert!(Connection::inherited(0).is_err());
    }
}
