//! A relay that lies: all its machines are real, and what it passes on to its children is not what it got.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use peer::transport::{
    Channel, Connection, Events, IceServer, Role, SendError, Transport, TransportError,
};
use protocol::id::{Fingerprint, LinkId};

/// What it does to the chunks it passes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Trick {
    /// Another byte in each tenth.
    Alter,
    /// Another number on each tenth.
    Renumber,
    /// Says that each tenth belongs to another stream.
    Splice,
    /// Every two in the wrong order: no lie, for that is what a network does.
    Reorder,
}

/// The length of the header's fields before the one that is changed; `protocol::chunk` has them.
const HANDLE_AT: usize = 8;
const SEQUENCE_ENDS_AT: usize = 31;

/// A transport whose connections play a trick on the other side, from some time on.
pub struct Lying {
    /// The honest one.
    pub inner: Arc<dyn Transport>,
    /// What is done.
    pub trick: Trick,
    /// From when on.
    pub from: Instant,
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
        Ok(Box::new(LyingConnection {
            inner: self.inner.open(link, role, events).await?,
            trick: self.trick,
            from: self.from,
            sent: AtomicU64::new(0),
            kept: Mutex::new(None),
        }))
    }
}

struct LyingConnection {
    inner: Box<dyn Connection>,
    trick: Trick,
    from: Instant,
    sent: AtomicU64,
    /// The chunk held back.
    kept: Mutex<Option<Bytes>>,
}

impl LyingConnection {
    /// What goes out in the place of `message`.
    fn twist(&self, message: &Bytes) -> Vec<Bytes> {
        if Instant::now() < self.from {
            return vec![message.clone()];
        }
        let tenth = self.sent.fetch_add(1, Ordering::Relaxed) % 10 == 9;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let with = |at: usize| {
            let mut changed = BytesMut::from(&message[..]);
            if let Some(byte) = changed.get_mut(at) {
                *byte ^= 1;
            }
            vec![changed.freeze()]
        };
        match self.trick {
            Trick::Alter if tenth => with(message.len().saturating_sub(1)),
            Trick::Renumber if tenth => with(SEQUENCE_ENDS_AT),
            Trick::Splice if tenth => with(HANDLE_AT),
            Trick::Reorder => match kept.take() {
                Some(earlier) => vec![message.clone(), earlier],
                None => {
                    *kept = Some(message.clone());
                    Vec::new()
                }
            },
            _ => vec![message.clone()],
        }
    }
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
        if channel == Channel::Control {
            return self.inner.try_send(channel, message).await;
        }
        for twisted in self.twist(message) {
            self.inner.try_send(channel, &twisted).await?;
        }
        Ok(())
    }

    async fn media_buffered(&self) -> usize {
        self.inner.media_buffered().await
    }

    async fn set_low_water(&self, bytes: usize) {
        self.inner.set_low_water(bytes).await;
    }

    async fn close(self: Box<Self>) {
        self.inner.close().await;
    }
}

/// How long it is honest first.
pub const HONEST_AT_FIRST: Duration = Duration::from_secs(3);
