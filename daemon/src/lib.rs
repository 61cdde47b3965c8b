//! What every OwnStream service does at start and stop: read its configuration, log, tell systemd
//! how it is, and end as a whole.
//!
//! A service's `main` is one line, `daemon::run("edge-relay", ABOUT, edge_relay::main)`, and its own
//! `main(service)` is the straight line of what it does. Nothing here knows what a service is for.

pub mod config;
mod credential;
mod limit;
pub mod logging;
mod memory;
pub mod metrics;
pub mod service;
mod watchdog;

pub use credential::credential;
pub use memory::Ebb;
pub use service::{Service, Shutdown, run, run_parsed};
pub use watchdog::Watchdog;
