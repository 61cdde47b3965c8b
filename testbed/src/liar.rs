//! A relay that lies: all its machines are real, and what it passes on to its children is not what it got.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock, PoisonError};

use anyhow::Context as _;
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use hmac::{Hmac, KeyInit as _, Mac as _};
use peer::transport::{
    Channel, Connection, Events, IceServer, Role, SendError, Transport, TransportError,
};
use protocol::chunk::{Chunk, DIGEST_LEN, HEADER_LEN};
use protocol::id::{Fingerprint, LinkId, StreamHandle};
use protocol::security::boxes::{self, purpose};
use protocol::security::local::EllipticKey;
use protocol::security::secret::Seed;
use protocol::signal::{FromPeer, ToPeer};
use protocol::wire::Control;
use sha2::Sha256;

use crate::tap::{Tap, Towards};

/// What it does to those below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Trick {
    /// Another byte in each tenth chunk.
    Alter,
    /// Another number on each tenth.
    Renumber,
    /// In each tenth, what it has of another stream, under the header of this one.
    Splice,
    /// Every two in the wrong order: no lie, for that is what a network does.
    Reorder,
    /// One of the first again after each tenth: no lie either.
    Replay,
    /// Another byte in each tenth, under a digest made with the right stream key: as every member could.
    Forge,
    /// Random bytes in the place of each tenth.
    Garbage,
    /// Random bytes besides, where peers speak of their links.
    GarbageControl,
    /// Its own first certificate, for ever.
    Expired,
    /// A receiver's certificate.
    Borrowed,
    /// Nothing but that it hears of no refusal: put out, it takes the supervisor for away, and goes on.
    Deaf,
}

impl Trick {
    /// Whether it shows in what a child is sent.
    pub const fn lies(self) -> bool {
        !matches!(self, Self::Deaf)
    }
}

/// The length of the header's fields before the one that is changed; `protocol::chunk` has them.
const SEQUENCE_ENDS_AT: usize = 31;
/// How many chunks it keeps to say them again.
const REPLAYED: usize = 20;

/// Says once that a lie went out: whoever watches would else not know of a trick that was never played.
fn confess() {
    static SAID: Once = Once::new();
    SAID.call_once(|| println!("{}", serde_json::json!({ "lied": true })));
}

/// What it knows by being a member.
#[derive(Debug, Default)]
pub struct Loot {
    /// The stream's key, once it was given it.
    pub stream_key: Mutex<Option<[u8; 32]>>,
    /// The certificate it shows in the place of its own.
    pub certificate: OnceLock<Bytes>,
    /// Of each stream, the last chunk that it passed on.
    last: Mutex<BTreeMap<StreamHandle, Bytes>>,
}

impl Loot {
    /// Reads the texts between a relay and its supervisor, and opens what is sealed to the relay's own key.
    pub fn tap(
        self: &Arc<Self>,
        supervisor: &str,
        state_dir: &Path,
        trick: Trick,
    ) -> anyhow::Result<Tap> {
        let (loot, key) = (Arc::clone(self), state_dir.join("identity.key"));
        Tap::start(supervisor, move |towards, text| {
            if towards == Towards::Peer
                && let Ok(ToPeer::StreamKey { sealed, .. }) = ToPeer::parse(text)
                && let Ok(opened) = open_with(&key, &sealed.0)
            {
                *lock(&loot.stream_key) = Some(opened);
            }
            if let Ok(FromPeer::CollectPeerInfoResponse(info)) = FromPeer::parse(text) {
                // For whoever watches the liar: its name among the peers.
                println!("{}", serde_json::json!({ "peer": info.peer.to_string() }));
            }
            if trick == Trick::Deaf && matches!(ToPeer::parse(text), Ok(ToPeer::PeerRefused { .. }))
            {
                return Vec::new();
            }
            vec![(towards, text.to_owned())]
        })
    }
}

impl Loot {
    /// Keeps a chunk, and gives the last one of another stream.
    fn of_another(&self, message: &Bytes) -> Option<Bytes> {
        let stream = Chunk::decode(message.clone()).ok()?.header().handle;
        let mut last = lock(&self.last);
        last.insert(stream, message.clone());
        let mut others = last.iter().filter(|(handle, _)| **handle != stream);
        others.next().map(|(_, chunk)| chunk.clone())
    }
}

/// One chunk's header before another's digest and payload.
fn spliced(message: &Bytes, other: &Bytes) -> Bytes {
    let (header, rest) = (message.get(..HEADER_LEN), other.get(HEADER_LEN..));
    [header, rest]
        .into_iter()
        .flatten()
        .flatten()
        .copied()
        .collect()
}

