//! Looks at a site from outside, as a visitor would: does it answer, and is it our page?
//!
//! Connects to the address where this node serves the site, with the site's own name; DNS is not asked, so a record
//! that points elsewhere cannot vouch for our own effect. TLS is not verified: own addresses, and an expired
//! certificate must not hide what the server answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use model::packet::SiteHandle;
use model::{FilePath, IntentId, Number, Outcome, ProbeTarget, Seen};
use ureq::http::Uri;
use ureq::tls::TlsConfig;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

/// Longest wait for one answer.
const WAIT: Duration = Duration::from_secs(5);
/// Most of a body that is read; our page is far smaller.
const BODY_MAX: u64 = 64 * 1024;
/// Sites looked at side by side.
const AT_ONCE: usize = 8;
/// Longest `what` of an outcome, bytes.
const WHAT_MAX: usize = 4096;

/// What a site answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A page.
    Page {
        /// Its status.
        status: u16,
        /// The number that our page shows, in its header or its text.
        number: Option<Number>,
    },
    /// Nobody listens there.
    Refused,
    /// No answer in time.
    TimedOut,
    /// The name has no address.
    NoName,
    /// Something that is not HTTP, or a broken connection.
    Broken,
}

/// Looks at these sites; `closed` says what is right (see `model::Look::Probe`).
pub fn probe(
    intent: IntentId,
    sites: &[SiteHandle],
    path: Option<&FilePath>,
    incident: Number,
    closed: bool,
) -> Outcome {
    let path = address(path);
    let path = path.as_str();
    let mut seen: Vec<(bool, String)> = Vec::new();
    for some in sites.chunks(AT_ONCE) {
        seen.extend(std::thread::scope(|scope| {
            let looks: Vec<_> =
                some.iter().map(|site| scope.spawn(move || look(site, path, incident, closed))).collect();
            looks.into_iter().map(|look| look.join().expect("a look does not panic")).collect::<Vec<_>>()
        }));
    }
    let right = seen.iter().all(|(right, _)| *right);
    // What is wrong comes first, so that a cut never hides it.
    seen.sort_by_key(|(right, _)| *right);
    let mut what = seen.into_iter().map(|(_, what)| what).collect::<Vec<_>>().join(", ");
    what.truncate(what.floor_char_boundary(WHAT_MAX));
    Outcome { intent, seen: Seen::Probed { right, what } }
}

/// A path as it is asked for: every byte that is not plain is written as `%` and two digits (RFC 3986, 2.1).
fn address(path: Option<&FilePath>) -> String {
    let mut text = "/".to_owned();
    for byte in path.map_or(&b""[..], FilePath::bytes) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'.' | b'_' | b'~' => text.push(*byte as char),
            other => text += &format!("%{other:02X}"),
        }
    }
    text
}

/// Every address of one site must answer right. A site without any address cannot be seen closed.
fn look(site: &SiteHandle, path: &str, incident: Number, closed: bool) -> (bool, String) {
    let answers: Vec<Answer> = site.probes.iter().map(|target| ask(site.domain.as_str(), path, target)).collect();
    let right = answers.iter().all(|answer| is_right(answer, incident, closed)) && !(closed && answers.is_empty());
    let wrong = answers.iter().find(|answer| !is_right(answer, incident, closed));
    let word = wrong.or(answers.first()).map_or("not probed".to_owned(), word);
    (right, format!("{} {word}", site.domain))
}

fn is_right(answer: &Answer, incident: Number, closed: bool) -> bool {
    let ours = matches!(answer, Answer::Page { status: 403 | 503, number: Some(number) } if *number == incident);
    if closed { ours } else { !matches!(answer, Answer::Page { status: 403 | 503, number: Some(_) }) }
}

fn word(answer: &Answer) -> String {
    match answer {
        Answer::Page { status, .. } => status.to_string(),
        Answer::Refused => "refused".to_owned(),
        Answer::TimedOut => "timeout".to_owned(),
        Answer::NoName => "no address".to_owned(),
        Answer::Broken => "broken".to_owned(),
    }
}

