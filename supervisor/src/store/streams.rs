//! Streams: whose they are, how far their epochs have come, who may watch.

use std::collections::BTreeMap;

use protocol::id::{KeyFingerprint, StreamId};
use protocol::security::secret::StreamKey;
use serde::{Deserialize, Serialize};

use super::records::Records;
use super::{Store, StoreError};

pub(super) const STREAMS: Records<16, Stream> = Records::new("streams");
/// Streams' keys with their numbers: members go on with them when the supervisor starts again.
pub(super) const KEYS: Records<16, (u8, [u8; 32])> = Records::new("stream keys");

/// Who may watch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Access {
    Public,
    Invited,
}

/// A stream that was ever offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stream {
    /// The key it is bound to.
    pub(crate) owner: KeyFingerprint,
    pub(crate) name: String,
    /// The last that was issued; 0 is before all.
    pub(crate) last_epoch: u32,
    pub(crate) access: Access,
}

/// Why a stream is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("this stream belongs to another broadcaster")]
    OwnedByAnother,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Keeps a stream's key.
    pub(crate) fn save_stream_key(
        &self,
        id: StreamId,
        key_id: u8,
        key: &StreamKey,
    ) -> Result<(), StoreError> {
        let record = (key_id, *key.as_bytes());
        self.write(|transaction| KEYS.put(transaction, id.as_bytes(), &record))
    }

    /// All streams' keys.
    pub(crate) fn stream_keys(&self) -> Result<BTreeMap<StreamId, (u8, StreamKey)>, StoreError> {
        let rows = KEYS.all(&self.read()?)?;
        let named = |(id, (key_id, key))| {
            (
                StreamId::from_bytes(id),
                (key_id, StreamKey::from_bytes(key)),
            )
        };
        Ok(rows.into_iter().map(named).collect())
    }

    /// Keeps the last epoch of a stream that was issued, if the stream is kept. It never goes back.
    pub(crate) fn save_epoch(&self, id: StreamId, epoch: u32) -> Result<(), StoreError> {
        self.write(|transaction| {
            let Some(mut stream) = STREAMS.get(transaction, id.as_bytes())? else {
                return Ok(());
            };
            stream.last_epoch = stream.last_epoch.max(epoch);
            STREAMS.put(transaction, id.as_bytes(), &stream)
        })
    }

    /// Keeps a stream as it is now. It never changes hands, and its epochs never go back.
    pub(crate) fn save_stream(&self, id: StreamId, stream: &Stream) -> Result<(), StreamError> {
        self.write(|transaction| {
            let kept = STREAMS.get(transaction, id.as_bytes())?;
            let foreign = kept.as_ref().is_some_and(|kept| kept.owner != stream.owner);
            if foreign {
                return Err(StreamError::OwnedByAnother);
            }
            let mut stream = stream.clone();
            stream.last_epoch = kept
                .map_or(0, |kept| kept.last_epoch)
                .max(stream.last_epoch);
            Ok(STREAMS.put(transaction, id.as_bytes(), &stream)?)
        })
    }

    /// The stream of that id.
    #[cfg(test)]
    pub(crate) fn stream(&self, id: StreamId) -> Result<Option<Stream>, StoreError> {
        STREAMS.one(&self.read()?, id.as_bytes())
    }

    /// All streams that were ever offered.
    pub(crate) fn streams(&self) -> Result<Vec<(StreamId, Stream)>, StoreError> {
        let rows = STREAMS.all(&self.read()?)?;
        let named = |(id, stream)| (StreamId::from_bytes(id), stream);
        Ok(rows.into_iter().map(named).collect())
    }
}
