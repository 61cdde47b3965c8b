//! Whether a camera's own H.264 can be taken: what it sends is looked at, for a group of pictures or more, before any
//! viewer is shown it.
//!
//! Most of these cameras take no orders, and some are set for recorders: a key frame every ten seconds, or four times
//! the bitrate of an uplink. Decides only: what was seen is an argument.

use std::time::Duration;

use protocol::time::Time;

/// A group of pictures may last so long, whatever is configured. Guess: many cameras that have H.264 send a key frame each two
/// seconds. Longer, and after a lost picture viewers would see the slate.
const LONGEST_GROUP: Duration = Duration::from_millis(2_500);
/// The bitrate may be so much more than is configured: it is a mean, and this a group or two. Guess.
const MUCH: (u32, u32) = (3, 2);
/// Whole groups are measured, and for no less than this: groups of a second, whose times tremble, count.
const MEASURED: Duration = Duration::from_millis(900);
/// After this it is given up. Guess: a camera that starts, its longest group, and one more that did not come whole.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a camera's own H.264 comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    /// Pictures a second.
    pub(crate) fps: f64,
    /// Mean bitrate.
    pub(crate) kbps: u32,
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Trial {
    most_kbps: u32,
    began: Option<Time>,
    /// The first key frame since which nothing was lost, and the last one.
    groups: Option<(Time, Time)>,
    pictures: u32,
    bytes: u64,
}

impl Trial {
    /// For a stream that is to have so many kbit/s.
    pub(crate) fn new(kbps: u32) -> Self {
        Self {
            most_kbps: kbps * MUCH.0 / MUCH.1,
            began: None,
            groups: None,
            pictures: 0,
            bytes: 0,
        }
    }

    /// A picture is here; `follows`: none was lost since the one before. Gives the outcome once there is one: what it comes
    /// to, with a picture that is a key frame, or why it is no choice.
    pub(crate) fn picture(
        &mut self,
        capture: Time,
        key: bool,
        bytes: usize,
        follows: bool,
    ) -> Option<Result<Measured, String>> {
        let began = *self.began.get_or_insert(capture);
        if !follows {
            self.groups = None;
        }
        if capture.since(began) > PATIENCE {
            let s = PATIENCE.as_secs();
            let words = "no key frame came that was followed by all there is to it";
            return Some(Err(format!("in {s} s {words}")));
        }
        let Some((first, last)) = self.groups else {
            if key {
                self.groups = Some((capture, capture));
                (self.pictures, self.bytes) = (1, bytes as u64);
            }
            return None;
        };
        if capture.since(last) > LONGEST_GROUP {
            let ms = LONGEST_GROUP.as_millis();
            return Some(Err(format!(
                "its key frames are more than {ms} ms apart: viewers would wait as long"
            )));
        }
        let took = capture.since(first);
        if !key || took < MEASURED {
            if key {
                self.groups = Some((first, capture));
            }
            self.pictures += 1;
            self.bytes += bytes as u64;
            return None;
        }
        let kbps = u128::from(self.bytes) * 8 / took.as_millis().max(1);
        let kbps = u32::try_from(kbps).unwrap_or(u32::MAX);
        if kbps > self.most_kbps {
            let most = self.most_kbps;
            return Some(Err(format!(
                "it sends {kbps} kbit/s, and may send no more than {most}"
            )));
        }
        let fps = f64::from(self.pictures) / took.as_secs_f64();
        Some(Ok(Measured { fps, kbps }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends 30 pictures a second for so long, with a key frame each so many of them, the picture of this number lost; gives
    /// the outcome and when it was there.
    fn outcome(
        seconds: u64,
        group: u64,
        bytes: usize,
        lost: Option<u64>,
    ) -> Option<(u64, Result<Measured, String>)> {
        let mut trial = Trial::new(1_000);
        let (mut follows, mut all) = (true, 0..seconds * 30);
        all.find_map(|n| {
            if Some(n) == lost {
                follows = false;
                return None;
            }
            let at = Time::from_millis(1_000 + n * 1_000 / 30);
            let said = trial.picture(at, n % group == 0, bytes, follows);
            follows = true;
            said.map(|said| (n, said))
        })
    }

    #[test]
    fn a_camera_that_keeps_to_what_is_wanted_is_taken_with_its_second_key_frame() {
        let (at, measured) = outcome(10, 30, 4_000, None).expect("an outcome");
        let measured = measured.expect("it is well");
        assert_eq!((at, measured.kbps), (30, 960));
        assert!((measured.fps - 30.0).abs() < 0.1, "{measured:?}");
    }

    #[test]
    fn one_of_key_frames_alone_is_measured_for_a_second() {
        let (at, measured) = outcome(10, 1, 4_000, None).expect("an outcome");
        assert_eq!((at, measured.map(|it| it.kbps)), (27, Ok(960)));
    }

    #[test]
    fn one_that_is_set_for_a_recorder_is_not() {
        let why = |seconds, group, bytes| {
            let (_, measured) = outcome(seconds, group, bytes, None).expect("an outcome");
            measured.expect_err("it is not taken")
        };
        assert!(why(20, 300, 4_000).contains("more than 2500 ms apart"));
        assert!(why(20, 30, 8_000).contains("1920 kbit/s, and may send no more than 1500"));
    }

    #[test]
    fn what_did_not_come_whole_does_not_count() {
        let (at, measured) = outcome(10, 30, 4_000, Some(20)).expect("an outcome");
        assert_eq!((at, measured.map(|it| it.kbps)), (60, Ok(960)));
    }

    #[test]
    fn one_without_key_frames_is_given_up() {
        let mut trial = Trial::new(1_000);
        let mut said =
            (0..600).filter_map(|n| trial.picture(Time::from_millis(n * 33), false, 4_000, true));
        let why = said
            .next()
            .expect("an outcome")
            .expect_err("it is not taken");
        assert!(why.starts_with("in 10 s no key frame came"), "{why}");
    }
}
