//! How much faster or slower a microphone's crystal runs than the board's clock.
//!
//! A control loop with a proportional and an integral part: it is told how far the sound is from where the clock
//! says it should be, and answers by how much the sound is to be stretched. Knows no samples.

use std::time::Duration;

/// Stretching for each millisecond that the sound is behind, in millionths: brings it back in 50 s, far slower
/// than the stamps' jitter and far faster than crystals change.
const PROPORTIONAL: f64 = 20.0;
/// The same for each millisecond and second: a quarter of the square of the above, which is the quickest that does
/// not swing (critical damping).
const INTEGRAL: f64 = 0.1;
/// At most, in millionths. Crystals are within 200, cheap ones within 500; a thousand is 1.7 hundredths of a
/// semitone, which nobody hears.
const MOST: f64 = 1_000.0;
/// Stamps are averaged over this time: periods of 10 ms come with a jitter of as much.
const AVERAGED: Duration = Duration::from_secs(2);

/// The loop.
#[derive(Debug, Default)]
pub(crate) struct Drift {
    /// How far behind the sound is on average, ms.
    behind_ms: f64,
    /// What the integral part has learned, millionths: the crystal's error.
    learned: f64,
}

impl Drift {
    /// Tells how far behind the clock the sound is, in milliseconds (negative: ahead), after `length` of it; gives
    /// by how many millionths it is to be made longer.
    pub(crate) fn correct(&mut self, behind_ms: f64, length: Duration) -> f64 {
        let share = (length.as_secs_f64() / AVERAGED.as_secs_f64()).min(1.0);
        self.behind_ms += (behind_ms - self.behind_ms) * share;
        let step = INTEGRAL * self.behind_ms * length.as_secs_f64();
        self.learned = (self.learned + step).clamp(-MOST, MOST);
        (PROPORTIONAL * self.behind_ms + self.learned).clamp(-MOST, MOST)
    }

    /// The sound was moved by other means and is in its place again. What was learned of the crystal stays.
    pub(crate) const fn moved(&mut self) {
        self.behind_ms = 0.0;
    }

    /// The crystal's error as far as it is known, millionths.
    pub(crate) const fn learned(&self) -> f64 {
        self.learned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(20);

    /// The farthest that sound and clock are apart, ms, with a crystal that runs wrong by `error(hour)` millionths
    /// and stamps that jitter by up to 8 ms.
    fn farthest(hours: u64, error: impl Fn(f64) -> f64) -> f64 {
        let mut drift = Drift::default();
        let (mut behind_ms, mut farthest, mut chance): (f64, f64, u64) = (0.0, 0.0, 1);
        let steps = hours * 3_600 * 50;
        let mut stretch = 0.0;
        for n in 0..steps {
            let hour = n as f64 / 180_000.0;
            // A crystal too slow by a millionth gives a millionth too few samples.
            behind_ms -= 20.0 * (error(hour) + stretch) / 1e6;
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let jitter_ms = (chance >> 40) as f64 / (1 << 24) as f64 * 8.0;
            stretch = drift.correct(behind_ms + jitter_ms, STEP);
            farthest = farthest.max(behind_ms.abs());
        }
        farthest
    }

    #[test]
    fn over_seven_days_sound_and_picture_stay_within_40_ms_at_200_millionths() {
        for error in [-200.0, 200.0] {
            let most = farthest(7 * 24, |_| error);
            assert!(most < 40.0, "{most} ms at {error}");
        }
    }

    #[test]
    fn a_crystal_that_warms_and_cools_with_the_day_is_followed() {
        let most = farthest(7 * 24, |hour| {
            200.0 * (hour * std::f64::consts::TAU / 24.0).sin()
        });
        assert!(most < 40.0, "{most} ms");
    }

    #[test]
    fn it_learns_how_wrong_the_crystal_is_and_nobody_hears_it() {
        let mut drift = Drift::default();
        let mut behind_ms = 0.0;
        let mut stretch = 0.0;
        for _ in 0..50 * 1_200 {
            behind_ms -= 20.0 * (stretch - 150.0) / 1e6;
            stretch = drift.correct(behind_ms, STEP);
            assert!(stretch.abs() <= MOST);
        }
        assert!((drift.learned() - 150.0).abs() < 2.0, "{}", drift.learned());
    }
}
