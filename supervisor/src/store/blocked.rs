//! Keys that the operator has blocked, until the block is lifted.

use std::collections::BTreeSet;

use protocol::id::KeyFingerprint;
use protocol::signal::Component;
use serde::{Deserialize, Serialize};

use super::records::Records;
use super::{Store, StoreError};

pub(super) const BLOCKED: Records<32, Blocked> = Records::new("blocked");

/// Whose key it is, for whoever wonders later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blocked {
    pub(crate) component: Component,
    /// What its owner calls it.
    pub(crate) name: Option<String>,
    /// Program and version: the browser, of a viewer.
    pub(crate) software: String,
    /// Seconds since 1970.
    pub(crate) since_s: u64,
}

impl Store {
    /// Blocks a key. One that is blocked already is so since then.
    pub(crate) fn block(&self, key: KeyFingerprint, blocked: &Blocked) -> Result<(), StoreError> {
        self.write(
            |transaction| match BLOCKED.get(transaction, key.as_bytes())? {
                Some(_) => Ok(()),
                None => BLOCKED.put(transaction, key.as_bytes(), blocked),
            },
        )
    }

    /// Lifts a block; gives whom it kept out.
    pub(crate) fn lift(&self, key: KeyFingerprint) -> Result<Option<Blocked>, StoreError> {
        self.write(|transaction| BLOCKED.take(transaction, key.as_bytes()))
    }

    /// All that are blocked.
    pub(crate) fn blocks(&self) -> Result<Vec<(KeyFingerprint, Blocked)>, StoreError> {
        let rows = BLOCKED.all(&self.read()?)?;
        let named = |(key, blocked)| (KeyFingerprint::from_bytes(key), blocked);
        Ok(rows.into_iter().map(named).collect())
    }

    /// Their keys alone.
    pub(crate) fn blocked_keys(&self) -> Result<BTreeSet<KeyFingerprint>, StoreError> {
        Ok(self.blocks()?.into_iter().map(|(key, _)| key).collect())
    }
}
