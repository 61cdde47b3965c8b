//! TLS of the real program: made by itself, or out of files that somebody renews.

mod town;

use std::path::Path;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
};
use tokio_tungstenite::client_async;
use town::{Home, Supervisor, ask, patiently, start};

const MADE: &str = "listen = \"127.0.0.1:0\"\n[tls]\nmode = \"made\"";
const FINGERPRINT: &str = "SHA-256 fingerprint is ";

/// Takes the certificate of that fingerprint, and no other.
#[derive(Debug)]
struct Pin {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match fingerprint(shown) == self.fingerprint {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, shown, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, shown, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}

fn fingerprint(certificate: &[u8]) -> String {
    let hash = Sha256::digest(certificate);
    let pairs: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// A connection to whoever has the certificate of that fingerprint.
async fn connect(
    supervisor: &Supervisor,
    fingerprint: &str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let provider = Arc::new(ring::default_provider());
    let pin = Pin {
        fingerprint: fingerprint.to_owned(),
        provider: provider.clone(),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pin))
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = supervisor.visit().await;
    patiently(TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

#[tokio::test]
async fn the_printed_fingerprint_leads_to_the_page_and_to_signalling() {
    let home = Home::new();
    home.write(MADE);
    let supervisor = Supervisor::start_in(home).await;
    let printed = supervisor.log.after(FINGERPRINT).await;

    let stream = connect(&supervisor, &printed).await.expect("it is the one");
    let (head, body) = ask(stream, "GET", "/health", "", "").await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}\n{body}");
    assert!(!head.contains("strict-transport-security"), "{head}");

    let stream = connect(&supervisor, &printed).await.expect("it is the one");
    let (mut socket, _) = patiently(client_async("wss://localhost/peer", stream))
        .await
        .expect("taken");
    let first = patiently(futures_util::StreamExt::next(&mut socket)).await;
    let text = first.expect("it says something").expect("a message");
    assert!(text.to_string().contains("COLLECT_PEER_INFO_REQUEST"));
}

#[tokio::test]
async fn another_fingerprint_leads_nowhere() {
    let home = Home::new();
    home.write(MADE);
    let supervisor = Supervisor::start_in(home).await;
    assert!(
        connect(&supervisor, &fingerprint(b"another"))
            .await
            .is_err()
    );
}

#[tokio::test]
async fn plain_http_is_not_spoken_where_there_is_tls() {
    let home = Home::new();
    home.write(MADE);
    let supervisor = Supervisor::start_in(home).await;
    let mut stream = supervisor.visit().await;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let asked = stream
        .write_all(b"GET /health HTTP/1.1\r\nHost: test\r\n\r\n")
        .await;
    asked.expect("it reads");
    let mut said = Vec::new();
    let _ = patiently(stream.read_to_end(&mut said)).await;
    assert!(!said.starts_with(b"HTTP"));
}

#[tokio::test]
async fn the_certificate_it_made_stays_when_it_is_killed() {
    let home = Home::new();
    home.write(MADE);
    let supervisor = Supervisor::start_in(home).await;
    let before = supervisor.log.after(FINGERPRINT).await;
    let supervisor = Supervisor::start_in(supervisor.die().await).await;
    assert_eq!(supervisor.log.after(FINGERPRINT).await, before);
}

/// Writes a new certificate and its key there; returns its fingerprint.
fn renew(dir: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let write = |name: &str, text: String| {
        std::fs::write(dir.join(name), text).expect("written");
    };
    write("certificate.pem", made.cert.pem());
    write("key.pem", made.signing_key.serialize_pem());
    fingerprint(made.cert.der())
}

fn files(dir: &Path) -> String {
    let path = |name: &str| dir.join(name);
    format!(
        "listen = \"127.0.0.1:0\"\n[tls]\nmode = \"files\"\ncertificate = {:?}\nkey = {:?}",
        path("certificate.pem"),
        path("key.pem")
    )
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_restart() {
    let home = Home::new();
    let first = renew(home.path());
    home.write(&files(home.path()));
    let supervisor = Supervisor::start_in(home).await;
    let stream = connect(&supervisor, &first).await.expect("it is the one");
    let (head, _) = ask(stream, "GET", "/health", "", "").await;
    assert!(
        head.contains("strict-transport-security: max-age="),
        "{head}"
    );

    let second = renew(supervisor.home.path());
    supervisor.signal("HUP");
    supervisor.log.after("was read again").await;
    assert!(connect(&supervisor, &first).await.is_err());
    assert!(connect(&supervisor, &second).await.is_ok());
}

#[tokio::test]
async fn a_renewal_that_went_wrong_leaves_the_last_certificate() {
    let home = Home::new();
    let first = renew(home.path());
    home.write(&files(home.path()));
    let supervisor = Supervisor::start_in(home).await;
    std::fs::write(supervisor.home.path().join("key.pem"), "half a k").expect("written");
    supervisor.signal("HUP");
    let why = supervisor.log.after("the certificate in use stays").await;
    assert!(why.contains("key.pem holds no private key"), "{why}");
    assert!(connect(&supervisor, &first).await.is_ok());
}

#[tokio::test]
async fn a_certificate_that_is_not_there_is_named() {
    let (mut process, _home) = start(&files(Path::new("/nowhere")));
    use tokio::io::AsyncReadExt as _;
    let mut words = String::new();
    let mut log = process.stderr.take().expect("piped");
    patiently(log.read_to_string(&mut words))
        .await
        .expect("text");
    assert!(words.contains("/nowhere/certificate.pem"), "{words}");
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("bound").port()
}

#[tokio::test]
async fn plain_http_is_sent_on_to_https() {
    let port = free_port();
    let home = Home::new();
    home.write(&format!("{MADE}\nredirect_http = \"127.0.0.1:{port}\""));
    let supervisor = Supervisor::start_in(home).await;
    let stream = TcpStream::connect(("127.0.0.1", port)).await;
    let (head, _) = ask(
        stream.expect("it listens"),
        "GET",
        "/watch/garden?x=1",
        "",
        "",
    )
    .await;
    assert!(head.starts_with("HTTP/1.1 308"), "{head}");
    let to = format!(
        "location: https://test:{}/watch/garden?x=1",
        supervisor.address.port()
    );
    assert!(head.contains(&to), "{head}");
}
