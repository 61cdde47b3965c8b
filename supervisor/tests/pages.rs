//! The real program's pages, health, and words about what is wrong.

mod town;

use tokio::io::AsyncReadExt as _;
use town::{Supervisor, patiently, start};

#[tokio::test]
async fn health_says_how_many_are_here() {
    let supervisor = Supervisor::start().await;
    let _broadcaster = supervisor.broadcaster(1).await;
    let health = supervisor.health().await;
    assert_eq!(health["status"], "ok");
    assert_eq!(
        (health["peers"].as_u64(), health["streams"].as_u64()),
        (Some(1), Some(1))
    );
    assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
}

#[tokio::test]
async fn the_page_is_served_or_it_is_said_how_to_build_it() {
    let supervisor = Supervisor::start().await;
    for path in ["/", "/watch/garden"] {
        let (head, body) = supervisor.get(path).await;
        let served = head.starts_with("HTTP/1.1 200") && head.contains("text/html");
        let explained = head.starts_with("HTTP/1.1 503") && body.contains("make web");
        assert!(served || explained, "{path}: {head}\n{body}");
        assert!(head.contains("'wasm-unsafe-eval'"), "{head}");
    }
}

#[tokio::test]
async fn every_answer_tells_the_browser_to_be_careful() {
    let supervisor = Supervisor::start().await;
    for path in ["/", "/health", "/nothing", "/peer", "/api/operator/tokens"] {
        let (head, _) = supervisor.get(path).await;
        for header in [
            "content-security-policy: default-src 'self'",
            "x-content-type-options: nosniff",
            "referrer-policy: no-referrer",
            "cross-origin-opener-policy: same-origin",
            "cross-origin-resource-policy: same-origin",
            "permissions-policy: camera=(), microphone=(), geolocation=()",
        ] {
            assert!(head.contains(header), "{path} lacks {header}: {head}");
        }
        assert!(!head.contains("strict-transport-security"), "{head}");
    }
}

#[tokio::test]
async fn what_is_no_page_is_not_found() {
    let supervisor = Supervisor::start().await;
    for path in [
        "/nothing",
        "/Cargo.toml",
        "/../Cargo.toml",
        "/src/lib.rs",
        "/%2e%2e/Cargo.toml",
    ] {
        let (head, _) = supervisor.get(path).await;
        assert!(head.starts_with("HTTP/1.1 404"), "{path}: {head}");
    }
}

#[tokio::test]
async fn ice_servers_of_the_configuration_reach_the_peers() {
    let turn = "[stun]\nurls = [\"stun:s.example.org:3478\"]\n\
        [turn]\nurls = [\"turn:t.example.org:3478\"]\nsecret = \"north\"\n";
    let supervisor =
        Supervisor::start_with(&format!("external_address = \"203.0.113.7\"\n{turn}")).await;
    let mut socket = supervisor.connect().await;
    let candidate = town::candidate(30, protocol::signal::Component::Receiver, None);
    let accepted = socket
        .proves(candidate, &town::private_key(30))
        .await
        .expect("it is let in");
    let (ice_servers, external_address) = (accepted.ice_servers, accepted.external_address);
    assert_eq!(external_address.as_deref(), Some("203.0.113.7"));
    assert_eq!(ice_servers.len(), 2);
    assert!(
        ice_servers[1]
            .username
            .as_ref()
            .is_some_and(|name| name.ends_with(&town::id(30).to_string()))
    );
}

/// What the program says on its way out, and its exit code.
async fn last_words(config: &str) -> (String, Option<i32>) {
    let (mut process, _home) = start(config);
    let mut words = String::new();
    let mut log = process.stderr.take().expect("piped");
    patiently(log.read_to_string(&mut words))
        .await
        .expect("text");
    let status = patiently(process.wait()).await.expect("it ends");
    (words, status.code())
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let first = Supervisor::start().await;
    let (words, code) = last_words(&format!("listen = \"{}\"", first.address)).await;
    assert!(
        words.contains(&format!("port {} is in use", first.address.port())),
        "{words}"
    );
    assert_eq!(code, Some(1));
}

#[tokio::test]
async fn a_misspelt_key_is_named_with_its_line() {
    let (words, code) = last_words("listen = \"127.0.0.1:0\"\nlitsen = \"/tmp\"").await;
    assert!(
        words.contains("supervisor.toml:3") && words.contains("litsen"),
        "{words}"
    );
    assert!(words.contains("`listen`"), "{words}");
    assert!(words.ends_with("\n  litsen = \"/tmp\"\n  ^\n"), "{words}");
    assert_eq!(code, Some(78));
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named() {
    let turn = "[turn]\nurls = [\"turn:t.example.org\"]\nsecret_file = \"/nowhere/secret\"";
    let (words, _) = last_words(&format!("listen = \"127.0.0.1:0\"\n{turn}")).await;
    assert!(words.contains("/nowhere/secret"), "{words}");
}
