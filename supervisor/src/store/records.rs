//! Tables whose values are records in postcard, and the list of all of them.

use std::marker::PhantomData;

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{StoreError, blocked, enrolled, invitations, secrets, streams, tokens};

/// A table from keys of `N` bytes to records.
pub(super) struct Records<const N: usize, V> {
    table: TableDefinition<'static, &'static [u8; N], &'static [u8]>,
    value: PhantomData<V>,
}

impl<const N: usize, V: Serialize + DeserializeOwned> Records<N, V> {
    pub(super) const fn new(name: &'static str) -> Self {
        Self {
            table: TableDefinition::new(name),
            value: PhantomData,
        }
    }

    /// What a transaction that writes sees under that key.
    pub(super) fn get(
        &self,
        transaction: &WriteTransaction,
        key: &[u8; N],
    ) -> Result<Option<V>, StoreError> {
        let table = transaction
            .open_table(self.table)
            .map_err(StoreError::failed)?;
        let found = table.get(key).map_err(StoreError::failed)?;
        found.map(|bytes| decode(bytes.value())).transpose()
    }

    pub(super) fn put(
        &self,
        transaction: &WriteTransaction,
        key: &[u8; N],
        value: &V,
    ) -> Result<(), StoreError> {
        let bytes =
            postcard::to_allocvec(value).map_err(|error| StoreError::Failed(error.to_string()))?;
        let mut table = transaction
            .open_table(self.table)
            .map_err(StoreError::failed)?;
        table
            .insert(key, bytes.as_slice())
            .map_err(StoreError::failed)?;
        Ok(())
    }

    /// Removes the record under that key, and gives it.
    pub(super) fn take(
        &self,
        transaction: &WriteTransaction,
        key: &[u8; N],
    ) -> Result<Option<V>, StoreError> {
        let mut table = transaction
            .open_table(self.table)
            .map_err(StoreError::failed)?;
        let found = table.remove(key).map_err(StoreError::failed)?;
        found.map(|bytes| decode(bytes.value())).transpose()
    }

    /// Removes those for which that holds.
    pub(super) fn remove_if(
        &self,
        transaction: &WriteTransaction,
        mut unwanted: impl FnMut(&V) -> bool,
    ) -> Result<(), StoreError> {
        let mut table = transaction
            .open_table(self.table)
            .map_err(StoreError::failed)?;
        // A record that cannot be read is kept: whoever reads it says so.
        let keep = |_: &[u8; N], bytes: &[u8]| !decode(bytes).is_ok_and(|value| unwanted(&value));
        table.retain(keep).map_err(StoreError::failed)
    }

    /// The record under that key.
    pub(super) fn one(
        &self,
        transaction: &ReadTransaction,
        key: &[u8; N],
    ) -> Result<Option<V>, StoreError> {
        let table = transaction
            .open_table(self.table)
            .map_err(StoreError::failed)?;
        let found = table.get(key).map_err(StoreError::failed)?;
        found.map(|bytes| decode(bytes.value())).transpose()
    }

    /// All records, in the order of their keys.
    pub(super) fn all(
        &self,
        transaction: &ReadTransaction,
    ) -> Result<Vec<([u8; N], V)>, StoreError> {
        let table = transaction
            .open_table(self.table)
            .map_err(StoreError::failed)?;
        let rows = table.iter().map_err(StoreError::failed)?;
        rows.map(|row| {
            let (key, bytes) = row.map_err(StoreError::failed)?;
            Ok((*key.value(), decode(bytes.value())?))
        })
        .collect()
    }

    fn create(&self, transaction: &WriteTransaction) -> Result<(), StoreError> {
        transaction
            .open_table(self.table)
            .map(drop)
            .map_err(StoreError::failed)
    }
}

fn decode<V: DeserializeOwned>(bytes: &[u8]) -> Result<V, StoreError> {
    postcard::from_bytes(bytes)
        .map_err(|error| StoreError::Failed(format!("a record of {} bytes: {error}", bytes.len())))
}

/// So that whoever only reads finds a table, if an empty one.
pub(super) fn create_tables(transaction: &WriteTransaction) -> Result<(), StoreError> {
    secrets::create(transaction)?;
    tokens::TOKENS.create(transaction)?;
    enrolled::ENROLLED.create(transaction)?;
    blocked::BLOCKED.create(transaction)?;
    invitations::INVITATIONS.create(transaction)?;
    streams::STREAMS.create(transaction)?;
    streams::KEYS.create(transaction)
}
