//! How large a software encoder's pictures are and how many it is given, so that the stream never falls behind.
//!
//! Size is given up before rate: at one bitrate a picture of three quarters the size looks much the same, and half as
//! many pictures a second do not. A board that is too slow for 30 a second even so shows 15 smoothly rather than 22 by
//! chance. Decides only: time and measurements are arguments.

use std::time::Duration;

use protocol::time::Time;

use crate::capture::VideoFormat;

/// Parts of the full size, in fourths: pixels, and with them time, become about half of those before each time.
const FOURTHS: [u32; 2] = [3, 2];
/// No picture is made smaller than this, longer and shorter side. As small as the configuration allows.
const SMALLEST: (u32, u32) = (320, 180);
/// Encoders work in blocks of so many pixels; a width of whole blocks costs nothing for its edge.
const BLOCK: u32 = 16;
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
/// What was given and taken back within this time was given too early, and is waited for twice as long the next time.
/// Guess: whatever else the board does every minute is to count.
const TOO_EARLY: Duration = Duration::from_secs(60);
/// The longest wait before more is given. Guess: a change every ten minutes annoys nobody.
const EASY_FOR_AT_MOST: Duration = Duration::from_secs(640);
/// The share of a new measurement in the average.
const SHARE: f64 = 0.1;

/// What the encoder is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Step {
    /// Width of the pictures, pixels, even.
    pub(crate) width: u32,
    /// Height, likewise.
    pub(crate) height: u32,
    /// One picture in so many is encoded.
    pub(crate) one_in: u32,
}

impl Step {
    fn pixels(self) -> f64 {
        f64::from(self.width) * f64::from(self.height)
    }
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Pace {
    /// Time between two pictures of the camera.
    frame: Duration,
    /// What may be given, the most first; never empty.
    steps: Vec<Step>,
    /// The one that is given.
    at: usize,
    /// Pictures seen.
    count: u32,
    /// Average time that a picture takes, seconds.
    takes: Option<f64>,
    /// Since when it is too busy, or idle enough; the other is forgotten meanwhile.
    full: Option<Time>,
    easy: Option<Time>,
    /// How long it has to be idle enough.
    easy_for: Duration,
    /// When more was last given.
    given: Option<Time>,
}

impl Pace {
    /// For a camera's pictures of such a size and rate.
    pub(crate) fn new(format: &VideoFormat) -> Self {
        Self {
            frame: Duration::from_secs(1) / format.fps.max(1),
            steps: steps(format),
            at: 0,
            count: 0,
            takes: None,
            full: None,
            easy: None,
            easy_for: EASY_FOR,
            given: None,
        }
    }

    /// What is given now.
    pub(crate) fn step(&self) -> Step {
        self.steps[self.at]
    }

    /// Whether nothing is left out.
    pub(crate) const fn is_all(&self) -> bool {
        self.at == 0
    }

    /// Whether the picture that is here now is to be encoded.
    pub(crate) fn picture(&mut self) -> bool {
        self.count = (self.count + 1) % self.step().one_in;
        self.count == 0
    }

