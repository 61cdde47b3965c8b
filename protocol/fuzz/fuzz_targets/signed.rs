//! A grant and an invitation with the right signature under whatever they say: refused, or the same after the
//! authority has signed it again.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer, SigningKey};
use libfuzzer_sys::fuzz_target;
use protocol::security::authority::Authority;
use protocol::security::grant::Grant;
use protocol::security::secret::Seed;
use protocol::security::token::Invitation;

const SEED: [u8; 32] = [1; 32];

fn signed(domain: &[u8], body: &[u8]) -> Vec<u8> {
    let signature = SigningKey::from_bytes(&SEED).sign(&[domain, body].concat());
    [body, &signature.to_bytes()].concat()
}

fuzz_target!(|body: &[u8]| {
    let authority = Authority::new(&Seed::from_bytes(SEED));
    let public = authority.public();
    if let Ok(grant) = Grant::check(&signed(b"ownstream/1 grant\0", body), &public) {
        assert_eq!(Grant::check(&authority.grant(&grant), &public), Ok(grant));
    }
    let text = URL_SAFE_NO_PAD.encode(signed(b"ownstream/1 invitation\0", body));
    if let Ok(invitation) = Invitation::check(&text, &public, 0) {
        let again = authority.invite(&invitation);
        assert_eq!(Invitation::check(&again, &public, 0), Ok(invitation));
    }
});
