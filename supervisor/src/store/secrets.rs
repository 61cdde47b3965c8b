//! The seed that everything this supervisor signs goes back to, and what the operator proves itself with.

use protocol::security::secret::Seed;
use redb::{ReadableTable as _, TableDefinition, WriteTransaction};

use super::{Store, StoreError};

const SECRETS: TableDefinition<'static, &str, &[u8; 32]> = TableDefinition::new("secrets");
const ABOUT: TableDefinition<'static, &str, u32> = TableDefinition::new("about");

const WORDS: TableDefinition<'static, &str, &str> = TableDefinition::new("secret words");

const SEED: &str = "authority seed";
const OPERATOR: &str = "operator token, SHA-256";
const PASSWORD: &str = "operator password, Argon2";
const FORMAT_KEY: &str = "format";
const TERM_KEY: &str = "term";

impl Store {
    /// The certification authority's seed. The first time it is `fresh`, from then on always the same.
    pub(crate) fn authority_seed(&self, fresh: Seed) -> Result<Seed, StoreError> {
        self.write(|transaction| {
            let mut table = transaction
                .open_table(SECRETS)
                .map_err(StoreError::failed)?;
            let kept = table
                .get(SEED)
                .map_err(StoreError::failed)?
                .map(|seed| Seed::from_bytes(*seed.value()));
            if let Some(kept) = kept {
                return Ok(kept);
            }
            table
                .insert(SEED, fresh.as_bytes())
                .map_err(StoreError::failed)?;
            Ok(fresh)
        })
    }

    /// The term of a start at this time, seconds since 1970, and the last one kept: greater than all before, even on a board
    /// whose clock has gone back because nothing keeps it while the power is off. 32 bits last until 2106.
    pub(crate) fn next_term(&self, now_s: u64) -> Result<u64, StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(ABOUT).map_err(StoreError::failed)?;
            let last = table
                .get(TERM_KEY)
                .map_err(StoreError::failed)?
                .map_or(0, |last| last.value());
            let now = u32::try_from(now_s).unwrap_or(u32::MAX);
            let term = now.max(last.saturating_add(1));
            table.insert(TERM_KEY, term).map_err(StoreError::failed)?;
            Ok(term.into())
        })
    }

    /// SHA-256 of the operator's token, if one was made.
    pub(crate) fn operator_token(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let transaction = self.read()?;
        let table = transaction
            .open_table(SECRETS)
            .map_err(StoreError::failed)?;
        let hash = table.get(OPERATOR).map_err(StoreError::failed)?;
        Ok(hash.map(|hash| *hash.value()))
    }

    /// What is kept of the operator's password, if one was set.
    pub(crate) fn operator_password(&self) -> Result<Option<String>, StoreError> {
        let transaction = self.read()?;
        let table = transaction.open_table(WORDS).map_err(StoreError::failed)?;
        let kept = table.get(PASSWORD).map_err(StoreError::failed)?;
        Ok(kept.map(|kept| kept.value().to_owned()))
    }

    /// Replaces it.
    pub(crate) fn set_operator_password(&self, hash: &str) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut table = transaction.open_table(WORDS).map_err(StoreError::failed)?;
            table.insert(PASSWORD, hash).map_err(StoreError::failed)?;
            Ok(())
        })
    }

    /// Replaces the operator's token.
    pub(crate) fn set_operator_token(&self, hash: [u8; 32]) -> Result<(), StoreError> {
        self.write(|transaction| {
            let mut table = transaction
                .open_table(SECRETS)
                .map_err(StoreError::failed)?;
            table.insert(OPERATOR, &hash).map_err(StoreError::failed)?;
            Ok(())
        })
    }
}

pub(super) fn create(transaction: &WriteTransaction) -> Result<(), StoreError> {
    transaction
        .open_table(WORDS)
        .map(drop)
        .map_err(StoreError::failed)?;
    transaction
        .open_table(SECRETS)
        .map(drop)
        .map_err(StoreError::failed)
}

/// The format of the tables; `ours` when there was none yet.
pub(super) fn format(transaction: &WriteTransaction, ours: u32) -> Result<u32, StoreError> {
    let mut table = transaction.open_table(ABOUT).map_err(StoreError::failed)?;
    let found = table
        .get(FORMAT_KEY)
        .map_err(StoreError::failed)?
        .map(|found| found.value());
    if found.is_none() {
        table.insert(FORMAT_KEY, ours).map_err(StoreError::failed)?;
    }
    Ok(found.unwrap_or(ours))
}
