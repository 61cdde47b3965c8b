//! The broadcaster: capture, encode, or play a file; cut into chunks; send into the tree.
//!
//! The straight line is [`source::start`], which gives the formats of a stream's tracks and then their frames in
//! a bounded queue, whatever they come from, and [`broadcast`], which makes chunks of them. Links and the
//! network are absent here: `peer` has them.

pub mod broadcast;
pub mod capture;
pub mod check;
pub mod clock;
pub mod config;
pub mod dump;
pub mod elements;
pub mod encode;
mod feed;
mod rate;
mod repeats;
pub mod send;
pub mod source;
mod stop;
pub mod tally;
pub mod unpaced;
