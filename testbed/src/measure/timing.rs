//! How long the supervisor takes to answer an RSA challenge response: what an attacker who times it gets to see
//! (RUSTSEC-2023-0071).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use protocol::security::base64::Base64;
use protocol::security::local::{LocalKey, RsaKey};
use protocol::signal::{Component, FromPeer};
use tokio::runtime::Runtime;

use crate::intruder::{Intruder, Mask};
use crate::stage::Stage;

/// From the response to the verdict, sorted.
#[derive(Debug, Clone, Default)]
pub struct Timing {
    /// The right answer.
    pub right: Vec<Duration>,
    /// A ciphertext that opens, with the answer to another challenge in it.
    pub wrong: Vec<Duration>,
    /// A ciphertext that does not open.
    pub unreadable: Vec<Duration>,
}

/// Each kind `times` times, in turn.
pub fn rsa_timing(times: usize) -> anyhow::Result<Timing> {
    let stage = Stage::with_rsa()?;
    let _supervisor = stage.supervisor()?;
    let key = LocalKey::Rsa(Box::new(RsaKey::generate(&mut rand::rng(), 2048)?));
    let runtime = Runtime::new()?;
    let mut timing = Timing::default();
    let recorded = Arc::new(Mutex::new(String::new()));
    let record = |text: String| {
        recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&text);
        text
    };
    let replay = |_| {
        recorded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    };
    let noise = |_| {
        let answer = Base64((0..256).map(|_| rand::random()).collect());
        FromPeer::AuthenticationChallengeResponse { answer }.to_text()
    };
    for _ in 0..times {
        for (instead, took, wanted) in [
            (
                &record as &(dyn Fn(String) -> String + Sync),
                &mut timing.right,
                true,
            ),
            (&replay, &mut timing.wrong, false),
            (&noise, &mut timing.unreadable, false),
        ] {
            let begun = Arc::new(Mutex::new(None));
            let timed = |text| {
                let text = instead(text);
                *begun.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                text
            };
            let verdict = runtime.block_on(async {
                let mut peer = Intruder::knock(&stage.url()).await?;
                peer.answers(&Mask::new(Component::Receiver), &key, &timed)
                    .await
            })?;
            ensure!(verdict.is_ok() == wanted, "{verdict:?}");
            let begun = begun.lock().unwrap_or_else(PoisonError::into_inner);
            took.push(begun.context("it never answered")?.elapsed());
        }
    }
    for took in [&mut timing.right, &mut timing.wrong, &mut timing.unreadable] {
        took.sort_unstable();
    }
    Ok(timing)
}
