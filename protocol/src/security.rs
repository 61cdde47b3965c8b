//! Nobody in who does not belong, nobody between two peers, nobody able to alter what viewers see
//! (paper §III.B.2, §III.C): the pure half.
//!
//! [`auth`] is the paper's Fig. 5 as two machines; [`authority`] and [`certificate`] make of its outcome
//! something other peers can check; [`otdp`] is the paper's modified One Time Digest Protocol for chunks.
//! Below them, [`boxes`] hides which of the two suites encrypts.
//!
//! No private key is ever needed here: what only its holder can do is a [`boxes::KeyTask`], an output that
//! is answered by an input. So a browser's non-extractable key serves as well as one out of a file
//! ([`local`]). Random bytes are arguments, and used for one thing each.

pub mod auth;
pub mod authority;
pub mod base64;
pub mod boxes;
pub mod certificate;
pub mod challenge;
pub mod grant;
pub mod hpke;
pub mod local;
pub mod otdp;
pub mod secret;
pub mod signed;
pub mod suite;
pub mod token;
