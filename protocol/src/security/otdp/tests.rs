use proptest::prelude::*;

use super::group::stands_alone;
use super::verifier::{Flaw, PATIENCE, Verdict, Verifier};
use super::*;
use crate::chunk::{HEADER_LEN, MAX_PAYLOAD, SIGNATURE_LEN};
use crate::id::{LinkId, StreamHandle};
use crate::time::Time;

const KEY_ID: u8 = 7;
const P1: LinkId = LinkId(1);
const P2: LinkId = LinkId(2);

fn key() -> StreamKey {
    StreamKey::from_bytes([8; 32])
}

fn sealer() -> Sealer {
    Sealer::new(&Seed::from_bytes([9; 32]), KEY_ID, key())
}

fn header(track: Track, epoch: u32, sequence: u64) -> Header {
    Header {
        random_access: sequence == 0,
        track,
        rendition: 0,
        key_id: 0,
        handle: StreamHandle(1),
        position: Position { epoch, sequence },
        part: 0,
        parts: 1,
        capture: Time::from_micros(sequence),
        media_us: sequence,
    }
}

fn frame(parts: usize, fill: u8) -> Vec<u8> {
    vec![fill; (parts - 1) * MAX_PAYLOAD + 10]
}

fn video(parts: usize) -> Vec<Chunk> {
    sealer().seal(header(Track::Video, 1, 0), &frame(parts, 1))
}

fn audio(groups: u64) -> Vec<Chunk> {
    let mut sealer = sealer();
    (0..groups * AUDIO_GROUP)
        .flat_map(|n| sealer.seal(header(Track::Audio, 1, n), b"opus"))
        .collect()
}

#[test]
fn a_frame_cut_into_shorter_parts_is_proven_as_one_cut_into_long_ones() {
    let mut sealer = sealer();
    sealer.set_longest_part(1_000);
    let chunks = sealer.seal(header(Track::Video, 1, 0), &frame(1, 1));
    assert_eq!(chunks.len(), 1, "ten bytes");
    let chunks = sealer.seal(header(Track::Video, 1, 1), &[3; 4_500]);
    let lengths: Vec<usize> = chunks.iter().map(|c| c.payload().len()).collect();
    assert_eq!(lengths, [1_000, 1_000, 1_000, 1_000, 500]);
    assert_eq!(chunks[4].header().parts, 5);
    sealer.set_longest_part(0);
    assert_eq!(sealer.seal(header(Track::Video, 1, 2), b"abc").len(), 3);
}

fn decode(message: Vec<u8>) -> Chunk {
    Chunk::decode(message.into()).expect("the header is as it was")
}

/// The last byte of the payload altered, by somebody without the stream key.
fn altered(chunk: &Chunk) -> Chunk {
    let mut message = chunk.message().to_vec();
    *message.last_mut().expect("not empty") ^= 1;
    decode(message)
}

/// The same by somebody with the stream key: a member.
fn forged(chunk: &Chunk, salt: u8) -> Chunk {
    let mut message = chunk.message().to_vec();
    *message.last_mut().expect("not empty") ^= salt;
    sealed_again(message)
}

fn sealed_again(mut message: Vec<u8>) -> Chunk {
    let digest = mac(&key(), decode(message.clone()).digested()).finalize();
    message[HEADER_LEN..HEADER_LEN + DIGEST_LEN].copy_from_slice(&digest.into_bytes());
    decode(message)
}

fn signature_altered(chunk: &Chunk) -> Chunk {
    let mut message = chunk.message().to_vec();
    message[HEADER_LEN + DIGEST_LEN + SIGNATURE_LEN - 40] ^= 1;
    decode(message)
}

/// A viewer, and all it was told.
struct Viewer {
    verifier: Verifier,
    told: Vec<Verdict>,
    now: Time,
}

impl Viewer {
    fn new() -> Self {
        let mut verifier = Verifier::new(sealer().signer(), 1.0, 0);
        verifier.add_key(KEY_ID, key());
        Self {
            verifier,
            told: Vec::new(),
            now: Time::from_millis(1_000),
        }
    }

