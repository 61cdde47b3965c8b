//! Whom a service takes for its supervisor's host on `wss://`.
//!
//! TLS hides what is said. Who says it is shown a second time by the handshake that follows, whose authority the
//! join token names; so a certificate that the supervisor made itself is as good as any, once its fingerprint is known.

use std::sync::Arc;

use protocol::id::Fingerprint;
use sha2::{Digest as _, Sha256};
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

/// The client's side of TLS: takes the certificate of that fingerprint alone, or, without one, those that this
/// machine's own authorities vouch for.
pub(crate) fn client(pinned: Option<Fingerprint>) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let verifier = HostVerifier {
        pinned,
        // Looked for when they are needed only: a pinned certificate needs none.
        roots: match pinned {
            Some(_) => None,
            None => machine_roots(&provider),
        },
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous() // it does check: see below
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn machine_roots(provider: &Arc<CryptoProvider>) -> Option<Arc<WebPkiServerVerifier>> {
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider)).build();
    verifier.ok() // there are no roots on this machine
}

#[derive(Debug)]
struct HostVerifier {
    pinned: Option<Fingerprint>,
    roots: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for HostVerifier {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let found = Fingerprint::from_bytes(Sha256::digest(shown).into());
        match self.pinned {
            Some(pinned) if pinned == found => return Ok(ServerCertVerified::assertion()),
            Some(pinned) => {
                return Err(Error::General(format!(
                    "its certificate has the fingerprint {found}, but supervisor_certificate says {pinned}"
                )));
            }
            None => {}
        }
        let checked = match &self.roots {
            Some(roots) => roots.verify_server_cert(shown, between, name, ocsp, now),
            None => Err(Error::General(
                "this machine has no authorities (package ca-certificates)".into(),
            )),
        };
        checked.map_err(|error| {
            Error::General(format!(
                "its certificate is none that this machine trusts: {error}. If the supervisor said at its start \
                 that its fingerprint is {found}, put that into supervisor_certificate"
            ))
        })
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
