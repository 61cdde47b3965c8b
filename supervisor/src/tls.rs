//! The certificate that connections show: whose it is, and that a renewed one is taken without a restart.

mod files;
mod made;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use log::{info, warn};
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, InconsistentKeys, ServerConfig};

use crate::config::door::Mode;

/// How often the files are looked at. From the brief: a certificate of 90 days is renewed after 60.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// A certificate, those that vouch for it, and its key.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

/// The configuration of the moment: connections already there keep theirs.
#[derive(Clone)]
pub(crate) struct Current(watch::Receiver<Arc<ServerConfig>>);

impl Current {
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.borrow().clone())
    }
}

/// Prepares what the configuration asks for: nothing for plain http. What it returns besides has to be run.
pub(crate) fn prepare(
    mode: &Mode,
    state_dir: &Path,
) -> anyhow::Result<(Option<Current>, Option<Renewal>)> {
    match mode {
        Mode::Off => {
            info!("no TLS: pages and signalling are plain http, which is for a LAN");
            Ok((None, None))
        }
        Mode::Made { names } => {
            let identity = made::load_or_make(state_dir, names)?;
            info!(
                "the certificate was made here; its SHA-256 fingerprint is {}",
                fingerprint(&identity)
            );
            let config = server_config(identity).context("the certificate made here")?;
            Ok((Some(Current(watch::Sender::new(config).subscribe())), None))
        }
        Mode::Files { certificate, key } => {
            let files = Files {
                certificate: certificate.clone(),
                key: key.clone(),
            };
            let (seen, config) = (files.times(), files.load()?);
            let sender = watch::Sender::new(config);
            let current = Current(sender.subscribe());
            let hangups = signal(SignalKind::hangup()).context("listening for SIGHUP")?;
            let renewal = Renewal {
                files,
                seen,
                sender,
                hangups,
            };
            Ok((Some(current), Some(renewal)))
        }
    }
}

fn server_config(identity: Identity) -> Result<Arc<ServerConfig>, Error> {
    let Identity { chain, key } = identity;
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()]; // WebSockets over HTTP/2 are not spoken here
    Ok(Arc::new(config))
}

/// As browsers and openssl show it.
fn fingerprint(identity: &Identity) -> String {
    let hash = Sha256::digest(&identity.chain[0]);
    let pairs: Vec<String> = hash.iter().map(|byte| format!("{byte:02X}")).collect();
    pairs.join(":")
}

/// A certificate and its key, as somebody else keeps them.
struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn load(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let chain = files::certificates(&self.certificate)?;
        let key = files::key(&self.key)?;
        server_config(Identity { chain, key }).map_err(|error| {
            let words = match &error {
                Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                    "the key {} does not belong to the certificate {}",
                    self.key.display(),
                    self.certificate.display()
                ),
                _ => format!(
                    "cannot use the certificate {} with the key {}",
                    self.certificate.display(),
                    self.key.display()
                ),
            };
            anyhow::Error::from(error).context(words)
        })
    }

    /// When each was written last; a file that is not there has no time, and is told when it is read.
    fn times(&self) -> [Option<SystemTime>; 2] {
        [&self.certificate, &self.key].map(|path| std::fs::metadata(path).ok()?.modified().ok())
    }
}

/// Watches the files of a certificate.
pub(crate) struct Renewal {
    files: Files,
    seen: [Option<SystemTime>; 2],
    sender: watch::Sender<Arc<ServerConfig>>,
    hangups: Signal,
}

impl Renewal {
    /// Until the service ends. A certificate that cannot be used changes nothing: the last one stays.
    pub(crate) async fn run(mut self, mut shutdown: daemon::Shutdown) -> anyhow::Result<()> {
        loop {
            let asked = tokio::select! {
                () = shutdown.wait() => return Ok(()),
                () = tokio::time::sleep(LOOK_EVERY) => false,
                _ = self.hangups.recv() => true,
            };
            self.look(asked);
        }
    }

    fn look(&mut self, asked: bool) {
        let times = self.files.times();
        if times == self.seen && !asked {
            return;
        }
        match self.files.load() {
            Ok(config) => {
                self.seen = times;
                self.sender.send_replace(config);
                info!(
                    "the certificate {} was read again",
                    self.files.certificate.display()
                );
            }
            // Looked at again in a minute: perhaps the key is being written just now.
            Err(error) => warn!("the certificate in use stays: {error:#}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, names: &[String]) -> Files {
        let identity = made::load_or_make(dir, names).expect("made");
        drop(identity);
        let both = dir.join(made::FILE);
        Files {
            certificate: both.clone(),
            key: both,
        }
    }

    fn words(files: &Files) -> String {
        let error = files.load().expect_err("it cannot be used");
        format!("{error:#}")
    }

    #[test]
    fn a_certificate_of_files_says_which_one_is_wrong() {
        let dir = tempfile::tempdir().expect("a directory");
        let other = tempfile::tempdir().expect("a directory");
        let good = write(dir.path(), &[]);
        good.load().expect("a file may hold both");
        let foreign = Files {
            certificate: good.certificate.clone(),
            key: write(other.path(), &[]).key,
        };
        let said = words(&foreign);
        assert!(said.contains("does not belong"), "{said}");

        let missing = Files {
            certificate: "/nowhere/cert.pem".into(),
            key: good.key.clone(),
        };
        let said = words(&missing);
        assert!(said.contains("/nowhere/cert.pem: No such file"), "{said}");

        let empty = dir.path().join("empty.pem");
        std::fs::write(&empty, "nothing").expect("written");
        let keyless = Files {
            certificate: good.certificate,
            key: empty,
        };
        let said = words(&keyless);
        assert!(said.contains("empty.pem holds no private key"), "{said}");
    }
}