    /// What it says to this chunk.
    fn take(&mut self, from: LinkId, chunk: &Chunk) -> Vec<Verdict> {
        let mut out = Vec::new();
        self.verifier.take(self.now, from, chunk.clone(), &mut out);
        self.told.extend(out.clone());
        out
    }

    fn take_all<'a>(&mut self, from: LinkId, chunks: impl IntoIterator<Item = &'a Chunk>) {
        for chunk in chunks {
            self.take(from, chunk);
        }
    }

    fn wait(&mut self, time: std::time::Duration) -> Vec<Verdict> {
        self.now += time;
        let mut out = Vec::new();
        self.verifier.tick(self.now, &mut out);
        out
    }

    fn forwarded(&self) -> Vec<Chunk> {
        let forwards = self.told.iter().filter_map(|v| match v {
            Verdict::Forward(chunk) => Some(chunk.clone()),
            _ => None,
        });
        forwards.collect()
    }

    fn proven(&self) -> Vec<Chunk> {
        let proven = self.told.iter().filter_map(|v| match v {
            Verdict::Proven { chunks, .. } => Some(chunks.clone()),
            _ => None,
        });
        proven.flatten().collect()
    }

    fn blamed(&self) -> bool {
        self.told.iter().any(|v| matches!(v, Verdict::Bad { .. }))
    }
}

fn bad(from: Option<LinkId>, chunk: &Chunk, why: Flaw) -> Verdict {
    let group = GroupId::of(chunk.header());
    Verdict::Bad { from, group, why }
}

fn forward(chunk: &Chunk) -> Verdict {
    Verdict::Forward(chunk.clone())
}

#[test]
fn only_the_last_chunk_of_a_group_is_signed() {
    let signed = |chunks: &[Chunk]| chunks.iter().map(Chunk::is_signed).collect::<Vec<_>>();
    assert_eq!(signed(&video(3)), [false, false, true]);
    assert_eq!(signed(&audio(1)), [false, false, false, false, true]);
    assert!(stands_alone(video(1)[0].header()));
}

#[test]
fn a_sealed_chunk_is_no_longer_than_a_message() {
    let longest = sealer().seal(header(Track::Video, 1, 0), &vec![0; MAX_PAYLOAD * 2]);
    assert!(
        longest
            .iter()
            .all(|c| c.message().len() <= crate::chunk::MAX_MESSAGE)
    );
}

#[test]
fn the_digest_is_hmac_sha_256_over_header_and_payload() {
    let chunk = video(1).pop().expect("one part");
    let mut whole = chunk.message()[..HEADER_LEN].to_vec();
    whole.extend(chunk.payload());
    let digest = Hmac::<Sha256>::new_from_slice(key().as_bytes())
        .expect("any length")
        .chain_update(whole)
        .finalize();
    assert_eq!(chunk.digest()[..], digest.into_bytes()[..]);
}

#[test]
fn an_unsigned_chunk_is_passed_on_at_once_and_the_signed_one_when_all_fit() {
    let chunks = video(2);
    let mut viewer = Viewer::new();
    assert_eq!(viewer.take(P1, &chunks[0]), [forward(&chunks[0])]);
    let group = GroupId::of(chunks[0].header());
    assert_eq!(
        viewer.take(P1, &chunks[1]),
        [forward(&chunks[1]), Verdict::Proven { group, chunks }]
    );
}

#[test]
fn a_signature_ahead_of_its_group_waits_without_blame() {
    let chunks = video(2);
    let mut viewer = Viewer::new();
    assert_eq!(viewer.take(P1, &chunks[1]), []);
    assert_eq!(viewer.verifier.next_wakeup(), Time::NEVER);
    viewer.take(P1, &chunks[0]);
    assert_eq!(viewer.proven(), chunks);
}

#[test]
fn an_altered_chunk_is_bad_on_arrival_and_not_passed_on() {
    for chunk in video(2) {
        let altered = altered(&chunk);
        let mut viewer = Viewer::new();
        assert_eq!(
            viewer.take(P1, &altered),
            [bad(Some(P1), &chunk, Flaw::Digest)]
        );
    }
}

