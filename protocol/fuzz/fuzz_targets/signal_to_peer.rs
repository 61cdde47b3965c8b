//! What a peer hears from the supervisor: refused, or the same after writing and reading it again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::signal::ToPeer;

fuzz_target!(|text: &str| {
    if let Ok(message) = ToPeer::parse(text) {
        assert_eq!(ToPeer::parse(&message.to_text()), Ok(message));
    }
});
