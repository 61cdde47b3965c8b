//! The authentication of the paper's Fig. 5, as two machines: the supervisor's [`Examiner`], one for each
//! socket, and the peer's [`Candidate`].
//!
//! | | says | |
//! |---|---|---|
//! | 1 | supervisor | `COLLECT_PEER_INFO_REQUEST`: the suites it takes, the one it likes best first |
//! | 2 | peer | `COLLECT_PEER_INFO_RESPONSE`: who it is, its public key of the agreed suite |
//! | 3 | supervisor | `AUTHENTICATION_REQUEST`: its handshake key, endorsed by its authority |
//! | 4 | peer | `AUTHENTICATION_RESPONSE`: it has checked that |
//! | 5 | supervisor | `AUTHENTICATION_CHALLENGE_REQUEST`: two numbers, sealed to the peer's key |
//! | 6 | peer | `AUTHENTICATION_CHALLENGE_RESPONSE`: the answer, sealed to the handshake key |
//! | 7 | supervisor | `PEER_ACCEPTED`, with a certificate, or `PEER_REFUSED` |
//!
//! Three things are to come out of it: the supervisor knows that the peer holds the private key to the one it
//! showed; the peer knows that it talks to the supervisor of the authority it was told to expect; and both
//! know that nobody altered a word. Whether the proven key is *allowed* anything is not decided here.

use std::time::Duration;

use super::boxes::KeyTask;

mod candidate;
mod examiner;

#[cfg(test)]
mod tests;

pub use candidate::{Acceptance, Candidate, CandidateConfig, CandidateOutput};
pub use examiner::{Examination, Examiner, ExaminerOutput, Introduction};

/// How long a peer may take to say who it is, and the supervisor to ask: as before there was authentication.
pub const INTRODUCTION_LIMIT: Duration = Duration::from_secs(10);
/// How long each later step may take. Guess: ten round trips over a bad mobile link, and a slow board's RSA.
pub const STEP_LIMIT: Duration = Duration::from_secs(5);
/// Longest text that the supervisor takes during the handshake, bytes. The longest there is, with an RSA key
/// of 4096 bits, has 1.7 KB.
pub const MAX_HANDSHAKE_TEXT: usize = 4096;

/// What either machine is told.
#[derive(Debug)]
pub enum Input<'a> {
    /// The other side said this.
    Text(&'a str),
    /// The last task is done, with this outcome, or cannot be done.
    TaskDone(Option<&'a [u8]>),
    /// Time has passed.
    Tick,
}

/// What [`super::boxes::seal`] and both machines need to go on: bytes, or a task whose answer is the bytes.
enum Step<T> {
    Now(T),
    After(KeyTask),
}
