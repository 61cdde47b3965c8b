//! Which public keys are whose: enrolled once, until revoked.

use protocol::id::KeyFingerprint;
use redb::WriteTransaction;
use serde::{Deserialize, Serialize};

use super::records::Records;
use super::{Role, Store, StoreError};

pub(super) const ENROLLED: Records<32, Enrolled> = Records::new("enrolled");

/// A peer that belongs here, or did. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enrolled {
    pub(crate) role: Role,
    /// What its owner calls it.
    pub(crate) name: String,
    pub(crate) enrolled_s: u64,
    pub(crate) revoked_s: Option<u64>,
}

/// Why a key is not enrolled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    #[error("this peer's key was revoked")]
    Revoked,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A key that is to be enrolled.
pub(super) struct Entry<'a> {
    pub(super) role: Role,
    pub(super) name: &'a str,
    pub(super) now_s: u64,
    /// When the operator last said that it is welcome: a revocation before that is lifted.
    pub(super) invited_s: u64,
}

impl Entry<'_> {
    pub(super) fn write(
        &self,
        transaction: &WriteTransaction,
        key: KeyFingerprint,
    ) -> Result<(), EnrolError> {
        let before = ENROLLED.get(transaction, key.as_bytes())?;
        let standing = before.filter(|kept| kept.revoked_s.is_none_or(|at| at >= self.invited_s));
        let enrolled_s = match standing {
            Some(kept) if kept.revoked_s.is_some() => return Err(EnrolError::Revoked),
            Some(kept) => kept.enrolled_s,
            None => self.now_s,
        };
        let entry = Enrolled {
            role: self.role,
            name: self.name.to_owned(),
            enrolled_s,
            revoked_s: None,
        };
        Ok(ENROLLED.put(transaction, key.as_bytes(), &entry)?)
    }
}

impl Store {
    /// Enrols a key without a token, or gives one that is enrolled another role or name. Lifts no revocation.
    #[cfg(test)]
    pub(crate) fn enrol(
        &self,
        key: KeyFingerprint,
        role: Role,
        name: &str,
        now_s: u64,
    ) -> Result<(), EnrolError> {
        let entry = Entry {
            role,
            name,
            now_s,
            invited_s: 0,
        };
        self.write(|transaction| entry.write(transaction, key))
    }

    /// Revokes a key; returns what it was enrolled as. One that is revoked already stays as it is.
    pub(crate) fn revoke(
        &self,
        key: KeyFingerprint,
        now_s: u64,
    ) -> Result<Option<Enrolled>, StoreError> {
        self.write(|transaction| {
            let Some(mut entry) = ENROLLED.get(transaction, key.as_bytes())? else {
                return Ok(None);
            };
            entry.revoked_s = entry.revoked_s.or(Some(now_s));
            ENROLLED.put(transaction, key.as_bytes(), &entry)?;
            Ok(Some(entry))
        })
    }

    /// What that key is enrolled as, even if it was revoked.
    pub(crate) fn peer(&self, key: KeyFingerprint) -> Result<Option<Enrolled>, StoreError> {
        ENROLLED.one(&self.read()?, key.as_bytes())
    }

    /// All peers that were ever enrolled.
    pub(crate) fn peers(&self) -> Result<Vec<(KeyFingerprint, Enrolled)>, StoreError> {
        let rows = ENROLLED.all(&self.read()?)?;
        let named = |(key, entry)| (KeyFingerprint::from_bytes(key), entry);
        Ok(rows.into_iter().map(named).collect())
    }
}