#[test]
fn a_forged_frame_in_one_part_is_bad_on_arrival() {
    let chunk = &video(1)[0];
    for bad_chunk in [forged(chunk, 1), signature_altered(chunk)] {
        let mut viewer = Viewer::new();
        assert_eq!(
            viewer.take(P1, &bad_chunk),
            [bad(Some(P1), chunk, Flaw::Signature)]
        );
        viewer.take(P2, chunk);
        assert_eq!(viewer.proven(), std::slice::from_ref(chunk));
    }
}

#[test]
fn a_renumbered_chunk_is_bad_even_from_a_member() {
    let mut message = video(1)[0].message().to_vec();
    message[31] = 9; // the sequence's last byte
    assert_eq!(decode(message.clone()).header().position.sequence, 9);
    let mut viewer = Viewer::new();
    let why = |out: Vec<Verdict>| match out[..] {
        [Verdict::Bad { why, .. }] => why,
        _ => panic!("{out:?}"),
    };
    assert_eq!(why(viewer.take(P1, &decode(message.clone()))), Flaw::Digest);
    assert_eq!(
        why(viewer.take(P1, &sealed_again(message))),
        Flaw::Signature
    );
}

#[test]
fn a_forged_member_raises_doubt_at_once_and_blame_when_patience_ends() {
    let chunks = video(2);
    let mut viewer = Viewer::new();
    viewer.take(P1, &forged(&chunks[0], 1));
    let doubt = [Verdict::Doubt(GroupId::of(chunks[0].header()))];
    assert_eq!(viewer.take(P1, &chunks[1]), doubt);
    assert_eq!(viewer.verifier.next_wakeup(), viewer.now + PATIENCE);
    assert_eq!(
        viewer.wait(PATIENCE),
        [bad(Some(P1), &chunks[0], Flaw::Signature)]
    );
    assert_eq!(viewer.verifier.next_wakeup(), Time::NEVER, "blamed once");
}

#[test]
fn the_right_version_after_a_forged_one_is_passed_on_too_and_proves_the_group() {
    let chunks = video(3);
    let mut viewer = Viewer::new();
    viewer.take_all(
        P1,
        &[chunks[0].clone(), forged(&chunks[1], 1), chunks[2].clone()],
    );
    let out = viewer.take(P1, &chunks[1]);
    assert_eq!(out[..2], [forward(&chunks[1]), forward(&chunks[2])]);
    assert_eq!(viewer.proven(), chunks);
    assert!(!viewer.blamed());
}

#[test]
fn a_forged_version_that_arrives_after_the_right_one_does_not_hide_it() {
    let chunks = video(3);
    let mut viewer = Viewer::new();
    viewer.take_all(
        P1,
        &[chunks[1].clone(), forged(&chunks[1], 1), chunks[0].clone()],
    );
    viewer.take(P1, &chunks[2]);
    assert_eq!(viewer.proven(), chunks);
}

#[test]
fn with_a_forging_and_an_honest_parent_the_honest_ones_chunks_are_proven_in_any_order() {
    let chunks = video(12);
    let lies: Vec<Chunk> = chunks[..11].iter().map(|c| forged(c, 1)).collect();
    for honest_first in [true, false] {
        let mut viewer = Viewer::new();
        for (at, chunk) in chunks.iter().enumerate() {
            if honest_first {
                viewer.take(P2, chunk);
            }
            if let Some(lie) = lies.get(at) {
                viewer.take(P1, lie);
            }
            if !honest_first {
                viewer.take(P2, chunk);
            }
        }
        assert_eq!(viewer.proven(), chunks, "honest first: {honest_first}");
    }
}

#[test]
fn blame_names_no_link_when_two_took_part() {
    let chunks = video(2);
    let mut viewer = Viewer::new();
    viewer.take(P1, &forged(&chunks[0], 1));
    viewer.take(P2, &chunks[1]);
    assert_eq!(
        viewer.wait(PATIENCE),
        [bad(None, &chunks[0], Flaw::Signature)]
    );
}

#[test]
fn whoever_brought_another_signature_than_the_right_one_is_blamed_when_that_comes() {
    let chunks = video(2);
    let mut viewer = Viewer::new();
    viewer.take(P1, &chunks[0]);
    viewer.take(P1, &signature_altered(&chunks[1]));
    let out = viewer.take(P2, &chunks[1]);
    assert_eq!(out[0], bad(Some(P1), &chunks[0], Flaw::Signature));
    assert_eq!(viewer.proven(), chunks);
}

