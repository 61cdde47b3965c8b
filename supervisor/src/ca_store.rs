//! The certification authority as this supervisor holds it: its seed is in the store, its key in memory, and these
//! are the texts it makes for people.

use std::sync::Arc;

use protocol::security::authority;
use protocol::security::secret::{Seed, TokenSecret};
use protocol::security::token::{Invitation, JoinToken};

use crate::store::{Role, Store, StoreError};

/// Makes what only this supervisor can make. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Authority(Arc<authority::Authority>);

impl Authority {
    /// The one whose seed is in the store; makes one the first time.
    pub(crate) fn open(store: &Store) -> Result<Self, StoreError> {
        let seed = store.authority_seed(Seed::from_bytes(rand::random()))?;
        Ok(Self(Arc::new(authority::Authority::new(&seed))))
    }

    /// The text that an operator gives to a service.
    pub(crate) fn join_token(&self, secret: TokenSecret, role: Role) -> String {
        let token = JoinToken {
            secret,
            role: role.into(),
            authority: self.0.fingerprint(),
        };
        token.to_text()
    }

    /// The text that lets whoever has it watch a stream.
    pub(crate) fn invitation(&self, invitation: &Invitation) -> String {
        self.0.invite(invitation)
    }
}

#[cfg(test)]
mod tests {
    use protocol::id::{InvitationId, StreamId};

    use super::*;

    #[test]
    fn what_it_signs_is_its_own_after_a_restart_too() {
        let dir = tempfile::tempdir().expect("a directory");
        let open = || {
            let store = Store::open(dir.path()).expect("it opens");
            Authority::open(&store).expect("a seed")
        };
        let stream = StreamId::from_bytes([7; 16]);
        let invitation = Invitation {
            stream,
            not_after_s: 1_000,
            id: InvitationId::from_bytes([8; 16]),
        };
        let text = open().invitation(&invitation);
        let public = open().0.public();
        let read = Invitation::check(&text, &public, 999);
        assert_eq!(read, Ok(invitation));
    }
}
