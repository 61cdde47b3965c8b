//! Which picture viewers are shown now: the camera's, or the slate that says it is away.
//!
//! Decides only: it knows neither cameras nor encoders, and time is an argument. What it lets through has
//! capture times that only ever grow, and no picture is shown long after it was seen.

use std::time::Duration;

use protocol::time::Time;

/// A camera is waited for so long before the slate comes: viewers are to know within a second. A camera
/// slower than three frames a second has as long as three frames take.
const STANDS_STILL: Duration = Duration::from_millis(800);
/// A camera that gives pictures, of which none can be shown, is waited for so long: a board that is busy for a moment
/// is no camera that hangs. Guess.
const NOTHING_SHOWN: Duration = Duration::from_secs(3);
/// Slates a second, at most: a player holds as much of the stream as lies between two pictures less. Guess:
/// cameras in the dark give no more, and play well.
const SLATES: u32 = 15;
/// A picture older than this is not shown: it waited, and every one after it would wait as long. Older than
/// the camera's quickest, that is: some stamp their pictures late by a constant. Guess: a third of what
/// players hold ahead at most.
const STALE: Duration = Duration::from_millis(300);

/// What keeps the camera from showing something, as far as viewers care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Away {
    /// It has only just been asked for pictures.
    Starting,
    /// It is not there.
    Gone,
    /// It is there and shows nothing.
    Stuck,
    /// It gives pictures, and none can be shown: they are damaged, or the board is too slow.
    Nothing,
    /// Another program has it.
    Busy,
    /// It is there and does not work, or may not be opened.
    Broken,
}

impl Away {
    /// What the slate says.
    pub(crate) const fn words(self) -> &'static str {
        match self {
            Self::Starting => "CAMERA STARTING",
            Self::Gone => "CAMERA AWAY",
            Self::Stuck => "CAMERA STUCK",
            Self::Nothing => "NO PICTURE",
            Self::Busy => "CAMERA IN USE ELSEWHERE",
            Self::Broken => "CAMERA NOT WORKING",
        }
    }
}

/// What is to become of a camera's picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Show it.
    Show,
    /// It is too old by this much to be shown.
    Stale(Duration),
    /// Something seen later has been shown.
    Behind,
}

/// Decides what is shown.
#[derive(Debug)]
pub(crate) struct Stage {
    still: Duration,
    between_slates: Duration,
    /// Why the camera shows nothing, and since when; none while it does.
    away: Option<(Away, Time)>,
    /// When the camera last showed something, or was started.
    alive: Time,
    /// When it last gave something, whether or not that could be shown.
    heard: Time,
    /// Capture time of what was shown last.
    shown: Option<Time>,
    next_slate: Time,
    /// The least age that this camera's pictures have had on arrival.
    quickest: Duration,
}

impl Stage {
    /// Begins at `now` with a camera that has yet to show something, for a stream of so many frames per second.
    pub(crate) fn new(now: Time, fps: u32) -> Self {
        let frame = Duration::from_secs(1) / fps.max(1);
        Self {
            still: STANDS_STILL.max(3 * frame),
            between_slates: Duration::from_secs(1) / fps.clamp(1, SLATES),
            away: None,
            alive: now,
            heard: Time::ZERO,
            shown: None,
            next_slate: Time::ZERO,
            quickest: Duration::MAX,
        }
    }

    /// A camera, perhaps another one, has been started.
    pub(crate) const fn started(&mut self) {
        self.quickest = Duration::MAX;
    }

    /// The camera gave something at that time; what became of it is not known yet.
    pub(crate) fn heard(&mut self, at: Time) {
        self.heard = self.heard.max(at);
    }

    /// The camera cannot go on.
    pub(crate) fn gone(&mut self, now: Time, away: Away) {
        // What is said changes; since when it is so does not.
        let since = self.away.map_or(now, |(_, since)| since);
        self.away = Some((away, since));
    }

