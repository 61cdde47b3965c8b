//! Keeps captured sound on the clock.
//!
//! Samples follow each other without regard to their stamps while these are near: stamps jitter, and what the
//! microphone's crystal is off is made up for before (`drift`). When they are not near, sound was lost: silence is put
//! in or samples are left out, once.

use std::time::Duration;

use protocol::time::Time;

use super::AudioBlock;
use super::alsa::{FORMAT, samples_length};

/// Samples in a block: 20 ms, one Opus packet.
pub(crate) const BLOCK: usize = 960;
/// Sound this far from its picture is noticed (ITU-R BT.1359: 45 ms early, 125 ms late); corrected before.
const APART: Duration = Duration::from_millis(40);
/// More silence than this is not put in at once: the device was away, and the time line goes on from now.
const LONGEST: Duration = Duration::from_secs(2);

/// Cuts sound into blocks that follow each other by 20 ms.
#[derive(Debug)]
pub(crate) struct Timeline {
    /// When the first sample of the next block is heard.
    start: Time,
    /// Samples of all blocks since `start` was set.
    samples: u64,
    block: Vec<i16>,
}

impl Timeline {
    /// A time line that begins at `origin`.
    pub(crate) fn new(origin: Time) -> Self {
        Self {
            start: origin,
            samples: 0,
            block: Vec::with_capacity(BLOCK),
        }
    }

    /// When the sample that is added next is heard, if nothing is corrected.
    pub(crate) fn next_at(&self) -> Time {
        self.start + samples_length(self.samples + self.block.len() as u64)
    }

    /// Whether sound heard then follows what there is without a correction.
    pub(crate) fn is_near(&self, heard: Time) -> bool {
        let expected = self.next_at();
        heard.since(expected).max(expected.since(heard)) <= APART
    }

    /// Adds samples, the first of them heard at `heard`, and gives the blocks that are full.
    pub(crate) fn add(&mut self, heard: Time, samples: &[i16]) -> Vec<AudioBlock> {
        let mut blocks = Vec::new();
        let expected = self.next_at();
        if heard.since(expected) > APART {
            self.fill_until(heard, &mut blocks);
        }
        let late = expected.since(heard);
        let left_out = if late > APART { count(late) } else { 0 };
        if left_out > 0 {
            log::debug!(
                "sound is {} ms ahead of the clock: leaving some out",
                late.as_millis()
            );
        }
        for &sample in samples.iter().skip(left_out) {
            self.push(sample, &mut blocks);
        }
        blocks
    }

    /// Puts in silence up to `until`.
    pub(crate) fn fill_until(&mut self, until: Time, blocks: &mut Vec<AudioBlock>) {
        let missing = until.since(self.next_at());
        if missing > LONGEST {
            self.block.clear();
            (self.start, self.samples) = (until, 0);
            return;
        }
        for _ in 0..count(missing) {
            self.push(0, blocks);
        }
    }

    fn push(&mut self, sample: i16, blocks: &mut Vec<AudioBlock>) {
        self.block.push(sample);
        if self.block.len() < BLOCK {
            return;
        }
        blocks.push(AudioBlock {
            capture: self.start + samples_length(self.samples),
            samples: std::mem::replace(&mut self.block, Vec::with_capacity(BLOCK)),
        });
        self.samples += BLOCK as u64;
    }
}

/// Samples in a length of time.
fn count(length: Duration) -> usize {
    (length.as_micros() * u128::from(FORMAT.rate_hz) / 1_000_000) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starts(blocks: &[AudioBlock]) -> Vec<u64> {
        blocks
            .iter()
            .map(|b| b.capture.as_micros() / 1000)
            .collect()
    }

    #[test]
    fn stamps_that_jitter_do_not_move_the_blocks() {
        let mut line = Timeline::new(Time::from_millis(100));
        let mut blocks = Vec::new();
        for (n, jitter) in [0, 15, 3, 25, 8, 0].into_iter().enumerate() {
            let heard = Time::from_millis(100 + 10 * n as u64 + jitter);
            blocks.extend(line.add(heard, &[1; 480]));
        }
        assert_eq!(starts(&blocks), [100, 120, 140]);
    }

    #[test]
    fn lost_sound_is_silence_and_what_follows_is_in_its_place() {
        let mut line = Timeline::new(Time::ZERO);
        let mut blocks = line.add(Time::ZERO, &[1; BLOCK]);
        blocks.extend(line.add(Time::from_millis(80), &[1; BLOCK]));
        assert_eq!(starts(&blocks), [0, 20, 40, 60, 80]);
        let loud: Vec<bool> = blocks.iter().map(|b| b.samples[0] != 0).collect();
        assert_eq!(loud, [true, false, false, false, true]);
    }

    #[test]
    fn sound_that_runs_ahead_of_the_clock_is_left_out() {
        let mut line = Timeline::new(Time::ZERO);
        line.add(Time::ZERO, &[1; 10 * BLOCK]);
        let blocks = line.add(Time::from_millis(100), &[2; 6 * BLOCK]);
        assert_eq!(starts(&blocks), [200]);
    }

    #[test]
    fn after_a_long_absence_the_time_line_goes_on_from_now() {
        let mut line = Timeline::new(Time::ZERO);
        line.add(Time::ZERO, &[1; BLOCK]);
        let blocks = line.add(Time::from_millis(60_000), &[1; BLOCK]);
        assert_eq!(starts(&blocks), [60_000]);
    }
}
