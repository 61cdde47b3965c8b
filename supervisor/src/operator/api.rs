//! What operators and supervisor say to each other, in JSON. Times are seconds since 1970.

use protocol::id::{InvitationId, KeyFingerprint, StreamId, TokenDigest};
use protocol::signal::Component;
use serde::{Deserialize, Serialize};

use crate::store::{Blocked, Enrolled, Invited, JoinToken, Role};

/// Below this, over TCP and over the control socket.
pub(crate) const ROOT: &str = "/api/operator";

/// `POST tokens`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    pub(crate) role: Role,
    pub(crate) expires_in_s: u64,
}

/// Its answer: the only time that the token is seen.
#[derive(Serialize, Deserialize)]
pub(crate) struct TokenMade {
    pub(crate) token: String,
    pub(crate) role: Role,
    pub(crate) expires_s: u64,
}

/// One of `GET tokens`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct TokenRow {
    /// The beginning of the hash of its secret: to tell tokens apart, and to use none.
    pub(crate) id: String,
    pub(crate) role: Role,
    pub(crate) made_s: u64,
    pub(crate) expires_s: u64,
    pub(crate) used_by: Option<KeyFingerprint>,
}

impl From<(TokenDigest, JoinToken)> for TokenRow {
    fn from((hash, token): (TokenDigest, JoinToken)) -> Self {
        Self {
            id: hex::encode(&hash.as_bytes()[..4]),
            role: token.role,
            made_s: token.made_s,
            expires_s: token.expires_s,
            used_by: token.used_by,
        }
    }
}

/// One of `GET peers`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PeerRow {
    pub(crate) fingerprint: KeyFingerprint,
    pub(crate) role: Role,
    pub(crate) name: String,
    pub(crate) enrolled_s: u64,
    pub(crate) revoked_s: Option<u64>,
}

impl From<(KeyFingerprint, Enrolled)> for PeerRow {
    fn from((fingerprint, peer): (KeyFingerprint, Enrolled)) -> Self {
        Self {
            fingerprint,
            role: peer.role,
            name: peer.name,
            enrolled_s: peer.enrolled_s,
            revoked_s: peer.revoked_s,
        }
    }
}

/// Answer to `POST peers/{beginning of a fingerprint}/revoke`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Revoked {
    pub(crate) fingerprint: KeyFingerprint,
    pub(crate) role: Role,
    pub(crate) name: String,
    /// How many peers with that key were connected; none when nobody could be asked.
    pub(crate) connected: Option<usize>,
}

/// One of `GET blocks`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BlockRow {
    pub(crate) fingerprint: KeyFingerprint,
    pub(crate) component: Component,
    pub(crate) name: Option<String>,
    /// Program and version: the browser, of a viewer.
    pub(crate) software: String,
    pub(crate) since_s: u64,
}

impl From<(KeyFingerprint, Blocked)> for BlockRow {
    fn from((fingerprint, blocked): (KeyFingerprint, Blocked)) -> Self {
        Self {
            fingerprint,
            component: blocked.component,
            name: blocked.name,
            software: blocked.software,
            since_s: blocked.since_s,
        }
    }
}

/// Answer to `POST blocks/{beginning of a fingerprint}/lift`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Lifted {
    pub(crate) fingerprint: KeyFingerprint,
    pub(crate) component: Component,
    pub(crate) name: Option<String>,
}

/// `POST invitations`
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationRequest {
    pub(crate) stream: String,
    pub(crate) expires_in_s: u64,
}

/// Its answer.
#[derive(Serialize, Deserialize)]
pub(crate) struct Invitation {
    pub(crate) id: InvitationId,
    pub(crate) link: String,
    pub(crate) invitation: String,
    pub(crate) not_after_s: u64,
}

/// One of `GET invitations`. Its text was seen once, and is not kept.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InvitationRow {
    pub(crate) id: InvitationId,
    pub(crate) stream: StreamId,
    /// What the stream was called when it was made.
    pub(crate) name: String,
    pub(crate) made_s: u64,
    pub(crate) not_after_s: u64,
    pub(crate) revoked_s: Option<u64>,
    /// How many watch by it now; none when nobody could be asked.
    pub(crate) watching: Option<usize>,
}

impl From<(InvitationId, Invited)> for InvitationRow {
    fn from((id, invited): (InvitationId, Invited)) -> Self {
        Self {
            id,
            stream: invited.stream,
            name: invited.name,
            made_s: invited.made_s,
            not_after_s: invited.not_after_s,
            revoked_s: invited.revoked_s,
            watching: None,
        }
    }
}

/// Answer to `POST invitations/{beginning of an id}/revoke`
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InvitationRevoked {
    pub(crate) id: InvitationId,
    pub(crate) name: String,
    /// How many watched by it, and are put out; none when nobody could be asked.
    pub(crate) watching: Option<usize>,
}

/// Answer to `POST operator-token`, over the control socket alone.
#[derive(Serialize, Deserialize)]
pub(crate) struct OperatorToken {
    pub(crate) token: String,
}

/// `POST operator-password`, over the control socket; `POST /api/login`
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordRequest {
    pub(crate) password: String,
}

/// The answer to what has no other.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) done: bool,
}

/// Every answer that is no success.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Complaint {
    pub(crate) error: String,
}
