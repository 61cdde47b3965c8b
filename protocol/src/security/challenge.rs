//! What the answer to the challenge is made of.
//!
//! The paper's peer computes a number from the two it decrypted (§III.C.1). Ours is a digest over them and
//! over everything that was said so far, as it was said: so an answer is good for its own conversation only,
//! and whoever took a suite out of a list, or put a key of its own in, has made another conversation.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::secret::TokenSecret;
use super::suite::Suite;

/// Bytes of the nonce: two numbers of 128 bits.
pub const NONCE_LEN: usize = 32;
/// Bytes of the answer, without a token's secret.
const ANSWER_LEN: usize = 32;

const TRANSCRIPT_DOMAIN: &[u8] = b"ownstream/1 transcript\0";
const ANSWER_DOMAIN: &[u8] = b"ownstream/1 answer\0";

/// Who said a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    /// The supervisor.
    Supervisor,
    /// The peer.
    Peer,
}

/// Everything that was said, up to the challenge: the very texts, each with its speaker and length.
#[derive(Debug, Clone)]
pub struct Transcript(Sha256);

impl Default for Transcript {
    fn default() -> Self {
        Self(Sha256::new_with_prefix(TRANSCRIPT_DOMAIN))
    }
}

impl Transcript {
    /// Adds one text.
    pub fn add(&mut self, speaker: Speaker, text: &str) {
        let letter = match speaker {
            Speaker::Supervisor => b'S',
            Speaker::Peer => b'P',
        };
        self.0.update([letter]);
        self.0.update((text.len() as u64).to_be_bytes());
        self.0.update(text);
    }

    fn digest(&self) -> [u8; 32] {
        self.0.clone().finalize().into()
    }
}

/// The number that proves one could decrypt the other two.
pub fn answer(
    suite: Suite,
    transcript: &Transcript,
    nonce: &[u8; NONCE_LEN],
) -> Zeroizing<[u8; ANSWER_LEN]> {
    let digest = Sha256::new_with_prefix(ANSWER_DOMAIN)
        .chain_update([suite.byte()])
        .chain_update(transcript.digest())
        .chain_update(nonce)
        .finalize();
    Zeroizing::new(digest.into())
}

/// What is sealed to the supervisor: the answer, and a join token's secret if there is one. Here and not
/// earlier, because only now does the peer know to whom it gives it.
pub(super) fn reply(answer: &[u8; ANSWER_LEN], token: Option<&TokenSecret>) -> Zeroizing<Vec<u8>> {
    let mut reply = Zeroizing::new(answer.to_vec());
    if let Some(token) = token {
        reply.extend(token.as_bytes());
    }
    reply
}

/// The token's secret in a reply, if the answer in it is the expected one.
pub(super) fn check_reply(
    reply: &[u8],
    expected: &[u8; ANSWER_LEN],
) -> Result<Option<TokenSecret>, WrongAnswer> {
    let (answer, token) = reply.split_first_chunk::<ANSWER_LEN>().ok_or(WrongAnswer)?;
    if !bool::from(answer.ct_eq(expected)) {
        return Err(WrongAnswer);
    }
    match token {
        [] => Ok(None),
        token => {
            let secret = token.try_into().map_err(|_| WrongAnswer)?;
            Ok(Some(TokenSecret::from_bytes(secret)))
        }
    }
}

/// That, and no more: what was wrong with it is nobody's business.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WrongAnswer;

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript(texts: &[(Speaker, &str)]) -> Transcript {
        let mut transcript = Transcript::default();
        for (speaker, text) in texts {
            transcript.add(*speaker, text);
        }
        transcript
    }

    #[test]
    fn another_word_speaker_cut_suite_or_number_gives_another_answer() {
        use Speaker::{Peer, Supervisor};
        let of = |texts: &[_], suite, nonce| *answer(suite, &transcript(texts), &[nonce; 32]);
        let right = of(&[(Supervisor, "ab"), (Peer, "c")], Suite::Rsa, 1);
        for (what, other) in [
            (
                "word",
                of(&[(Supervisor, "ab"), (Peer, "d")], Suite::Rsa, 1),
            ),
            (
                "speaker",
                of(&[(Supervisor, "ab"), (Supervisor, "c")], Suite::Rsa, 1),
            ),
            ("cut", of(&[(Supervisor, "a"), (Peer, "bc")], Suite::Rsa, 1)),
            (
                "suite",
                of(&[(Supervisor, "ab"), (Peer, "c")], Suite::Elliptic, 1),
            ),
            (
                "number",
                of(&[(Supervisor, "ab"), (Peer, "c")], Suite::Rsa, 2),
            ),
        ] {
            assert_ne!(right, other, "another {what}");
        }
    }

    #[test]
    fn a_reply_carries_a_token_only_beside_the_right_answer() {
        let token = TokenSecret::from_bytes([5; 16]);
        let with = reply(&[1; 32], Some(&token));
        let read =
            |reply: &[u8], expected| check_reply(reply, expected).map(|t| t.map(|t| *t.as_bytes()));
        assert_eq!(read(&with, &[1; 32]), Ok(Some([5; 16])));
        assert_eq!(read(&reply(&[1; 32], None), &[1; 32]), Ok(None));
        assert_eq!(read(&with, &[2; 32]), Err(WrongAnswer));
        assert_eq!(read(&with[..40], &[1; 32]), Err(WrongAnswer));
        assert_eq!(read(&with[..8], &[1; 32]), Err(WrongAnswer));
    }
}
