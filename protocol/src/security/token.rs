//! What people carry from one machine to another: the join token of a service, and the invitation in a link.

use core::fmt;
use core::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::secret::TokenSecret;
use super::signed::{self, Domain, SignedError};
use crate::id::{AuthorityFingerprint, InvitationId, SignerKey, StreamId, TokenDigest};
use crate::signal::Component;

/// What a join token begins with, so that people and programs know one when they see it.
const PREFIX: &str = "own1-";
/// Longest text that is looked at: a join token has 71 characters.
const MAX_TOKEN: usize = 200;
/// Longest invitation, characters; one has 142 at most.
pub const MAX_INVITATION: usize = 200;

const TOKEN_DOMAIN: &[u8] = b"ownstream/1 join token\0";

impl TokenSecret {
    /// What the supervisor keeps, and looks a token up by.
    pub fn digest(&self) -> TokenDigest {
        let digest = Sha256::new_with_prefix(TOKEN_DOMAIN).chain_update(self.as_bytes());
        TokenDigest::from_bytes(digest.finalize().into())
    }
}

/// Lets a service in once, and tells it which supervisor is the right one.
#[derive(Clone)]
pub struct JoinToken {
    /// What proves that one has it.
    pub secret: TokenSecret,
    /// What the service will be; the supervisor knows it as well.
    pub role: Component,
    /// The authority it must find.
    pub authority: AuthorityFingerprint,
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JoinToken({:?}, {:?})", self.role, self.authority)
    }
}

/// Why a text is not a join token. Says nothing of the text: it may be one with a slip in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// Something else altogether.
    #[error("a join token begins with {PREFIX:?}")]
    Prefix,
    /// Too long, or a character that stands in none.
    #[error("the join token has a character too many, or one that is in no token")]
    Characters,
    /// Cut, or garbled.
    #[error("the join token is not whole: copy all of it")]
    Incomplete,
}

impl JoinToken {
    /// The text for people: to be shown once, to whoever asked for it.
    pub fn to_text(&self) -> String {
        let parts = (self.secret.as_bytes(), self.role, self.authority);
        let bytes = postcard::to_allocvec(&parts).expect("nothing that postcard cannot");
        format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let body = text.trim().strip_prefix(PREFIX).ok_or(TokenError::Prefix)?;
        if body.len() > MAX_TOKEN {
            return Err(TokenError::Characters);
        }
        let bytes = match URL_SAFE_NO_PAD.decode(body) {
            Ok(bytes) => bytes,
            Err(base64::DecodeError::InvalidByte(..)) => return Err(TokenError::Characters),
            Err(_) => return Err(TokenError::Incomplete),
        };
        let Ok(((secret, role, authority), [])) = postcard::take_from_bytes(&bytes) else {
            return Err(TokenError::Incomplete);
        };
        Ok(Self {
            secret: TokenSecret::from_bytes(secret),
            role,
            authority,
        })
    }
}

/// Lets whoever has the link watch a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// The stream.
    pub stream: StreamId,
    /// Until when, seconds since 1970.
    pub not_after_s: u64,
    /// Which one: two invitations are never the same, and each can be taken back by itself.
    pub id: InvitationId,
}

/// Why an invitation is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvitationError {
    /// Cut, edited, or not one of this supervisor.
    #[error("the invitation: {0}")]
    Signed(#[from] SignedError),
    /// Its time is over.
    #[error("the invitation ended {0} s ago")]
    Expired(u64),
}

impl Invitation {
    pub(super) fn sign(&self, key: &SigningKey) -> String {
        URL_SAFE_NO_PAD.encode(signed::enclose(key, Domain::Invitation, self))
    }

    /// Reads one out of a link, checks its signature and its time.
    pub fn check(text: &str, authority: &SignerKey, now_s: u64) -> Result<Self, InvitationError> {
        let (got, most) = (text.len(), MAX_INVITATION);
        if got > most {
            return Err(SignedError::TooLong { got, most }.into());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text);
        let bytes = bytes.map_err(|_| SignedError::Malformed)?;
        let invitation: Self = signed::disclose(authority, Domain::Invitation, &bytes, most)?;
        if invitation.not_after_s <= now_s {
            return Err(InvitationError::Expired(now_s - invitation.not_after_s));
        }
        Ok(invitation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::authority::Authority;
    use crate::security::secret::Seed;

    fn token() -> JoinToken {
        JoinToken {
            secret: TokenSecret::from_bytes([1; 16]),
            role: Component::Relay,
            authority: AuthorityFingerprint::from_bytes([2; 32]),
        }
    }

    #[test]
    fn a_join_token_reads_back_from_its_text_also_with_a_newline_behind_it() {
        let text = token().to_text();
        assert_eq!(text.len(), 71);
        let read: JoinToken = format!("{text}\n").parse().expect("a token");
        assert_eq!(read.secret.as_bytes(), token().secret.as_bytes());
        assert_eq!(
            (read.role, read.authority),
            (Component::Relay, token().authority)
        );
    }

    #[test]
    fn what_is_not_a_join_token_is_refused_with_what_to_do() {
        let text = token().to_text();
        let refused = |text: &str| text.parse::<JoinToken>().expect_err("refused");
        assert_eq!(refused("secret"), TokenError::Prefix);
        assert_eq!(
            refused(&text.replace("own1-", "own1-!")),
            TokenError::Characters
        );
        assert_eq!(refused(&"own1-A".repeat(90)), TokenError::Characters);
        for end in PREFIX.len()..text.len() {
            assert_eq!(
                refused(&text[..end]),
                TokenError::Incomplete,
                "cut at {end}"
            );
        }
    }

    #[test]
    fn a_join_token_hides_its_secret_in_the_log() {
        assert!(!format!("{:?}", token()).contains("0101"));
    }

    #[test]
    fn an_invitation_holds_until_its_time_is_over_and_cannot_be_edited() {
        let authority = Authority::new(&Seed::from_bytes([3; 32]));
        let invitation = Invitation {
            stream: StreamId::from_bytes([4; 16]),
            not_after_s: 1_000,
            id: InvitationId::from_bytes([5; 16]),
        };
        let text = authority.invite(&invitation);
        let check = |text: &str, now| Invitation::check(text, &authority.public(), now);
        assert_eq!(check(&text, 999), Ok(invitation));
        assert_eq!(check(&text, 1_000), Err(InvitationError::Expired(0)));
        for at in 0..text.len() {
            let other = if &text[at..=at] == "A" { "B" } else { "A" };
            let edited = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert!(check(&edited, 0).is_err(), "character {at}");
        }
    }
}
