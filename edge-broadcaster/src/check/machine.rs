//! What the machine itself has to have: a clock, room in its sockets, and a way to the supervisor.

use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::{Report, State};
use crate::capture::slate;

/// 1 January 2026, in seconds since 1970: this program was not written before.
const WRITTEN: u64 = 1_767_225_600;
/// What the kernel should allow a socket to hold (measured: less overflows at some 100 Mbit/s).
const BUFFER: u64 = 4 << 20;
/// Time for the supervisor's machine to answer. Guess: the other side of the world takes half a second.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);

pub(super) fn clock(report: &mut Report) {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let shown = slate::utc(now.as_secs());
    match now.as_secs() < WRITTEN {
        true => report.add(
            "MACHINE",
            State::Doubtful,
            "clock",
            format!("it says {shown}: certificates look as if they were not valid yet; set it, or install chrony"),
        ),
        false => report.add("MACHINE", State::Good, "clock", shown),
    }
}

pub(super) fn buffers(report: &mut Report) {
    let limits = ["rmem_max", "wmem_max"].map(|name| {
        let path = Path::new("/proc/sys/net/core").join(name);
        let text = std::fs::read_to_string(path).unwrap_or_default();
        text.trim().parse::<u64>().unwrap_or(0)
    });
    let kib = limits.map(|bytes| bytes / 1024);
    let words = format!("{} KiB to receive, {} to send", kib[0], kib[1]);
    match limits.iter().all(|bytes| *bytes >= BUFFER) {
        true => report.add("MACHINE", State::Good, "sockets", words),
        false => report.add(
            "MACHINE",
            State::Doubtful,
            "sockets",
            format!(
                "{words}: with many children frames are lost\n\
                 sudo sysctl -w net.core.rmem_max={BUFFER} net.core.wmem_max={BUFFER}"
            ),
        ),
    }
}

/// Whether somebody listens where the supervisor should be. Without it nothing starts, but it may come.
pub(super) fn supervisor(report: &mut Report, url: &str) {
    match reach(url) {
        Ok(address) => report.add(
            "MACHINE",
            State::Good,
            "supervisor",
            format!("{url} answers at {address}"),
        ),
        Err(error) => report.add(
            "MACHINE",
            State::Doubtful,
            "supervisor",
            format!("{url}: {error}"),
        ),
    }
}

fn reach(url: &str) -> std::io::Result<std::net::SocketAddr> {
    let (host, port) = host_and_port(url);
    let mut last = std::io::Error::other("it has no address");
    for address in (host.as_str(), port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, ANSWERS_WITHIN) {
            Ok(_) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Of `ws://host:port/path`, where the port may be left out.
fn host_and_port(url: &str) -> (String, u16) {
    let (scheme, rest) = url.split_once("://").unwrap_or(("ws", url));
    let usual = if scheme == "wss" { 443 } else { 80 };
    let authority = rest.split('/').next().unwrap_or(rest);
    let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (bare(host), port.parse().unwrap_or(usual)),
        _ => (bare(authority), usual),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_and_port_are_those_of_the_address() {
        for (url, host, port) in [
            ("ws://127.0.0.1:8080/peer", "127.0.0.1", 8080),
            ("wss://video.example/peer", "video.example", 443),
            ("ws://[::1]:9000", "::1", 9000),
            ("ws://[::1]/peer", "::1", 80),
        ] {
            assert_eq!(host_and_port(url), (host.to_owned(), port), "{url}");
        }
    }

    #[test]
    fn a_supervisor_that_listens_is_said_to_answer_and_one_that_does_not_is_no_hindrance() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut report = Report::default();
        supervisor(&mut report, &format!("ws://{address}/peer"));
        drop(listener);
        supervisor(&mut report, &format!("ws://{address}/peer"));
        let states: Vec<_> = report.rows.iter().map(|row| row.state).collect();
        assert_eq!(states, [State::Good, State::Doubtful]);
        assert!(report.ready());
    }
}
