//! Join tokens: each lets one key in, once, as one role. Only the hash of a token's secret is kept.

use protocol::id::{KeyFingerprint, TokenDigest};
use serde::{Deserialize, Serialize};

use super::records::Records;
use super::{EnrolError, Role, Store, StoreError, enrolled};

pub(super) const TOKENS: Records<32, JoinToken> = Records::new("join tokens");

/// A token that ran out is listed for this long, to be seen by who wonders. Guess: a week.
const KEPT_S: u64 = 7 * 86_400;

/// What is kept of a join token. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JoinToken {
    pub(crate) role: Role,
    pub(crate) made_s: u64,
    pub(crate) expires_s: u64,
    pub(crate) used_by: Option<KeyFingerprint>,
}

/// Why a join token lets nobody in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error("this supervisor did not make that join token")]
    Unknown,
    #[error("the join token has expired")]
    Expired,
    #[error("the join token was used by another peer already")]
    Used,
    #[error("the join token is for a {made_for}, not for a {wanted}")]
    Role { made_for: Role, wanted: Role },
    #[error("this peer's key was revoked: it takes a join token made since then")]
    Revoked,
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Keeps a token that was made.
    pub(crate) fn save_token(
        &self,
        digest: &TokenDigest,
        token: &JoinToken,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let old = |kept: &JoinToken| kept.expires_s + KEPT_S < token.made_s;
            TOKENS.remove_if(transaction, old)?;
            TOKENS.put(transaction, digest.as_bytes(), token)
        })
    }

    /// All tokens, those used and those expired of late among them.
    pub(crate) fn tokens(&self) -> Result<Vec<(TokenDigest, JoinToken)>, StoreError> {
        let rows = TOKENS.all(&self.read()?)?;
        let named = |(digest, token)| (TokenDigest::from_bytes(digest), token);
        Ok(rows.into_iter().map(named).collect())
    }

    /// Uses a token up for that key, and enrols the key: both or neither.
    ///
    /// The same key may come with it again: it has lost the answer, and is enrolled already. Whoever wants another
    /// role than the token's leaves it unused: a token pasted into the wrong file is still good for the right one.
    pub(crate) fn consume_token(
        &self,
        digest: &TokenDigest,
        key: KeyFingerprint,
        wanted: Role,
        name: &str,
        now_s: u64,
    ) -> Result<(), TokenError> {
        self.write(|transaction| {
            let mut token = TOKENS
                .get(transaction, digest.as_bytes())?
                .ok_or(TokenError::Unknown)?;
            match token.used_by {
                Some(user) if user != key => return Err(TokenError::Used),
                None if token.expires_s <= now_s => return Err(TokenError::Expired),
                _ => {}
            }
            if token.role != wanted {
                let made_for = token.role;
                return Err(TokenError::Role { made_for, wanted });
            }
            let entry = enrolled::Entry {
                role: token.role,
                name,
                now_s,
                invited_s: token.made_s,
            };
            entry.write(transaction, key).map_err(|error| match error {
                EnrolError::Revoked => TokenError::Revoked,
                EnrolError::Store(error) => TokenError::Store(error),
            })?;
            token.used_by = Some(key);
            TOKENS.put(transaction, digest.as_bytes(), &token)?;
            Ok(())
        })
    }
}