    /// A picture took so long to encode. Gives what is encoded from now on, if that changes.
    pub(crate) fn encoded(&mut self, now: Time, took: Duration) -> Option<Step> {
        let took = took.as_secs_f64();
        let takes = self
            .takes
            .map_or(took, |takes| takes + (took - takes) * SHARE);
        self.takes = Some(takes);
        let busy = |step: Step| {
            let larger = step.pixels() / self.step().pixels();
            takes * larger / (self.frame.as_secs_f64() * f64::from(step.one_in))
        };
        let fewer = &self.steps[self.at + 1..];
        let full = !fewer.is_empty() && busy(self.step()) > FULL;
        let easy = self.at > 0 && busy(self.steps[self.at - 1]) < EASY;
        // At once to what will do: changes are seen. What is smaller takes a little longer than its share, if at all.
        let down = fewer.iter().position(|&step| busy(step) <= FULL);
        let down = down.map_or(self.steps.len() - 1, |n| self.at + 1 + n);
        self.full = full.then(|| self.full.unwrap_or(now));
        self.easy = easy.then(|| self.easy.unwrap_or(now));
        let lasted =
            |since: Option<Time>, limit| since.is_some_and(|since| now.since(since) >= limit);
        if lasted(self.full, FULL_FOR) {
            let given = self.given.take();
            if given.is_some_and(|given| now.since(given) < TOO_EARLY) {
                self.easy_for = (self.easy_for * 2).min(EASY_FOR_AT_MOST);
            } else {
                self.easy_for = EASY_FOR;
            }
            self.at = down;
        } else if lasted(self.easy, self.easy_for) {
            self.given = Some(now);
            self.at -= 1;
        } else {
            return None;
        }
        (self.takes, self.full, self.easy) = (None, None, None);
        Some(self.step())
    }
}

/// What may be given of a camera's pictures, the most first.
fn steps(format: &VideoFormat) -> Vec<Step> {
    let all = Step {
        width: format.width,
        height: format.height,
        one_in: 1,
    };
    let mut steps = vec![all];
    steps.extend(FOURTHS.iter().filter_map(|&fourths| smaller(all, fourths)));
    let least = steps[steps.len() - 1];
    steps.extend((2..=MOST).map(|one_in| Step { one_in, ..least }));
    steps
}

/// About so many fourths of a size, in whole blocks across and of the same proportions.
fn smaller(all: Step, fourths: u32) -> Option<Step> {
    let width = all.width * fourths / 4 / BLOCK * BLOCK;
    let exact = f64::from(all.height) * f64::from(width) / f64::from(all.width);
    let height = (exact / 2.0).round() as u32 * 2;
    let (longer, shorter) = (width.max(height), width.min(height));
    (longer >= SMALLEST.0 && shorter >= SMALLEST.1).then_some(Step {
        width,
        height,
        one_in: 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::Pixels;

    fn pace(width: u32, height: u32) -> Pace {
        Pace::new(&VideoFormat {
            pixels: Pixels::I420,
            width,
            height,
            fps: 30,
            stride: width,
        })
    }

    /// Encodes for `seconds` at 30 pictures a second on a board that takes so long for a picture of 720p, and for a
    /// smaller one its share and a tenth of it more; gives the changes.
    fn run(pace: &mut Pace, from: u64, seconds: u64, took_ms: f64) -> Vec<(u32, u32)> {
        let mut changes = Vec::new();
        for n in 0..seconds * 30 {
            if pace.picture() {
                let now = Time::from_millis(from * 1_000 + n * 1_000 / 30);
                let share = pace.step().pixels() / (1280.0 * 720.0);
                let scaling = if share < 1.0 { 1.1 } else { 1.0 };
                let took = Duration::from_secs_f64(took_ms / 1_000.0 * share * scaling);
                let change = pace.encoded(now, took);
                changes.extend(change.map(|step| (step.height, step.one_in)));
            }
        }
        changes
    }

    const NONE: [(u32, u32); 0] = [];

    fn given(pace: &mut Pace) -> usize {
        (0..60).filter(|_| pace.picture()).count()
    }

    #[test]
    fn a_quick_board_encodes_every_picture_in_full() {
        let mut pace = pace(1280, 720);
        assert_eq!(run(&mut pace, 0, 60, 20.0), NONE);
        assert_eq!(given(&mut pace), 60);
    }

    #[test]
    fn a_slow_board_encodes_every_picture_in_three_fourths_of_the_size() {
        let mut pace = pace(1280, 720);
        assert_eq!(run(&mut pace, 0, 60, 45.0), [(540, 1)]);
        assert_eq!(given(&mut pace), 60);
    }

    #[test]
    fn a_slower_one_goes_to_what_it_can_at_once() {
        let mut pace = pace(1280, 720);
        assert_eq!(run(&mut pace, 0, 60, 90.0), [(360, 1)]);
        let mut slower = self::pace(1280, 720);
        assert_eq!(run(&mut slower, 0, 60, 180.0), [(360, 2)]);
        assert_eq!(given(&mut slower), 30);
    }

    #[test]
    fn one_that_is_hopeless_still_encodes_one_picture_in_four() {
        let mut pace = pace(1280, 720);
        assert_eq!(run(&mut pace, 0, 60, 2_000.0), [(360, 4)]);
    }

    #[test]
    fn a_stream_that_is_as_small_as_can_be_gives_up_rate_alone() {
        let mut pace = pace(320, 180);
        assert_eq!(run(&mut pace, 0, 60, 16.0 * 45.0), [(180, 2)]);
    }

    #[test]
    fn all_of_it_comes_back_a_step_at_a_time_when_the_board_has_time_again() {
        let mut pace = pace(1280, 720);
        assert_eq!(run(&mut pace, 0, 10, 180.0), [(360, 2)]);
        assert_eq!(run(&mut pace, 10, 8, 10.0), NONE);
        let back = [(360, 1), (540, 1), (720, 1)];
        assert_eq!(run(&mut pace, 18, 40, 10.0), back);
        assert!(pace.is_all());
    }

    #[test]
    fn a_short_burst_of_work_changes_nothing() {
        let mut pace = pace(1280, 720);
        run(&mut pace, 0, 10, 20.0);
        assert_eq!(run(&mut pace, 10, 1, 60.0), NONE);
        assert_eq!(run(&mut pace, 11, 30, 20.0), NONE);
    }

    #[test]
    fn a_board_on_the_edge_does_not_swing() {
        let mut pace = pace(1280, 720);
        // Too slow for all, and busy for more than is easy with less: it stays there.
        assert_eq!(run(&mut pace, 0, 600, 31.0), [(540, 1)]);
    }

    #[test]
    fn a_board_that_is_busy_half_of_every_minute_changes_ever_less_often() {
        let mut pace = pace(1280, 720);
        let mut changes = Vec::new();
        for minute in 0..60 {
            let busy = run(&mut pace, minute * 60, 30, 45.0).len();
            let idle = run(&mut pace, minute * 60 + 30, 30, 15.0).len();
            changes.push(busy + idle);
        }
        assert_eq!(changes[..2], [2, 2]);
        assert!(changes[30..].iter().all(|&n| n == 0), "{changes:?}");
    }

    #[test]
    fn sizes_are_even_in_whole_blocks_across_and_of_the_same_proportions() {
        let sizes = |width, height| {
            let steps = pace(width, height).steps;
            let sizes = steps.iter().take_while(|step| step.one_in == 1).skip(1);
            sizes
                .map(|step| (step.width, step.height))
                .collect::<Vec<_>>()
        };
        assert_eq!(sizes(1280, 720), [(960, 540), (640, 360)]);
        assert_eq!(sizes(1920, 1080), [(1440, 810), (960, 540)]);
        assert_eq!(sizes(720, 1280), [(528, 938), (352, 626)]);
        assert_eq!(sizes(854, 480), [(640, 360), (416, 234)]);
        assert_eq!(sizes(640, 480), [(480, 360), (320, 240)]);
        assert_eq!(sizes(400, 240), NONE);
    }
}
