//! Everything of the broadcaster up to encoded frames: capture, encode, or play a file.
//!
//! The straight line is [`source::start`]: it gives the formats of a stream's tracks and then their
//! frames, in a bounded queue, whatever they come from. Chunks, links and the network are absent here.

pub mod broadcast;
pub mod capture;
pub mod check;
pub mod clock;
pub mod config;
pub mod dump;
pub mod elements;
pub mod encode;
mod feed;
mod repeats;
pub mod send;
pub mod source;
mod stop;
