//! What people paste: a join token and an invitation. Refused, or the same after writing it again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::id::SignerKey;
use protocol::security::token::{Invitation, JoinToken};

fuzz_target!(|text: &str| {
    let _ = Invitation::check(text, &SignerKey::from_bytes([7; 32]), 0);
    if let Ok(token) = text.parse::<JoinToken>() {
        let again: JoinToken = token.to_text().parse().expect("just written");
        assert_eq!(again.secret.digest(), token.secret.digest());
        assert_eq!((again.role, again.authority), (token.role, token.authority));
    }
});
