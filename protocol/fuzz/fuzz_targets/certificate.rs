//! A neighbour's certificate, and a grant: refused, or written by the authority. The signature is put right
//! first, for the reading behind it is to be reached as well.
#![no_main]

use ed25519_dalek::{Signer, SigningKey};
use libfuzzer_sys::fuzz_target;
use protocol::id::SignerKey;
use protocol::security::authority::Authority;
use protocol::security::certificate::Certificate;
use protocol::security::grant::Grant;
use protocol::security::secret::Seed;

const SEED: [u8; 32] = [1; 32];

fn signed_again(data: &[u8]) -> Vec<u8> {
    let body = &data[..data.len().saturating_sub(64)];
    let signed = [b"ownstream/1 certificate\0", body].concat();
    let signature = SigningKey::from_bytes(&SEED).sign(&signed);
    [body, &signature.to_bytes()].concat()
}

fuzz_target!(|data: &[u8]| {
    let authority = Authority::new(&Seed::from_bytes(SEED));
    let stranger = SignerKey::from_bytes([7; 32]);
    assert!(Certificate::check(data, &stranger, 0).is_err());
    assert!(Grant::check(data, &stranger).is_err());
    let bytes = signed_again(data);
    if let Ok(certificate) = Certificate::check(&bytes, &authority.public(), 0) {
        let again = authority.certify(&certificate);
        let read = Certificate::check(&again, &authority.public(), 0);
        assert_eq!(read, Ok(certificate));
    }
});
