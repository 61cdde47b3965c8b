//! A stranger's RSA key, to which the supervisor seals his challenge: refused, or sealed to, whatever its numbers are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::security::boxes::{KeyTask, purpose};
use protocol::security::local::rsa_seal;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

fuzz_target!(|der: &[u8]| {
    let task = KeyTask::RsaSeal {
        to: der.to_vec(),
        plaintext: vec![7; 32].into(),
        label: purpose::NONCE,
    };
    if let Some(sealed) = rsa_seal(&task, &mut StdRng::seed_from_u64(1)) {
        assert!((256..=512).contains(&sealed.len()));
    }
});
