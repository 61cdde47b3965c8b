//! What the supervisor hears from a peer: refused, or the same after writing and reading it again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::signal::FromPeer;

fuzz_target!(|text: &str| {
    if let Ok(message) = FromPeer::parse(text) {
        assert_eq!(FromPeer::parse(&message.to_text()), Ok(message));
    }
});
