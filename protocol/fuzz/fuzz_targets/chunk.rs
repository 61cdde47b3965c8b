//! A media message from a neighbour: refused, or read without touching a byte of it.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use protocol::chunk::Chunk;

fuzz_target!(|data: &[u8]| {
    if let Ok(chunk) = Chunk::decode(Bytes::copy_from_slice(data)) {
        assert_eq!(chunk.message(), data);
        assert!(chunk.header().part < chunk.header().parts);
        assert!(data.ends_with(&chunk.payload()));
    }
});