/// One request with the site's name to this address.
pub fn ask(domain: &str, path: &str, target: &ProbeTarget) -> Answer {
    // A wildcard site answers to any name below it.
    let name = domain.strip_prefix("*.").map_or(domain.to_owned(), |below| format!("www.{below}"));
    let scheme = if target.tls { "https" } else { "http" };
    let config = ureq::Agent::config_builder()
        .timeout_global(Some(WAIT))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .proxy(None)
        .user_agent("hikeshi-probe")
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .build();
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), Fixed(target.address));
    let mut response = match agent.get(format!("{scheme}://{name}{path}")).call() {
        Ok(response) => response,
        Err(error) => return failure(&error),
    };
    let status = response.status().as_u16();
    let header = response.headers().get("x-hikeshi").and_then(|value| value.to_str().ok()?.parse().ok());
    let number = header.or_else(|| {
        // Only a refusal can be our page; other bodies are not even read.
        let body = matches!(status, 403 | 503).then(|| response.body_mut().with_config().limit(BODY_MAX).read_to_vec());
        number_in(&String::from_utf8_lossy(&body?.ok()?))
    });
    Answer::Page { status, number }
}

/// Looks at a URL by its own address, as any visitor does; `None` when it is not an `http` or `https` URL.
pub fn ask_url(url: &str) -> Option<Answer> {
    let uri: Uri = url.parse().ok()?;
    let tls = match uri.scheme_str()? {
        "http" => false,
        "https" => true,
        _ => return None,
    };
    let host = uri.host()?;
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let found = std::net::ToSocketAddrs::to_socket_addrs(&(host.trim_matches(['[', ']']), port));
    let Some(address) = found.ok().and_then(|mut found| found.next()) else { return Some(Answer::NoName) };
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    Some(ask(host, path, &ProbeTarget { address, tls }))
}

fn failure(error: &ureq::Error) -> Answer {
    match error {
        ureq::Error::Timeout(_) => Answer::TimedOut,
        ureq::Error::HostNotFound => Answer::NoName,
        ureq::Error::ConnectionFailed => Answer::Refused,
        ureq::Error::Io(error) => match error.kind() {
            io::ErrorKind::ConnectionRefused => Answer::Refused,
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Answer::TimedOut,
            _ => Answer::Broken,
        },
        _ => Answer::Broken,
    }
}

/// The first incident number in a page.
fn number_in(body: &str) -> Option<Number> {
    body.match_indices("HK-").find_map(|(at, _)| body.get(at..at + 16)?.parse().ok())
}

/// Answers every name with the one address that is to be looked at.
#[derive(Debug)]
struct Fixed(SocketAddr);

