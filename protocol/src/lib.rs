//! Every decision of OwnStream, and no deed.
//!
//! No socket, no clock, no thread, no source of randomness, no `HashMap`: time and random numbers are
//! arguments, and what is to be done comes out as values. The same machines run in the browser (as
//! WebAssembly), in the services (on tokio, by the `peer` crate) and, thousands at a time under virtual
//! time, in the simulator.
//!
//! Every machine has one contract: `handle(now, input, &mut out)` and `next_wakeup()`.

pub mod avc;
mod bucket;
pub mod chunk;
pub mod container;
pub mod forwarder;
pub mod id;
pub mod link;
pub mod media;
pub mod mp4;
pub mod node;
pub mod playback;
pub mod repair;
pub mod security;
pub mod signal;
pub mod stats;
pub mod stream_manager;
pub mod time;
pub mod topology;
#[cfg(feature = "victims")]
pub mod victims;
pub mod viewer;
pub mod webm;
pub mod window;
pub mod wire;
