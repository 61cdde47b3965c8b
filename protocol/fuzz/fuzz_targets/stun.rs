//! A datagram from anywhere, as the shared port looks at it before it knows whose it is: any answer, no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[allow(dead_code, reason = "its own tests use the rest")]
#[path = "../../../peer/src/transport/webrtc/stun.rs"]
mod stun;

fuzz_target!(|data: &[u8]| {
    if let Some(message) = stun::Message::parse(data) {
        let _ = (message.class(), message.is_binding(), message.transaction());
        let _ = message.local_ufrag();
        assert!(!message.integrity_holds(b"a password nobody guesses in five seconds"));
    }
});