    /// A picture of the camera is here, seen at `capture`.
    pub(crate) fn picture(&mut self, now: Time, capture: Time) -> Fate {
        let age = now.since(capture);
        self.quickest = self.quickest.min(age);
        let late = age - self.quickest;
        if late > STALE {
            return Fate::Stale(late);
        }
        self.alive = now;
        self.away = None;
        if self.shown.is_some_and(|shown| capture <= shown) {
            return Fate::Behind;
        }
        self.shown = Some(capture);
        Fate::Show
    }

    /// The time of a picture that is to follow what was shown last, whenever it was seen: the camera's own cannot be left
    /// out one by one.
    pub(crate) fn after_last(&self, capture: Time) -> Time {
        let least = self.shown.map(|shown| shown + Duration::from_micros(1));
        least.map_or(capture, |least| capture.max(least))
    }

    /// Gives the slate that is due: what it says and since when that is so.
    pub(crate) fn slate(&mut self, now: Time) -> Option<(Away, Time)> {
        if self.away.is_none() && now >= self.waited_for() {
            let away = if now < self.heard + self.still {
                Away::Nothing
            } else if self.shown.is_some() {
                Away::Stuck
            } else {
                Away::Starting
            };
            self.away = Some((away, self.alive));
        }
        let away = self.away?;
        if now < self.next_slate || self.shown.is_some_and(|shown| now <= shown) {
            return None;
        }
        self.next_slate = now + self.between_slates;
        self.shown = Some(now);
        Some(away)
    }

    /// When to ask for a slate next.
    pub(crate) fn next_wakeup(&self) -> Time {
        match self.away {
            Some(_) => self.next_slate,
            None => self.waited_for(),
        }
    }

    /// Until when the camera's next picture is waited for.
    fn waited_for(&self) -> Time {
        let patience = self.alive + self.still.max(NOTHING_SHOWN);
        (self.alive.max(self.heard) + self.still).min(patience)
    }

