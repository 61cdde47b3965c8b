//! A session description from a neighbour: its certificate is found, or it has none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::id::Fingerprint;

fuzz_target!(|text: &str| {
    if let Some(fingerprint) = Fingerprint::from_sdp(text) {
        assert_eq!(fingerprint.to_string().parse(), Ok(fingerprint));
    }
});
