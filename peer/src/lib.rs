//! The Communication Layer (paper §III.B): runs `protocol`'s machines on tokio.
//!
//! [`node`] is the one task of a peer; it carries out what `protocol::node` decides, over [`signalling`] (the
//! WebSocket to the supervisor) and a [`transport`] (WebRTC, or memory). No `webrtc::` type leaves
//! `transport::webrtc`, and no decision is made here.

pub mod board;
pub mod clock;
pub mod figures;
pub mod identity;
pub mod keystore;
pub mod limits;
pub mod node;
pub mod signalling;
mod tls;
pub mod transport;

pub use clock::Clock;
pub use node::{Handle, Snapshot, start};
