//! Silence in the place of Opus packets that never came, so that playback does not stop at the gap.
//!
//! Measured in Chromium: two missing packets in a row stop playback for ever; with packets of silence at the same
//! block times it plays on. A cluster's head may be among what was lost, and silence opens a cluster: so this keeps
//! the time of the cluster that the browser's parser is in, and opens another where a block would land at the
//! wrong time.

use bytes::{BufMut, Bytes, BytesMut};

use crate::webm::silent_opus;

/// The length of a packet of silence.
pub(super) const SILENCE_US: u64 = 20_000;

const CLUSTER: [u8; 4] = [0x1F, 0x43, 0xB6, 0x75];
const UNKNOWN_SIZE: [u8; 8] = [0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
const TIMECODE: u8 = 0xE7;
const SIMPLE_BLOCK: u8 = 0xA3;

/// Which cluster the browser's parser is in.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sound {
    cluster_ms: Option<u64>,
}

impl Sound {
    /// The parser has been reset: it is in no cluster.
    pub(super) const fn reset(&mut self) {
        self.cluster_ms = None;
    }

    /// The writer's bytes for one packet, behind a cluster head if they would land at a wrong time without.
    pub(super) fn packet(&mut self, media_us: u64, bytes: Bytes) -> Bytes {
        if let Some(time) = cluster_time(&bytes) {
            self.cluster_ms = Some(time);
            return bytes;
        }
        let Some(relative) = block_time(&bytes) else {
            return bytes;
        };
        let wanted = (media_us / 1000).saturating_add_signed(-i64::from(relative));
        // The writer may round times where we cut them.
        if self.cluster_ms.is_some_and(|now| now.abs_diff(wanted) <= 1) {
            return bytes;
        }
        self.cluster_ms = Some(wanted);
        let mut all = cluster_head(wanted);
        all.extend_from_slice(&bytes);
        all.freeze()
    }

    /// A packet of silence at `media_us`, in a cluster of its own: which one the lost packets were in, or would
    /// have begun, cannot be told from their neighbours.
    pub(super) fn silence(&mut self, media_us: u64) -> Bytes {
        let bytes = silent_opus(None, media_us).container;
        self.cluster_ms = cluster_time(&bytes);
        bytes
    }
}

fn cluster_head(time_ms: u64) -> BytesMut {
    let mut head = BytesMut::with_capacity(64);
    head.put_slice(&CLUSTER);
    head.put_slice(&UNKNOWN_SIZE);
    head.put_slice(&[TIMECODE, 0x88]);
    head.put_u64(time_ms);
    head
}

/// The length of an EBML number by its first byte.
const fn number_len(first: u8) -> usize {
    first.leading_zeros() as usize + 1
}

/// The time of the cluster that begins at the first of these bytes, if one does.
fn cluster_time(bytes: &[u8]) -> Option<u64> {
    let after_id = bytes.strip_prefix(&CLUSTER)?;
    let after_size = after_id.get(number_len(*after_id.first()?)..)?;
    let (&size, digits) = after_size.strip_prefix(&[TIMECODE])?.split_first()?;
    let len = usize::from(size & 0x7F);
    if size & 0x80 == 0 || len > 8 {
        return None;
    }
    Some(
        digits
            .get(..len)?
            .iter()
            .fold(0, |time, &digit| time << 8 | u64::from(digit)),
    )
}

/// The relative time of the SimpleBlock that begins at the first of these bytes, if one does.
fn block_time(bytes: &[u8]) -> Option<i16> {
    let after_id = bytes.strip_prefix(&[SIMPLE_BLOCK])?;
    let after_size = after_id.get(number_len(*after_id.first()?)..)?;
    let after_track = after_size.get(number_len(*after_size.first()?)..)?;
    let time = after_track.first_chunk::<2>()?;
    Some(i16::from_be_bytes(*time))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(relative: i16) -> Bytes {
        let time = relative.to_be_bytes();
        Bytes::copy_from_slice(&[SIMPLE_BLOCK, 0x86, 0x81, time[0], time[1], 0x80, 1, 2])
    }

    fn clustered(time_ms: u64, relative: i16) -> Bytes {
        let mut all = cluster_head(time_ms);
        all.extend_from_slice(&block(relative));
        all.freeze()
    }

    #[test]
    fn packets_in_order_are_left_as_they_are() {
        let mut sound = Sound::default();
        assert_eq!(
            sound.packet(1_000_000, clustered(1000, 0)),
            clustered(1000, 0)
        );
        assert_eq!(sound.packet(1_020_000, block(20)), block(20));
        assert_eq!(sound.packet(1_039_999, block(40)), block(40));
    }

    #[test]
    fn a_packet_after_silence_in_another_cluster_gets_its_own_back() {
        let mut sound = Sound::default();
        sound.packet(1_000_000, clustered(1000, 0));
        assert_eq!(cluster_time(&sound.silence(2_020_000)), Some(2000));
        assert_eq!(sound.packet(1_980_000, block(980)), clustered(1000, 980));
        assert_eq!(sound.packet(1_999_000, block(999)), block(999));
    }

    #[test]
    fn a_packet_whose_cluster_head_was_lost_is_given_one() {
        let mut sound = Sound::default();
        sound.packet(1_000_000, clustered(1000, 0));
        assert_eq!(sound.packet(2_020_000, block(20)), clustered(2000, 20));
        sound.reset();
        assert_eq!(sound.packet(2_040_000, block(40)), clustered(2000, 40));
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_a_panic(media in any::<u64>(), bytes in proptest::collection::vec(any::<u8>(), 0..40), kind in 0..3_u8) {
            let mut bytes = bytes;
            match kind {
                0 => { bytes.splice(0..0, CLUSTER); }
                1 => bytes.insert(0, SIMPLE_BLOCK),
                _ => {}
            }
            Sound::default().packet(media, Bytes::from(bytes));
        }
    }
}