/// The stream's key is the last of what is sealed.
fn open_with(key: &Path, sealed: &[u8]) -> anyhow::Result<[u8; 32]> {
    let text = std::fs::read_to_string(key)?;
    let mut seed = [0; 32];
    hex::decode_to_slice(text.trim(), &mut seed)?;
    let key = EllipticKey::new(Seed::from_bytes(seed));
    let task = boxes::open(&key.public_key(), purpose::STREAM_KEY, sealed)?;
    let answer = key.answer(&task).context("not for this key")?;
    let contents = boxes::finish_open(&key.public_key(), purpose::STREAM_KEY, sealed, &answer)?;
    contents.last_chunk().copied().context("too short")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A transport whose connections play a trick on children, once they are told to.
pub struct Lying {
    /// The honest one.
    pub inner: Arc<dyn Transport>,
    /// What is done.
    pub trick: Trick,
    /// Whether it has begun; until then it is honest.
    pub begun: Arc<AtomicBool>,
    /// What it is done with.
    pub loot: Arc<Loot>,
}

#[async_trait]
impl Transport for Lying {
    fn fingerprint(&self) -> Fingerprint {
        self.inner.fingerprint()
    }

    fn set_ice_servers(&self, servers: Vec<IceServer>, external_address: Option<IpAddr>) {
        self.inner.set_ice_servers(servers, external_address);
    }

    async fn open(
        &self,
        link: LinkId,
        role: Role,
        events: Events,
    ) -> Result<Box<dyn Connection>, TransportError> {
        // Children make the offers.
        let to_child = matches!(role, Role::Answer { .. });
        let inner = self.inner.open(link, role, events).await?;
        if !to_child {
            return Ok(inner);
        }
        Ok(Box::new(LyingConnection {
            inner,
            trick: self.trick,
            begun: Arc::clone(&self.begun),
            loot: Arc::clone(&self.loot),
            sent: AtomicU64::new(0),
            kept: Mutex::default(),
        }))
    }
}

struct LyingConnection {
    inner: Box<dyn Connection>,
    trick: Trick,
    begun: Arc<AtomicBool>,
    loot: Arc<Loot>,
    sent: AtomicU64,
    /// Chunks held back, or kept to be said again.
    kept: Mutex<Vec<Bytes>>,
}

impl LyingConnection {
    /// What goes out in the place of a chunk.
    fn twist(&self, message: &Bytes) -> Vec<Bytes> {
        if !self.begun.load(Ordering::Relaxed) {
            return vec![message.clone()];
        }
        let sent = self.sent.fetch_add(1, Ordering::Relaxed);
        let tenth = sent % 10 == 9;
        let mut kept = lock(&self.kept);
        let out = match self.trick {
            Trick::Alter if tenth => vec![flipped(message, message.len().saturating_sub(1))],
            Trick::Renumber if tenth => vec![flipped(message, SEQUENCE_ENDS_AT)],
            Trick::Splice => vec![match self.loot.of_another(message) {
                Some(other) if tenth => spliced(message, &other),
                _ => message.clone(),
            }],
            Trick::Garbage if tenth => vec![noise(message.len())],
            Trick::Forge if tenth => {
                let key = *lock(&self.loot.stream_key);
                let forged = key.and_then(|key| forged(&key, message));
                vec![forged.unwrap_or_else(|| message.clone())]
            }
            Trick::Reorder => match kept.pop() {
                Some(earlier) => vec![message.clone(), earlier],
                None => {
                    kept.push(message.clone());
                    Vec::new()
                }
            },
            Trick::Replay => {
                if kept.len() < REPLAYED {
                    kept.push(message.clone());
                }
                let again = kept[sent as usize % kept.len()].clone();
                let again = tenth.then_some(again);
                [message.clone()].into_iter().chain(again).collect()
            }
            _ => vec![message.clone()],
        };
        if out.last() != Some(message) {
            confess();
        }
        out
    }

    /// What goes out in the place of a word about the link.
    fn twist_word(&self, message: &Bytes) -> Vec<Bytes> {
        let shows_another = matches!(self.trick, Trick::Expired | Trick::Borrowed);
        if shows_another && let Ok(mut word) = Control::decode(message) {
            if let Control::Hello { certificate, .. } | Control::Certificate(certificate) =
                &mut word
            {
                let shown = self.loot.certificate.get_or_init(|| certificate.clone());
                if shown != certificate {
                    confess();
                }
                *certificate = shown.clone();
            }
            return vec![word.encode()];
        }
        if self.trick == Trick::GarbageControl && self.begun.load(Ordering::Relaxed) {
            confess();
            return vec![message.clone(), noise(100)];
        }
        vec![message.clone()]
    }
}

fn flipped(message: &Bytes, at: usize) -> Bytes {
    let mut changed = BytesMut::from(&message[..]);
    if let Some(byte) = changed.get_mut(at) {
        *byte ^= 1;
    }
    changed.freeze()
}

fn noise(len: usize) -> Bytes {
    (0..len).map(|_| rand::random::<u8>()).collect()
}

/// Its last byte is another one, and its digest fits again.
fn forged(key: &[u8; 32], message: &Bytes) -> Option<Bytes> {
    let altered = Chunk::decode(flipped(message, message.len() - 1)).ok()?;
    let [header, payload] = altered.digested();
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    let digest = mac.chain_update(header).chain_update(payload).finalize();
    let mut forged = BytesMut::from(&altered.message()[..]);
    forged
        .get_mut(HEADER_LEN..HEADER_LEN + DIGEST_LEN)?
        .copy_from_slice(&digest.into_bytes());
    Some(forged.freeze())
}

#[async_trait]
impl Connection for LyingConnection {
    async fn set_answer(&self, sdp: String) -> Result<(), TransportError> {
        self.inner.set_answer(sdp).await
    }

    async fn add_candidate(&self, candidate: String) -> Result<(), TransportError> {
        self.inner.add_candidate(candidate).await
    }

    async fn try_send(&self, channel: Channel, message: &Bytes) -> Result<(), SendError> {
        let twisted = match channel {
            Channel::Control => self.twist_word(message),
            Channel::Media => self.twist(message),
        };
        for message in twisted {
            self.inner.try_send(channel, &message).await?;
        }
        Ok(())
    }

    async fn media_buffered(&self) -> usize {
        self.inner.media_buffered().await
    }

    async fn set_low_water(&self, bytes: Option<usize>) {
        self.inner.set_low_water(bytes).await;
    }

    async fn close(self: Box<Self>) {
        self.inner.close().await;
    }
}