#[test]
fn a_group_that_was_skipped_in_part_blames_nobody() {
    let chunks = audio(1);
    let mut viewer = Viewer::new();
    viewer.take_all(P1, &chunks[1..]);
    assert_eq!(viewer.wait(PATIENCE * 10), []);
}

#[test]
fn a_chunk_without_a_digest_or_signed_in_the_wrong_place_is_bad() {
    let mut viewer = Viewer::new();
    let unsealed = crate::chunk::cut(header(Track::Video, 1, 0), b"x");
    assert_eq!(
        viewer.take(P1, &unsealed[0]),
        [bad(Some(P1), &unsealed[0], Flaw::Unsealed)]
    );
    let mut message = video(1)[0].message().to_vec();
    message[1] &= !2; // not signed, it says: the signature is payload now
    let unsigned = sealed_again(message);
    assert_eq!(
        viewer.take(P1, &unsigned),
        [bad(Some(P1), &unsigned, Flaw::Misplaced)]
    );
}

#[test]
fn a_chunk_whose_key_is_not_here_is_handed_back_until_it_is() {
    let mut sealer = sealer();
    let next = StreamKey::from_bytes([11; 32]);
    sealer.set_key(KEY_ID + 1, next.clone());
    let chunk = sealer.seal(header(Track::Video, 1, 0), b"x").remove(0);
    let mut viewer = Viewer::new();
    let held = Verdict::NeedKey {
        from: P1,
        chunk: chunk.clone(),
    };
    assert_eq!(viewer.take(P1, &chunk), [held]);
    viewer.verifier.add_key(KEY_ID + 1, next);
    viewer.take(P1, &chunk);
    assert_eq!(viewer.proven(), [chunk]);
}

#[test]
fn a_key_that_changes_within_a_group_of_sound_does_no_harm() {
    let next = StreamKey::from_bytes([11; 32]);
    let mut sealer = sealer();
    let mut chunks = Vec::new();
    for n in 0..AUDIO_GROUP {
        if n == 2 {
            sealer.set_key(KEY_ID + 1, next.clone());
        }
        chunks.extend(sealer.seal(header(Track::Audio, 1, n), b"opus"));
    }
    let mut viewer = Viewer::new();
    viewer.verifier.add_key(KEY_ID + 1, next);
    viewer.take_all(P1, &chunks);
    assert_eq!(viewer.proven(), chunks);
}

#[test]
fn of_five_keys_the_first_is_forgotten() {
    let mut viewer = Viewer::new();
    for n in 1..=4 {
        viewer
            .verifier
            .add_key(KEY_ID + n, StreamKey::from_bytes([n; 32]));
    }
    assert!(matches!(
        viewer.take(P1, &video(1)[0])[..],
        [Verdict::NeedKey { .. }]
    ));
}

#[test]
fn a_new_epoch_is_proven_while_the_tail_of_the_last_one_still_comes() {
    let mut sealer = sealer();
    let old = sealer.seal(header(Track::Video, 1, 0), &frame(2, 1));
    let new = sealer.seal(header(Track::Video, 2, 0), &frame(2, 2));
    let mut viewer = Viewer::new();
    viewer.take_all(P1, [&old[0], &new[0], &new[1], &old[1]]);
    assert_eq!(viewer.proven(), [new, old].concat());
}

#[test]
fn a_group_that_is_tainted_can_come_anew() {
    let chunks = video(2);
    let mut viewer = Viewer::new();
    viewer.take_all(P1, &[chunks[0].clone(), signature_altered(&chunks[1])]);
    let group = GroupId::of(chunks[0].header());
    viewer
        .verifier
        .taint(Track::Video, 0, group.from(), group.to());
    assert_eq!(viewer.verifier.next_wakeup(), Time::NEVER);
    assert_eq!(viewer.take(P2, &chunks[0]), [forward(&chunks[0])]);
    viewer.take(P2, &chunks[1]);
    assert_eq!(viewer.proven(), chunks);
}

