//! Who is let in at the real program's door: how many, how long they may dawdle, from which pages.

mod town;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use town::{Socket, Supervisor, ask, patiently};

/// Opens a socket with these headers besides the usual ones; else the status of the refusal.
async fn socket(supervisor: &Supervisor, headers: &[(&'static str, &str)]) -> Result<Socket, u16> {
    let url = format!("ws://{}/peer", supervisor.address);
    let mut request = url.into_client_request().expect("an address");
    for (name, value) in headers {
        let value = value.parse().expect("a header");
        request.headers_mut().insert(*name, value);
    }
    match patiently(connect_async(request)).await {
        Ok((socket, _)) => Ok(Socket(socket)),
        Err(Error::Http(answer)) => Err(answer.status().as_u16()),
        Err(other) => panic!("{other}"),
    }
}

async fn from_page(supervisor: &Supervisor, origin: &str) -> Result<Socket, u16> {
    socket(supervisor, &[("origin", origin)]).await
}

#[tokio::test]
async fn a_page_of_another_site_opens_no_socket() {
    let supervisor = Supervisor::start().await;
    for foreign in [
        "https://evil.example",
        "null",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
    ] {
        let refused = from_page(&supervisor, foreign).await.err();
        assert_eq!(refused, Some(403), "{foreign}");
    }
}

#[tokio::test]
async fn our_own_page_and_a_service_open_one() {
    let supervisor = Supervisor::start().await;
    let own = format!("http://{}", supervisor.address);
    let mut page = from_page(&supervisor, &own).await.expect("taken");
    page.hears().await;
    let mut service = supervisor.connect().await; // states no origin
    service.hears().await;
}

#[tokio::test]
async fn a_page_that_the_operator_named_opens_one() {
    let named = "allowed_origins = [\"https://tv.example.org\"]";
    let supervisor = Supervisor::start_with(named).await;
    let page = from_page(&supervisor, "https://tv.example.org").await;
    assert!(page.is_ok());
    let other = from_page(&supervisor, "http://tv.example.org").await;
    assert_eq!(other.err(), Some(403));
}

/// Whether everything that the other side does is to hang up.
async fn is_hung_up(mut stream: TcpStream) -> bool {
    let mut said = Vec::new();
    let end = patiently(stream.read_to_end(&mut said)).await;
    end.is_err() || said.is_empty() || said.starts_with(b"HTTP/1.1 4")
}

#[tokio::test]
async fn those_who_say_a_byte_and_dawdle_are_dropped_and_a_page_is_served_meanwhile() {
    let limit = "[limits]\nconnections_per_address = 400";
    let supervisor = Supervisor::start_with(limit).await;
    let before = supervisor.open_files();
    let mut dawdlers = Vec::new();
    for n in 0..300 {
        let mut stream = supervisor.visit().await;
        if n % 3 > 0 {
            stream.write_all(b"G").await.expect("it reads"); // some do not even say that
        }
        dawdlers.push(stream);
    }
    let (head, _) = supervisor.get("/watch/garden").await;
    assert!(head.contains("text/html"), "{head}");
    for stream in dawdlers {
        assert!(is_hung_up(stream).await);
    }
    patiently(async {
        while supervisor.open_files() > before {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_body_that_dawdles_is_not_waited_for() {
    let supervisor = Supervisor::start().await;
    let mut stream = supervisor.visit().await;
    let begun = b"POST /api/login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n\
        Content-Length: 30\r\n\r\n{";
    stream.write_all(begun).await.expect("it reads");
    let mut said = String::new();
    patiently(stream.read_to_string(&mut said))
        .await
        .expect("text");
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_taken() {
    let supervisor = Supervisor::start().await;
    let (more, body) = ("Content-Type: application/json\r\n", "1".repeat(5_000));
    let (head, said) = ask(supervisor.visit().await, "POST", "/api/login", more, &body).await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head}{said}");
}

#[tokio::test]
async fn those_who_leave_their_handshake_hanging_are_told_of_together() {
    let supervisor = Supervisor::start().await;
    let mut hanging = Vec::new();
    for _ in 0..20 {
        hanging.push(supervisor.connect().await);
    }
    // Each reads all the time, or it would answer pings when it is too late.
    let heard = hanging.iter_mut().map(async |socket| {
        let mut last = String::new();
        while let Some(text) = socket.next_text().await {
            last = text;
        }
        last
    });
    for last in join_all(heard).await {
        assert!(last.contains("too-slow"), "{last}");
    }
    let told = "closed that kept us waiting: ";
    let first = supervisor.log.after(told).await;
    assert!(first.contains("the last from 127.0.0.1"), "{first}");
    let lines = supervisor.log.count(told);
    assert!(lines < 20, "{lines} lines for 20 of them");
}

#[tokio::test]
async fn an_address_has_only_so_many_connections() {
    let limit = "[limits]\nconnections_per_address = 3";
    let supervisor = Supervisor::start_with(limit).await;
    let mut here = Vec::new();
    for _ in 0..3 {
        here.push(supervisor.connect().await);
    }
    for _ in 0..20 {
        let mut said = String::new();
        let mut stream = supervisor.visit().await;
        patiently(stream.read_to_string(&mut said))
            .await
            .expect("text");
        assert!(said.starts_with("HTTP/1.1 503"), "{said}");
    }
    supervisor.log.after("connections refused").await;
    let lines = supervisor.log.count("connections refused");
    assert!(lines < 20, "{lines} lines for 20 refusals");
    here.pop().expect("there are three").hangs_up().await;
    // It is noticed when it is noticed.
    patiently(async {
        loop {
            let mut stream = supervisor.visit().await;
            let request = b"GET /health HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
            let _ = stream.write_all(request).await;
            let mut said = Vec::new();
            let _ = stream.read_to_end(&mut said).await;
            if said.starts_with(b"HTTP/1.1 200") {
                break;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_address_counts_by_itself() {
    let config = "trusted_proxies = [\"127.0.0.1\"]\n[limits]\nconnections_per_address = 1";
    let supervisor = Supervisor::start_with(config).await;
    let of = |address| [("x-forwarded-for", address)];
    let mut first = socket(&supervisor, &of("203.0.113.1")).await.ok();
    let second = socket(&supervisor, &of("10.0.0.1, 203.0.113.1")).await;
    assert_eq!(second.err(), Some(503));
    let other = socket(&supervisor, &of("203.0.113.1, 203.0.113.2")).await;
    assert!(other.is_ok());
    first.as_mut().expect("taken").hears().await;
}

#[tokio::test]
async fn nobody_else_is_believed_about_an_address() {
    let limit = "[limits]\nconnections_per_address = 2";
    let supervisor = Supervisor::start_with(limit).await;
    let of = |address| [("x-forwarded-for", address)];
    let _first = socket(&supervisor, &of("203.0.113.1")).await.ok();
    let _second = socket(&supervisor, &of("203.0.113.2")).await.ok();
    let mut said = String::new();
    let mut third = supervisor.visit().await;
    patiently(third.read_to_string(&mut said))
        .await
        .expect("text");
    assert!(said.starts_with("HTTP/1.1 503"), "{said}");
}

#[tokio::test]
async fn a_refusal_names_the_address_it_was_made_to() {
    let config = "trusted_proxies = [\"127.0.0.1\"]";
    let supervisor = Supervisor::start_with(config).await;
    let forwarded = [("x-forwarded-for", "203.0.113.9")];
    let mut peer = socket(&supervisor, &forwarded).await.expect("taken");
    let garbage = tokio_tungstenite::tungstenite::Message::text("{");
    peer.sends(garbage).await;
    peer.hears_to_the_end().await;
    let line = supervisor.log.after("refused: ").await;
    assert!(line.contains("203.0.113.9"), "{line}");
}
