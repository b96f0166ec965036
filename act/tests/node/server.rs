//! A real web server of a test, and one plain request to it.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use super::{Sleeper, eventually};

/// A web server on loopback, ended with its workers when the test ends.
pub struct Server {
    pub port: u16,
    pub child: Sleeper,
}

impl Server {
    pub fn start(port: u16, mut command: Command) -> Server {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let server = Server { port, child: Sleeper(child) };
        eventually("the server answers", || TcpStream::connect(("127.0.0.1", port)).is_ok());
        server
    }

    /// Status and the whole answer; everything but GET sends a small form.
    pub fn ask(&self, method: &str, host: &str, path: &str, headers: &str) -> (u16, String) {
        self.send(method, host, path, headers, if method == "GET" { "" } else { "a=b" })
    }

    pub fn send(&self, method: &str, host: &str, path: &str, headers: &str, form: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let length = match form.len() {
            0 => String::new(),
            n => format!("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {n}\r\n"),
        };
        let head =
            format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}{length}\r\n{form}");
        stream.write_all(head.as_bytes()).unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        (text.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0), text)
    }

    pub fn get(&self, host: &str) -> u16 {
        self.ask("GET", host, "/", "").0
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGTERM first, so that the workers end with their master.
        let process = sys::process::Process::open(self.child.0.id());
        let _ = Command::new("/bin/kill").arg(self.child.0.id().to_string()).status();
        let _ = process.map(|p| p.wait_end(std::time::Duration::from_secs(5)));
    }
}