#[test]
fn a_member_that_forges_numbers_far_ahead_keeps_nothing_else_from_being_proven() {
    let chunks = video(2);
    let mut viewer = Viewer::new();
    viewer.take(P1, &chunks[0]);
    let mut far = sealer();
    for n in 0..400 {
        let sequence = u64::MAX - 1 - n;
        let chunk = far
            .seal(header(Track::Video, 9, sequence), &frame(2, 1))
            .remove(0);
        viewer.take(P2, &chunk);
    }
    viewer.take(P1, &chunks[1]);
    assert_eq!(viewer.proven(), chunks);
}

#[test]
fn with_a_threshold_of_a_half_about_half_of_the_groups_are_proven() {
    let mut verifier = Verifier::new(sealer().signer(), 0.5, 42);
    verifier.add_key(KEY_ID, key());
    let mut sealer = sealer();
    let mut out = Vec::new();
    for n in 0..400 {
        let chunk = sealer.seal(header(Track::Video, 1, n), b"x").remove(0);
        verifier.take(Time::ZERO, P1, chunk, &mut out);
    }
    let count = |f: fn(&Verdict) -> bool| out.iter().filter(|v| f(v)).count();
    assert_eq!(count(|v| matches!(v, Verdict::Forward(_))), 400);
    let proven = count(|v| matches!(v, Verdict::Proven { .. }));
    assert!((150..250).contains(&proven), "{proven}");
}

#[test]
fn a_threshold_of_one_checks_all_and_of_zero_none() {
    for number in 0..1_000 {
        let group = GroupId {
            track: Track::Video,
            rendition: 0,
            epoch: 1,
            number,
        };
        assert!(is_checked(3, 1.0, group));
        assert!(!is_checked(3, 0.0, group));
    }
}

/// Some frames of both tracks, over two epochs.
fn some_chunks() -> Vec<Chunk> {
    let mut sealer = sealer();
    let mut chunks = Vec::new();
    for epoch in [1, 2] {
        for n in 0..3 {
            let parts = 1 + n as usize;
            chunks.extend(sealer.seal(header(Track::Video, epoch, n), &frame(parts, 1)));
        }
        for n in 0..2 * AUDIO_GROUP {
            chunks.extend(sealer.seal(header(Track::Audio, epoch, n), b"opus"));
        }
    }
    chunks
}

/// An order with repetitions, in which everything comes at least once.
fn any_order(of: usize) -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(0..of, 0..of)
        .prop_map(move |again| (0..of).chain(again).collect::<Vec<_>>())
        .prop_shuffle()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn in_any_order_every_chunk_is_forwarded_once_and_every_group_proven_once(
        order in any_order(some_chunks().len()),
    ) {
        let chunks = some_chunks();
        let mut viewer = Viewer::new();
        for &at in &order {
            viewer.take(LinkId(at as u64 % 2), &chunks[at]);
        }
        let sorted = |mut chunks: Vec<Chunk>| {
            chunks.sort_by_key(|c| c.message().clone());
            chunks
        };
        prop_assert_eq!(sorted(viewer.forwarded()), sorted(chunks.clone()));
        prop_assert_eq!(sorted(viewer.proven()), sorted(chunks));
        prop_assert!(!viewer.blamed());
    }

    #[test]
    fn with_any_byte_altered_nothing_altered_is_proven_whoever_altered_it(
        order in any_order(some_chunks().len()),
        victim in 0..some_chunks().len(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        member in any::<bool>(),
    ) {
        let chunks = some_chunks();
        let mut message = chunks[victim].message().to_vec();
        let at = at.index(message.len());
        message[at] ^= flip;
        let Ok(mut bad) = Chunk::decode(message.clone().into()) else { return Ok(()) };
        if member && bad.is_signed() == chunks[victim].is_signed() {
            bad = sealed_again(message);
        }
        let mut viewer = Viewer::new();
        for (n, &i) in order.iter().enumerate() {
            let chunk = if i == victim && n % 2 == 0 { &bad } else { &chunks[i] };
            viewer.take(P1, chunk);
        }
        viewer.wait(PATIENCE);
        for chunk in viewer.proven() {
            prop_assert!(chunks.contains(&chunk), "{chunk:?}");
        }
    }
}