    /// Why the camera shows nothing; none while it does.
    pub(crate) fn away(&self) -> Option<Away> {
        self.away.map(|(away, _)| away)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    /// A stage of 30 frames per second whose camera has shown a picture at one second.
    fn live() -> Stage {
        let mut stage = Stage::new(at(900), 30);
        stage.started();
        assert_eq!(stage.picture(at(1_010), at(1_000)), Fate::Show);
        stage
    }

    #[test]
    fn a_camera_that_shows_something_is_shown() {
        let mut stage = live();
        assert_eq!(stage.slate(at(1_020)), None);
        assert_eq!(stage.picture(at(1_043), at(1_033)), Fate::Show);
        assert_eq!(stage.away(), None);
    }

    #[test]
    fn a_camera_that_is_unplugged_gives_way_to_the_slate_at_once() {
        let mut stage = live();
        stage.gone(at(1_050), Away::Gone);
        assert_eq!(stage.next_wakeup(), Time::ZERO);
        assert_eq!(stage.slate(at(1_050)), Some((Away::Gone, at(1_050))));
    }

    #[test]
    fn a_camera_that_hangs_gives_way_within_a_second_of_its_last_picture() {
        let mut stage = live();
        assert_eq!(stage.next_wakeup(), at(1_810));
        assert_eq!(stage.slate(at(1_809)), None);
        assert_eq!(stage.slate(at(1_810)), Some((Away::Stuck, at(1_010))));
    }

    #[test]
    fn a_camera_that_never_shows_anything_is_said_to_be_starting() {
        let mut stage = Stage::new(at(0), 30);
        assert_eq!(stage.slate(at(799)), None);
        assert_eq!(stage.slate(at(800)), Some((Away::Starting, at(0))));
    }

    #[test]
    fn a_camera_of_one_frame_a_second_is_not_taken_for_a_hanging_one() {
        let mut stage = Stage::new(at(0), 1);
        assert_eq!(stage.picture(at(10), at(0)), Fate::Show);
        assert_eq!(stage.slate(at(2_900)), None);
        assert_eq!(stage.slate(at(3_010)), Some((Away::Stuck, at(10))));
    }

    #[test]
    fn slates_come_fifteen_times_a_second_and_not_when_asked_more_often() {
        let mut stage = live();
        stage.gone(at(2_000), Away::Gone);
        let shown = (2_000..3_000).filter(|&ms| stage.slate(at(ms)).is_some());
        assert_eq!(shown.count(), 15);
    }

    #[test]
    fn the_reason_may_change_and_the_time_it_began_stays() {
        let mut stage = live();
        stage.gone(at(2_000), Away::Gone);
        stage.gone(at(9_000), Away::Busy);
        assert_eq!(stage.slate(at(9_000)), Some((Away::Busy, at(2_000))));
    }

    #[test]
    fn the_first_picture_ends_the_slate_and_none_from_before_it_is_shown() {
        let mut stage = live();
        stage.gone(at(2_000), Away::Gone);
        assert!(stage.slate(at(2_500)).is_some());
        stage.started();
        assert_eq!(stage.picture(at(2_510), at(2_500)), Fate::Behind);
        assert_eq!(stage.picture(at(2_545), at(2_533)), Fate::Show);
        assert_eq!(stage.slate(at(2_550)), None);
    }

    #[test]
    fn a_picture_that_cannot_be_left_out_follows_the_slate_it_was_seen_before() {
        let mut stage = live();
        stage.gone(at(2_000), Away::Gone);
        assert!(stage.slate(at(2_500)).is_some());
        let lifted = stage.after_last(at(2_490));
        assert_eq!(lifted, Time::from_micros(2_500_001));
        assert_eq!(stage.picture(at(2_510), lifted), Fate::Show);
        assert_eq!(stage.after_last(at(2_600)), at(2_600));
    }

    #[test]
    fn pictures_that_waited_are_left_out_so_that_delay_cannot_grow() {
        let mut stage = live();
        assert_eq!(
            stage.picture(at(1_500), at(1_033)),
            Fate::Stale(Duration::from_millis(457))
        );
        assert_eq!(stage.picture(at(1_510), at(1_490)), Fate::Show);
    }

    #[test]
    fn a_camera_whose_stamps_are_late_by_a_constant_is_shown_all_the_same() {
        let mut stage = Stage::new(at(0), 30);
        for n in 0..100 {
            let now = 1_000 + n * 33;
            assert_eq!(stage.picture(at(now), at(now - 900)), Fate::Show);
        }
    }

    #[test]
    fn a_camera_that_shows_only_old_pictures_is_stuck() {
        let mut stage = live();
        for n in 1..20 {
            stage.picture(at(1_010 + n * 100), at(1_000));
        }
        assert_eq!(
            stage.slate(at(2_910)).map(|(away, _)| away),
            Some(Away::Stuck)
        );
    }

    #[test]
    fn a_camera_whose_pictures_are_lost_on_the_way_is_not_said_to_hang() {
        let mut stage = live();
        for ms in (1_100..4_000).step_by(100) {
            stage.heard(at(ms));
            assert_eq!(stage.slate(at(ms)), None);
        }
        assert_eq!(stage.slate(at(4_010)), Some((Away::Nothing, at(1_010))));
        assert_eq!(stage.picture(at(4_050), at(4_040)), Fate::Show);
    }

    #[test]
    fn whatever_happens_capture_times_grow() {
        let mut stage = Stage::new(at(0), 30);
        let (mut last, mut chance) = (None, 1_u64);
        for now in (0..60_000_u64).step_by(7) {
            chance = chance
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let pick = chance >> 33;
            let capture = at(now.saturating_sub(pick % 500));
            let shown = match pick % 5 {
                0 => {
                    stage.gone(at(now), Away::Gone);
                    None
                }
                1 => {
                    stage.started();
                    None
                }
                2 => stage.slate(at(now)).map(|_| at(now)),
                _ => (stage.picture(at(now), capture) == Fate::Show).then_some(capture),
            };
            assert!(shown.is_none() || shown > last, "{shown:?} after {last:?}");
            last = shown.or(last);
        }
    }
}
