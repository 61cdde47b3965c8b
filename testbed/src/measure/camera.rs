//! What a camera's chunks cost to seal and to check. Also compiled for browsers: `web/examples/check_cost.rs`.

use protocol::chunk::{Chunk, Header, MAX_PAYLOAD, Position};
use protocol::id::{LinkId, StreamHandle};
use protocol::media::Track;
use protocol::security::otdp::verifier::{Verdict, Verifier};
use protocol::security::otdp::{Sealer, signer};
use protocol::security::secret::{Seed, StreamKey};
use protocol::time::Time;

/// Seconds of a camera at 3 Mbit/s and its sound, as frames: header and length.
pub fn camera(seconds: u64) -> Vec<(Header, usize)> {
    let frame = |track, sequence: u64, every_us: u64| Header {
        random_access: track == Track::Audio || sequence.is_multiple_of(30),
        track,
        rendition: 0,
        key_id: 1,
        handle: StreamHandle(1),
        position: Position { epoch: 1, sequence },
        part: 0,
        parts: 1,
        capture: Time::from_micros(sequence * every_us),
        media_us: sequence * every_us,
    };
    let pictures = (0..30 * seconds).map(|n| (frame(Track::Video, n, 33_333), 12_500));
    let sound = (0..50 * seconds).map(|n| (frame(Track::Audio, n, 20_000), 160));
    let mut all: Vec<_> = pictures.chain(sound).collect();
    all.sort_by_key(|(header, _)| header.capture);
    all
}

const SEED: [u8; 32] = [1; 32];

fn key() -> StreamKey {
    StreamKey::from_bytes([2; 32])
}

/// The frames' chunks, each with its HMAC, and the signatures.
pub fn seal(frames: &[(Header, usize)]) -> Vec<Chunk> {
    let container = vec![9; MAX_PAYLOAD];
    let mut sealer = Sealer::new(&Seed::from_bytes(SEED), 1, key());
    frames
        .iter()
        .flat_map(|(header, length)| sealer.seal(*header, &container[..*length]))
        .collect()
}

const fn proven(verdict: &Verdict) -> usize {
    match verdict {
        Verdict::Proven { chunks, .. } => chunks.len(),
        _ => 0,
    }
}

/// Checks every chunk and signature as a viewer does; gives how many chunks may be shown.
pub fn check(sealed: &[Chunk]) -> usize {
    let mut verifier = Verifier::new(signer(&Seed::from_bytes(SEED)), 1.0, 1);
    verifier.add_key(1, key());
    let (mut out, mut good) = (Vec::new(), 0);
    for chunk in sealed {
        let now = chunk.header().capture;
        verifier.take(now, LinkId(1), chunk.clone(), &mut out);
        good += out.drain(..).map(|verdict| proven(&verdict)).sum::<usize>();
    }
    good
}