impl Resolver for Fixed {
    fn resolve(&self, _: &Uri, _: &ureq::config::Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let mut found = self.empty();
        found.push(self.0);
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use model::Moment;

    use super::*;

    fn number(serial: u16) -> Number {
        Number::new(Moment::from_secs(1_774_061_213), serial)
    }

    /// A site that gives one fixed answer, `count` times, and hands back what it was asked.
    fn site(answer: String, count: usize) -> (ProbeTarget, std::thread::JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = std::thread::spawn(move || {
            let mut asked = Vec::new();
            for _ in 0..count {
                let (mut peer, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let length = peer.read(&mut request).unwrap();
                asked.push(String::from_utf8_lossy(&request[..length]).into_owned());
                // The reader may hang up before a long body is over.
                let _ = peer.write_all(answer.as_bytes());
            }
            asked
        });
        (ProbeTarget { address, tls: false }, asked)
    }

    fn page(status: u16, header: &str, body: &str) -> String {
        format!("HTTP/1.1 {status} X\r\n{header}Connection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    fn check(answer: String, closed: bool) -> (bool, String) {
        let (target, asked) = site(answer, 1);
        let handle = SiteHandle {
            domain: "blog.example.jp".parse().unwrap(),
            root: "/srv".into(),
            gates: vec![],
            probes: vec![target],
        };
        let outcome = probe(IntentId(1), &[handle], None, number(1), closed);
        let asked = asked.join().unwrap();
        assert!(asked[0].to_lowercase().contains("host: blog.example.jp\r\n"), "{asked:?}");
        match outcome.seen {
            Seen::Probed { right, what } => (right, what),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_site_is_closed_when_it_shows_our_number_and_only_then() {
        let ours = format!("X-Hikeshi: {}\r\n", number(1));
        let other = format!("X-Hikeshi: {}\r\n", number(2));
        assert_eq!(check(page(403, &ours, ""), true), (true, "blog.example.jp 403".to_owned()));
        assert_eq!(check(page(503, &ours, ""), true), (true, "blog.example.jp 503".to_owned()));
        assert!(check(page(403, "", &format!("<p>No. {}</p>", number(1))), true).0);
        assert!(!check(page(403, &other, ""), true).0, "another incident's page is not this one's effect");
        assert!(!check(page(403, "", "Forbidden"), true).0, "a rule of the owner is not ours");
        assert!(!check(page(200, &ours, ""), true).0, "a page that is served is not closed");
    }

    #[test]
    fn a_site_is_open_when_it_answers_anything_but_our_page() {
        let ours = format!("X-Hikeshi: {}\r\n", number(1));
        assert_eq!(check(page(200, "", "hello"), false), (true, "blog.example.jp 200".to_owned()));
        assert!(check(page(403, "", "Forbidden"), false).0);
        assert!(check(page(500, "", ""), false).0);
        assert!(!check(page(403, &ours, ""), false).0);
    }

    #[test]
    fn a_redirect_is_an_answer_and_is_not_followed() {
        let moved = page(301, "Location: http://127.0.0.1:1/\r\n", "");
        assert_eq!(check(moved, false), (true, "blog.example.jp 301".to_owned()));
    }

    #[test]
    fn a_body_without_end_is_read_to_its_limit_only() {
        let body = "x".repeat(1 << 20);
        assert!(!check(page(403, "", &body), true).0);
    }

    #[test]
    fn nobody_there_is_not_closed() {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let target = ProbeTarget { address, tls: false };
        assert_eq!(ask("blog.example.jp", "/", &target), Answer::Refused);
        let handle = |probes| SiteHandle {
            domain: "blog.example.jp".parse().unwrap(),
            root: "/srv".into(),
            gates: vec![],
            probes,
        };
        let seen = |handle| probe(IntentId(1), &[handle], None, number(1), true).seen;
        assert_eq!(
            seen(handle(vec![target])),
            Seen::Probed { right: false, what: "blog.example.jp refused".to_owned() }
        );
        assert_eq!(seen(handle(vec![])), Seen::Probed { right: false, what: "blog.example.jp not probed".to_owned() });
    }

    #[test]
    fn a_wildcard_site_is_asked_by_a_name_below_it() {
        let (target, asked) = site(page(200, "", ""), 1);
        assert_eq!(ask("*.example.jp", "/", &target), Answer::Page { status: 200, number: None });
        assert!(asked.join().unwrap()[0].to_lowercase().contains("host: www.example.jp\r\n"));
    }

    #[test]
    fn what_is_no_url_is_not_asked() {
        assert_eq!(ask_url("file:///etc/passwd"), None);
        assert_eq!(ask_url("blog.example.jp"), None);
    }

    #[test]
    fn a_path_of_any_bytes_is_asked_for_as_it_is() {
        let path = |bytes: &[u8]| address(Some(&FilePath::new(bytes).unwrap()));
        assert_eq!(address(None), "/");
        assert_eq!(path(b"wp-content/x.php"), "/wp-content/x.php");
        assert_eq!(path("写 ?#%\r\n\u{202e}".as_bytes()), "/%E5%86%99%20%3F%23%25%0D%0A%E2%80%AE");
        assert_eq!(path(b"\xff"), "/%FF");
    }
}
