//! Invitations that were made: to be listed, and to be taken back one by one. Their texts are not kept.

use protocol::id::{InvitationId, StreamId};
use serde::{Deserialize, Serialize};

use super::records::Records;
use super::{Store, StoreError};

pub(super) const INVITATIONS: Records<16, Invited> = Records::new("invitations");

/// One that ran out is listed for this long, to be seen by who wonders. Guess: a week, as with join tokens.
const KEPT_S: u64 = 7 * 86_400;

/// What is kept of an invitation. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Invited {
    pub(crate) stream: StreamId,
    /// What the stream was called then.
    pub(crate) name: String,
    pub(crate) made_s: u64,
    pub(crate) not_after_s: u64,
    pub(crate) revoked_s: Option<u64>,
}

impl Store {
    /// Keeps an invitation that is made.
    pub(crate) fn save_invitation(
        &self,
        id: InvitationId,
        invited: &Invited,
    ) -> Result<(), StoreError> {
        self.write(|transaction| {
            let old = |kept: &Invited| kept.not_after_s.saturating_add(KEPT_S) < invited.made_s;
            INVITATIONS.remove_if(transaction, old)?;
            INVITATIONS.put(transaction, id.as_bytes(), invited)
        })
    }

    /// Takes one back; returns what it was for. One that was taken back already stays as it is.
    pub(crate) fn revoke_invitation(
        &self,
        id: InvitationId,
        now_s: u64,
    ) -> Result<Option<Invited>, StoreError> {
        self.write(|transaction| {
            let Some(mut invited) = INVITATIONS.get(transaction, id.as_bytes())? else {
                return Ok(None);
            };
            invited.revoked_s = invited.revoked_s.or(Some(now_s));
            INVITATIONS.put(transaction, id.as_bytes(), &invited)?;
            Ok(Some(invited))
        })
    }

    /// All of them, those taken back and those that ran out of late among them.
    pub(crate) fn invitations(&self) -> Result<Vec<(InvitationId, Invited)>, StoreError> {
        let rows = INVITATIONS.all(&self.read()?)?;
        let named = |(id, invited)| (InvitationId::from_bytes(id), invited);
        Ok(rows.into_iter().map(named).collect())
    }
}
