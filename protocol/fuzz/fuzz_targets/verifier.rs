//! Chunks from two parents, in any order, altered by strangers and forged by members: what is proven is what
//! the broadcaster made, each group once, and nothing else.
#![no_main]

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use protocol::chunk::{Chunk, DIGEST_LEN, HEADER_LEN, Header, Position};
use protocol::id::{LinkId, StreamHandle};
use protocol::media::Track;
use protocol::security::otdp::Sealer;
use protocol::security::otdp::verifier::{Verdict, Verifier};
use protocol::security::secret::{Seed, StreamKey};
use protocol::time::Time;
use sha2::Sha256;

const KEY_ID: u8 = 1;
/// Bytes of a part: what is long costs digests and teaches nothing.
const PART: usize = 64;
/// Steps of an input: some for each of the 14 chunks.
const STEPS: usize = 100;

fn key() -> StreamKey {
    StreamKey::from_bytes([2; 32])
}

/// With the digest that a member can make.
fn digested_again(chunk: &Chunk) -> Chunk {
    let mut mac = Hmac::<Sha256>::new_from_slice(key().as_bytes()).expect("any length");
    chunk
        .digested()
        .into_iter()
        .for_each(|bytes| mac.update(bytes));
    let mut message = chunk.message().to_vec();
    message[HEADER_LEN..HEADER_LEN + DIGEST_LEN].copy_from_slice(&mac.finalize().into_bytes());
    Chunk::decode(message.into()).expect("the header is as it was")
}

fn made() -> (Sealer, Vec<Chunk>) {
    let mut sealer = Sealer::new(&Seed::from_bytes([1; 32]), KEY_ID, key());
    sealer.set_longest_part(PART);
    let mut chunks = Vec::new();
    for sequence in 0..5 {
        for (track, bytes) in [
            (Track::Video, PART * (sequence as usize % 3) + 9),
            (Track::Audio, 9),
        ] {
            let header = Header {
                random_access: true,
                track,
                rendition: 0,
                key_id: 0,
                handle: StreamHandle(1),
                position: Position { epoch: 1, sequence },
                part: 0,
                parts: 1,
                capture: Time::ZERO,
                media_us: 0,
            };
            chunks.extend(sealer.seal(header, &vec![sequence as u8; bytes]));
        }
    }
    (sealer, chunks)
}

// Four bytes are a step: which chunk, by which parent and how altered, where, and with what.
fuzz_target!(|data: &[u8]| {
    static MADE: OnceLock<(Sealer, Vec<Chunk>)> = OnceLock::new();
    let (sealer, chunks) = MADE.get_or_init(made);
    let mut verifier = Verifier::new(sealer.signer(), 1.0, 0);
    verifier.add_key(KEY_ID, key());
    let (mut now, mut out, mut proven) = (Time::ZERO, Vec::new(), BTreeSet::new());
    for step in data.chunks_exact(4).take(STEPS) {
        let chunk = &chunks[usize::from(step[0]) % chunks.len()];
        let from = LinkId(u64::from(step[1] & 1));
        let mut message = chunk.message().to_vec();
        let at = match usize::from(step[2]) {
            at if step[1] & 8 == 0 => at % message.len(),
            at => message.len() - 1 - at % (message.len() - HEADER_LEN),
        };
        if step[1] & 2 != 0 {
            message[at] ^= step[3];
        }
        let Ok(chunk) = Chunk::decode(Bytes::from(message)) else {
            continue;
        };
        let chunk = if step[1] & 4 != 0 {
            digested_again(&chunk)
        } else {
            chunk
        };
        verifier.take(now, from, chunk, &mut out);
        now += Duration::from_millis(u64::from(step[1] >> 4) * 20);
        verifier.tick(now, &mut out);
        assert!(verifier.next_wakeup() > now);
    }
    for verdict in out {
        if let Verdict::Proven { group, chunks: all } = verdict {
            assert!(proven.insert(group), "{group:?} twice");
            assert!(all.iter().all(|chunk| chunks.contains(chunk)));
        }
    }
});
