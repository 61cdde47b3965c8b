//! How many of the camera's pictures a software encoder is given, so that the stream never falls behind.
//!
//! A board that is too slow for 30 pictures a second shows 15 smoothly rather than 22 by chance, with nothing waiting
//! before the encoder. Decides only: time and measurements are arguments.

use std::time::Duration;

use protocol::time::Time;

/// Every picture, or one in so many at most. Guess: below a fourth of the rate it is no video.
const MOST: u32 = 4;
/// Beyond this share of its time an encoder is as good as behind: what else the board does comes in bursts.
const FULL: f64 = 0.9;
/// It is given more again when it would be busy for less than this share. Well below [`FULL`], or it would swing.
const EASY: f64 = 0.6;
/// A picture that is hard to encode, or a burst of other work, is not yet a slow board.
const FULL_FOR: Duration = Duration::from_secs(2);
/// Slower to give more than to give less: changes are seen.
const EASY_FOR: Duration = Duration::from_secs(10);
/// The share of a new measurement in the average.
const SHARE: f64 = 0.1;

/// The machine.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Time between two pictures of the camera.
    frame: Duration,
    /// One picture in so many is encoded.
    one_in: u32,
    /// Pictures seen.
    count: u32,
    /// Average time that a picture takes.
    takes: Option<f64>,
    /// Since when it is too busy, or idle enough; the other is forgotten meanwhile.
    full: Option<Time>,
    easy: Option<Time>,
}

impl Pace {
    /// For a camera of so many pictures per second.
    pub(crate) fn new(fps: u32) -> Self {
        Self {
            frame: Duration::from_secs(1) / fps.max(1),
            one_in: 1,
            count: 0,
            takes: None,
            full: None,
            easy: None,
        }
    }

    /// Whether the picture that is here now is to be encoded.
    pub(crate) const fn picture(&mut self) -> bool {
        self.count = (self.count + 1) % self.one_in;
        self.count == 0
    }

    /// A picture took so long to encode. Gives in how many one is encoded from now on, if that changes.
    pub(crate) fn encoded(&mut self, now: Time, took: Duration) -> Option<u32> {
        let took = took.as_secs_f64();
        let takes = self
            .takes
            .map_or(took, |takes| takes + (took - takes) * SHARE);
        self.takes = Some(takes);
        let busy = |one_in: u32| takes / (self.frame.as_secs_f64() * f64::from(one_in));
        let full = self.one_in < MOST && busy(self.one_in) > FULL;
        let easy = self.one_in > 1 && busy(self.one_in - 1) < EASY;
        self.full = full.then(|| self.full.unwrap_or(now));
        self.easy = easy.then(|| self.easy.unwrap_or(now));
        let lasted =
            |since: Option<Time>, limit| since.is_some_and(|since| now.since(since) >= limit);
        let next = match (lasted(self.full, FULL_FOR), lasted(self.easy, EASY_FOR)) {
            (true, _) => self.one_in + 1,
            (_, true) => self.one_in - 1,
            _ => return None,
        };
        (self.one_in, self.full, self.easy) = (next, None, None);
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Encodes for `seconds` at 30 pictures a second, each taking so long, and gives the changes.
    fn run(pace: &mut Pace, from: u64, seconds: u64, took_ms: u64) -> Vec<u32> {
        let mut changes = Vec::new();
        for n in 0..seconds * 30 {
            if pace.picture() {
                let now = Time::from_millis(from * 1_000 + n * 1_000 / 30);
                changes.extend(pace.encoded(now, Duration::from_millis(took_ms)));
            }
        }
        changes
    }

    fn given(pace: &mut Pace) -> usize {
        (0..60).filter(|_| pace.picture()).count()
    }

    #[test]
    fn a_quick_board_encodes_every_picture() {
        let mut pace = Pace::new(30);
        assert_eq!(run(&mut pace, 0, 60, 20), [0_u32; 0]);
        assert_eq!(given(&mut pace), 60);
    }

    #[test]
    fn a_slow_board_encodes_every_second_picture_and_no_fewer_than_it_can() {
        let mut pace = Pace::new(30);
        assert_eq!(run(&mut pace, 0, 60, 45), [2]);
        assert_eq!(given(&mut pace), 30);
    }

    #[test]
    fn one_that_is_hopeless_still_encodes_one_picture_in_four() {
        let mut pace = Pace::new(30);
        assert_eq!(run(&mut pace, 0, 60, 500), [2, 3, 4]);
    }

    #[test]
    fn the_rate_comes_back_when_the_board_has_time_again() {
        let mut pace = Pace::new(30);
        assert_eq!(run(&mut pace, 0, 10, 45), [2]);
        assert_eq!(run(&mut pace, 10, 8, 15), [0_u32; 0]);
        assert_eq!(run(&mut pace, 18, 20, 15), [1]);
    }

    #[test]
    fn a_short_burst_of_work_changes_nothing() {
        let mut pace = Pace::new(30);
        run(&mut pace, 0, 10, 20);
        assert_eq!(run(&mut pace, 10, 1, 60), [0_u32; 0]);
        assert_eq!(run(&mut pace, 11, 30, 20), [0_u32; 0]);
    }

    #[test]
    fn a_board_on_the_edge_does_not_swing() {
        let mut pace = Pace::new(30);
        // Too slow for all, and busy for more than is easy with half: it stays there.
        assert_eq!(run(&mut pace, 0, 600, 31), [2]);
    }
}
