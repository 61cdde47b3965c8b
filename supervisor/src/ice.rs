//! The ICE servers that peers are given, TURN with credentials that run out.
//!
//! The scheme is coturn's REST one (draft-uberti-behave-turn-rest): user name `expiry:peer id`, password
//! base64(HMAC-SHA1(secret, user name)). The TURN server knows the secret, and no list of users.

use std::io::{self, ErrorKind};
use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use protocol::id::PeerId;
use protocol::signal::IceServer;
use sha1::Sha1;

use crate::config::{Config, Secret};

/// What the unit calls the secret that it hands over.
const CREDENTIAL: &str = "turn-secret";

/// What is handed out.
#[derive(Clone)]
pub(crate) struct IceServers {
    stun: Vec<String>,
    turn: Option<Turn>,
}

#[derive(Clone)]
struct Turn {
    urls: Vec<String>,
    secret: String,
    lifetime_s: u32,
}

impl IceServers {
    /// As the configuration says; reads the secret's file.
    pub(crate) fn new(config: &Config) -> anyhow::Result<Self> {
        let stun = config.stun.urls.iter().map(|url| url.0.clone()).collect();
        let turn = config.turn.as_ref().map(|turn| {
            let secret = read(&turn.secret)?;
            anyhow::Ok(Turn {
                urls: turn.urls.clone(),
                secret,
                lifetime_s: turn.lifetime_s,
            })
        });
        Ok(Self {
            stun,
            turn: turn.transpose()?,
        })
    }

    /// For one peer, at one moment: microseconds since 1970.
    pub(crate) fn for_peer(&self, peer: PeerId, now_us: i64) -> Vec<IceServer> {
        let stun = (!self.stun.is_empty()).then(|| IceServer {
            urls: self.stun.clone(),
            username: None,
            credential: None,
        });
        stun.into_iter()
            .chain(self.turn.as_ref().map(|turn| turn.for_peer(peer, now_us)))
            .collect()
    }
}

impl Turn {
    fn for_peer(&self, peer: PeerId, now_us: i64) -> IceServer {
        let expiry = now_us / 1_000_000 + i64::from(self.lifetime_s);
        let username = format!("{expiry}:{peer}");
        let mut hmac = Hmac::<Sha1>::new_from_slice(self.secret.as_bytes())
            .expect("HMAC takes keys of any length");
        hmac.update(username.as_bytes());
        let credential = BASE64_STANDARD.encode(hmac.finalize().into_bytes());
        IceServer {
            urls: self.urls.clone(),
            username: Some(username),
            credential: Some(credential),
        }
    }
}

fn read(secret: &Secret) -> anyhow::Result<String> {
    match secret {
        Secret::Here(secret) => Ok(secret.clone()),
        Secret::In(path) => {
            let handed_over = daemon::credential(CREDENTIAL)?;
            in_file(path, std::fs::read_to_string(path), handed_over)
        }
    }
}

/// The file's secret; where root alone may read it, what systemd handed over of it.
fn in_file(
    path: &Path,
    read: io::Result<String>,
    handed_over: Option<String>,
) -> anyhow::Result<String> {
    let text = match (read, handed_over) {
        (Ok(text), _) => text,
        (Err(error), Some(secret)) if error.kind() == ErrorKind::PermissionDenied => secret,
        (Err(error), _) => return Err(unreadable(path, error)),
    };
    let secret = text.trim();
    anyhow::ensure!(
        !secret.is_empty(),
        "the secret of the TURN server in {} is empty",
        path.display()
    );
    Ok(secret.to_owned())
}

fn unreadable(path: &Path, error: io::Error) -> anyhow::Error {
    let path = path.display();
    let words = if error.kind() == ErrorKind::PermissionDenied {
        format!(
            "this user may not read the secret of the TURN server in {path}: have systemd hand it over, \
             by LoadCredential={CREDENTIAL}:{path} in the unit, or let this user read it"
        )
    } else {
        format!("reading the secret of the TURN server from {path}")
    };
    anyhow::Error::new(error).context(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_what_coturn_computes() {
        let turn = Turn {
            urls: vec!["turn:t".into()],
            secret: "north".into(),
            lifetime_s: 3600,
        };
        let server = turn.for_peer(PeerId::from_bytes([0xab; 16]), 1_700_000_000_000_000);
        let username = "1700003600:abababababababababababababababab";
        assert_eq!(server.username.as_deref(), Some(username));
        // echo -n USERNAME | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(
            server.credential.as_deref(),
            Some("zQBeVXUZ0vjUkvrGIpZpvCCcmeY=")
        );
    }

    fn secret(read: io::Result<&str>, handed_over: Option<&str>) -> anyhow::Result<String> {
        let path = Path::new("/etc/ownstream/turn-secret");
        in_file(path, read.map(Into::into), handed_over.map(Into::into))
    }

    #[test]
    fn a_secret_that_root_alone_may_read_is_taken_from_systemd() {
        let denied = || Err(ErrorKind::PermissionDenied.into());
        let handed_over = secret(denied(), Some("north\n"));
        assert_eq!(handed_over.expect("systemd has it"), "north");
        let error = secret(denied(), None).expect_err("nobody has it");
        let words = format!("{error:#}");
        let advice = "LoadCredential=turn-secret:/etc/ownstream/turn-secret";
        assert!(words.contains(advice), "{words}");
    }

    #[test]
    fn a_secret_that_can_be_read_is_the_file_s_and_a_missing_file_is_named() {
        let read = secret(Ok("south\n"), Some("north"));
        assert_eq!(read.expect("it is there"), "south");
        let missing = Err(ErrorKind::NotFound.into());
        let error = secret(missing, Some("north")).expect_err("there is no such file");
        assert_eq!(
            error.to_string(),
            "reading the secret of the TURN server from /etc/ownstream/turn-secret"
        );
    }

    #[test]
    fn without_servers_none_are_handed_out() {
        let none = IceServers {
            stun: Vec::new(),
            turn: None,
        };
        assert!(none.for_peer(PeerId::from_bytes([0; 16]), 0).is_empty());
    }
}
