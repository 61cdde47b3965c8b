//! The test tone: a quiet hum, and a beep at each whole second of the clock.

use protocol::time::Time;

use super::{AudioBlock, AudioFormat};

/// Opus' own rate.
const RATE_HZ: u32 = 48_000;
/// Samples in a block: 20 ms, one Opus packet.
const BLOCK: u64 = 960;
/// A beep's length.
const BEEP_US: u64 = 100_000;
/// Pitch in Hz and height of the hum and of the beep. Taste: heard, but not in the way.
const HUM: (f64, f64) = (220.0, 0.03);
const BEEP: (f64, f64) = (880.0, 0.15);

/// Makes the blocks of the test tone, one after the other.
#[derive(Debug, Clone)]
pub struct Tone {
    origin: Time,
    blocks: u64,
}

impl Tone {
    /// The format of the blocks.
    pub const FORMAT: AudioFormat = AudioFormat {
        rate_hz: RATE_HZ,
        channels: 1,
    };

    /// A tone whose first sample is heard at `origin`.
    pub const fn new(origin: Time) -> Self {
        Self { origin, blocks: 0 }
    }

    /// When the next block will have been heard to its end.
    pub fn next_at(&self) -> Time {
        self.time_of((self.blocks + 1) * BLOCK)
    }

    /// The next block.
    pub fn next_block(&mut self) -> AudioBlock {
        let first = self.blocks * BLOCK;
        self.blocks += 1;
        AudioBlock {
            capture: self.time_of(first),
            samples: (first..first + BLOCK).map(|n| self.sample(n)).collect(),
        }
    }

    /// Leaves out the blocks before `at`: the process was asleep.
    pub fn skip_to(&mut self, at: Time) {
        let samples = at.since(self.origin).as_micros() as u64 * 6 / 125;
        self.blocks = self.blocks.max(samples / BLOCK);
    }

    fn time_of(&self, sample: u64) -> Time {
        Time::from_micros(self.origin.as_micros() + sample * 125 / 6)
    }

    fn sample(&self, n: u64) -> i16 {
        let beeps = self.time_of(n).as_micros() % 1_000_000 < BEEP_US;
        let (pitch, height) = if beeps { BEEP } else { HUM };
        let turns = (n % u64::from(RATE_HZ)) as f64 / f64::from(RATE_HZ) * pitch;
        ((turns * std::f64::consts::TAU).sin() * height * f64::from(i16::MAX)) as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_follow_each_other_by_20_ms_without_drift() {
        let mut tone = Tone::new(Time::from_millis(7));
        let times: Vec<u64> = (0..4)
            .map(|_| tone.next_block().capture.as_micros())
            .collect();
        assert_eq!(times, [7_000, 27_000, 47_000, 67_000]);
        assert_eq!(tone.next_at(), Time::from_millis(7 + 100));
    }

    #[test]
    fn it_beeps_at_each_whole_second_of_the_clock() {
        let mut tone = Tone::new(Time::from_millis(900));
        let loud: Vec<bool> = (0..12)
            .map(|_| tone.next_block().samples.iter().any(|&s| s > 3_000))
            .collect();
        assert_eq!(
            loud,
            [
                false, false, false, false, false, true, true, true, true, true, false, false
            ]
        );
    }

    #[test]
    fn a_tone_that_slept_goes_on_at_the_time_it_woke() {
        let mut tone = Tone::new(Time::ZERO);
        tone.skip_to(Time::from_millis(5_000));
        assert_eq!(tone.next_block().capture, Time::from_millis(5_000));
    }
}
