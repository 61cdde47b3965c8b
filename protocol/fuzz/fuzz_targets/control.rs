//! A control message from a neighbour: refused, or the same after writing and reading it again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::wire::Control;

fuzz_target!(|data: &[u8]| {
    if let Ok(control) = Control::decode(data) {
        assert_eq!(Control::decode(&control.encode()), Ok(control));
    }
});
