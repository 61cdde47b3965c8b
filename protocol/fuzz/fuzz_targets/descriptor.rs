//! A signed descriptor from a parent: refused, or the same after writing and reading it again; never taken
//! for the authority's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use protocol::security::authority::Authority;
use protocol::security::grant::SignedDescriptor;
use protocol::security::secret::Seed;

fuzz_target!(|data: &[u8]| {
    if let Ok(signed) = SignedDescriptor::decode(data) {
        assert_eq!(
            SignedDescriptor::decode(&signed.encode()),
            Ok(signed.clone())
        );
        let authority = Authority::new(&Seed::from_bytes([1; 32]));
        assert!(signed.check(&authority.public()).is_err());
    }
});
