//! The DTLS identity: a P-256 key and its self-signed certificate, kept by the caller as PEM.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ::webrtc::peer_connection::crypto::{RTCCryptoProvider, default_provider};
use protocol::id::Fingerprint;
use rtc::crypto::SignatureScheme;
use rtc::peer_connection::certificate::{CertificateParams, RTCCertificate};
use zeroize::Zeroizing;

use crate::transport::TransportError;

/// How long a certificate is taken to be valid from the moment it is loaded. Nobody checks the date
/// of a self-signed one (its fingerprint is what is trusted), but the library refuses to start with
/// one that it thinks has expired, writes two days into those it makes on 32-bit ARM, and a board
/// without a clock may believe in any date.
const VALIDITY: Duration = Duration::from_secs(50 * 365 * 24 * 3600);

/// The private key and its certificate as text: to be kept where nobody else reads it. Wiped when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct CertificatePem(Zeroizing<String>);

impl CertificatePem {
    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for CertificatePem {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for CertificatePem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CertificatePem(…)")
    }
}

/// A certificate, its fingerprint, and what it takes to use it.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) certificate: RTCCertificate,
    /// Key and certificate as text, which [`Identity::new`] takes.
    pub(super) pem: CertificatePem,
    pub(super) fingerprint: Fingerprint,
    pub(super) crypto: Arc<dyn RTCCryptoProvider>,
}

impl Identity {
    /// Takes a certificate's text, or makes a new one.
    pub(super) fn new(pem: Option<CertificatePem>) -> Result<Self, TransportError> {
        let crypto = default_provider().map_err(unusable)?;
        let pem = match pem {
            Some(pem) => pem,
            None => generate(crypto.as_ref())?.into(),
        };
        let certificate = load(pem.as_str(), crypto.as_ref())?;
        let fingerprint = fingerprint(&certificate, crypto.as_ref())?;
        Ok(Self {
            certificate,
            pem,
            fingerprint,
            crypto,
        })
    }
}

fn unusable(error: impl fmt::Display) -> TransportError {
    TransportError::Certificate(error.to_string())
}

/// Takes key and certificate out of the text, and leaves its date of expiry alone.
fn load(pem: &str, crypto: &dyn RTCCryptoProvider) -> Result<RTCCertificate, TransportError> {
    // The first block is the date. The library's own reader panics when it is cut short, as a file
    // may be after a power failure.
    let (_, rest) = pem
        .split_once("\n\n")
        .ok_or_else(|| unusable("the text is cut short"))?;
    let certificate =
        rtc::dtls::crypto::Certificate::from_pem(rest, crypto.crypto()).map_err(unusable)?;
    Ok(RTCCertificate::from_existing(
        certificate,
        SystemTime::now() + VALIDITY,
    ))
}

/// Makes a new identity: P-256, which is what browsers use themselves.
fn generate(crypto: &dyn RTCCryptoProvider) -> Result<String, TransportError> {
    let params = CertificateParams::new(vec!["ownstream".to_owned()]).map_err(unusable)?;
    RTCCertificate::generate(crypto.crypto(), SignatureScheme::EcdsaP256Sha256, params)
        .and_then(|certificate| certificate.serialize_pem())
        .map_err(unusable)
}

fn fingerprint(
    certificate: &RTCCertificate,
    crypto: &dyn RTCCryptoProvider,
) -> Result<Fingerprint, TransportError> {
    let all = certificate
        .get_fingerprints(crypto.crypto())
        .map_err(unusable)?;
    let sha256 = all
        .iter()
        .find(|fingerprint| fingerprint.algorithm == "sha-256");
    sha256
        .ok_or_else(|| unusable("no fingerprint"))?
        .value
        .parse()
        .map_err(unusable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kept_certificate_has_the_same_fingerprint() {
        let made = Identity::new(None).expect("made");
        let kept = Identity::new(Some(made.pem.clone())).expect("kept");
        assert_eq!(made.fingerprint, kept.fingerprint);
        assert_eq!(format!("{:?}", made.pem), "CertificatePem(…)");
    }

    #[test]
    fn a_certificate_cut_short_anywhere_is_refused_and_never_panics() {
        let pem = Identity::new(None).expect("made").pem;
        let whole = pem.as_str().trim_end().len();
        for cut in 0..whole {
            assert!(
                Identity::new(Some(pem.as_str()[..cut].to_owned().into())).is_err(),
                "cut at {cut} of {whole}"
            );
        }
    }
}
