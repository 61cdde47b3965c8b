//! How much media is kept ahead of the play head, and how the play head is kept there (docs/protocol.md).

use core::time::Duration;

use crate::time::Time;

/// Hold at the start: a silent parent is left after 200 ms, a backup on a LAN answers at once, and somewhat less than
/// the hold may be ahead when that happens. Measured: without failures 300 ms never stall, 200 ms do.
pub const START: Duration = Duration::from_millis(350);
/// Hold at the least. Guess: what is left of it when short is still longer than a silent parent is believed.
pub const LEAST: Duration = Duration::from_millis(300);
/// The play head slows down with less than this share of the hold ahead. Guess: what a frame and a look take.
const SHORT: f32 = 0.85;
/// What taking over at a backup parent takes, beside round trips: a parent is silent for 200 ms until it is left, and
/// frames and looks take the rest.
const TAKEOVER: Duration = Duration::from_millis(250);
/// Round trips to the backup that it takes besides. Guess. The subscription is one; the backup may itself be as many
/// hops further from the root as the topology has moved.
const ROUND_TRIPS: u32 = 6;
/// Held at the least by whoever is fed by a viewer: viewers leave, and so do those above them and those who stand by, two of
/// them within a second now and then. Measured with 80 viewers of which five a second leave next to the root: ten stalls of
/// 0.3 s with 350 ms.
const BELOW_VIEWERS: Duration = Duration::from_millis(500);
/// Hold at the most. Guess: beyond a second it is not live.
pub const MOST: Duration = Duration::from_millis(1000);
/// Added after a stall. Measured with the rules below.
const AFTER_STALL: Duration = Duration::from_millis(100);
/// With less than this share of the hold ahead it was nearly a stall, and the same is added: what comes late on this way may come later
/// still. Guess: a way that loses nothing never has so little ahead. Measured four viewers down a way that loses 1 %: without it each
/// stalled once or more before it held enough.
const NEARLY: f32 = 0.25;
/// Taken off after each [`CLEAN`] without a stall, or nearly one.
const AFTER_CLEAN: Duration = Duration::from_millis(25);
const CLEAN: Duration = Duration::from_secs(60);
/// Further ahead than hold by this, the play head jumps.
const TOO_FAR: Duration = Duration::from_secs(1);
/// Speeds that nobody hears. Measured.
const FASTER: f32 = 1.05;
const SLOWER: f32 = 0.97;

/// The hold of one viewer.
#[derive(Debug, Clone)]
pub(super) struct Hold {
    hold: Duration,
    /// What a takeover takes at the distance of now.
    takeover: Duration,
    /// What is held whatever happens, because of who feeds us.
    floor: Duration,
    least: Duration,
    most: Duration,
    clean_since: Time,
    /// It was a stall, or nearly one, and is no better yet.
    is_short: bool,
    /// What a stall adds was added when it was nearly one.
    foreseen: bool,
}

/// What the play head is to do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Advice {
    Speed(f32),
    /// Jump to where just the hold is ahead.
    Jump,
}

impl Hold {
    pub(super) const fn new(now: Time) -> Self {
        Self {
            hold: START,
            takeover: Duration::ZERO,
            floor: Duration::ZERO,
            least: LEAST,
            most: MOST,
            clean_since: now,
            is_short: false,
            foreseen: false,
        }
    }

    /// One that nothing changes.
    pub(super) const fn fixed(now: Time, hold: Duration) -> Self {
        Self {
            hold,
            takeover: Duration::ZERO,
            floor: Duration::ZERO,
            least: hold,
            most: hold,
            clean_since: now,
            is_short: false,
            foreseen: false,
        }
    }

    /// Whoever may have to feed us is so far away: what is held must last until it does.
    pub(super) fn takeover_takes(&mut self, round_trip: Duration) {
        self.takeover = TAKEOVER + round_trip * ROUND_TRIPS;
    }

    /// Who feeds us may leave at any time, or is always on.
    pub(super) const fn fed_by_viewer(&mut self, viewer: bool) {
        self.floor = if viewer {
            BELOW_VIEWERS
        } else {
            Duration::ZERO
        };
    }

    pub(super) fn get(&self) -> Duration {
        self.hold.max(self.takeover).max(self.floor).min(self.most)
    }

    /// So little is ahead, after it ran dry, that it is worth waiting for more.
    pub(super) fn low(&self) -> Duration {
        self.get().mul_f32(0.6)
    }

    /// So much is ahead that the play head hurries.
    pub(super) fn high(&self) -> Duration {
        self.get().mul_f32(1.15) + Duration::from_millis(20)
    }

    pub(super) fn stalled(&mut self, now: Time) {
        if !core::mem::take(&mut self.foreseen) {
            self.hold = (self.get() + AFTER_STALL).min(self.most);
        }
        self.is_short = true;
        self.clean_since = now;
    }

    /// So much is ahead while it plays: next to nothing is nearly a stall, once until there is enough again.
    pub(super) fn has_ahead(&mut self, now: Time, ahead: Duration) {
        if ahead >= self.low() {
            (self.is_short, self.foreseen) = (false, false);
        } else if ahead < self.get().mul_f32(NEARLY) && !self.is_short {
            (self.is_short, self.foreseen) = (true, true);
            self.hold = (self.get() + AFTER_STALL).min(self.most);
            self.clean_since = now;
        }
    }

    /// Takes off what a clean minute earns.
    pub(super) fn time_passes(&mut self, now: Time) {
        if now.since(self.clean_since) >= CLEAN {
            self.hold = self.hold.saturating_sub(AFTER_CLEAN).max(self.least);
            self.clean_since = now;
        }
    }

    /// What to do with so much ahead, at the speed of now. A play head that hurries does so until the hold is
    /// reached, one that slows down until most of it is: else it would change its speed ten times a second
    /// (measured, around the border).
    pub(super) fn advise(&self, ahead: Duration, rate: f32) -> Advice {
        let hold = self.get();
        let (hurries, slows) = (rate > 1.0, rate > 0.0 && rate < 1.0);
        if ahead > hold + TOO_FAR {
            Advice::Jump
        } else if ahead > self.high() || (hurries && ahead > hold) {
            Advice::Speed(FASTER)
        } else if ahead < hold.mul_f32(SHORT) || (slows && ahead < hold) {
            Advice::Speed(SLOWER)
        } else {
            Advice::Speed(1.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_play_head_hurries_above_the_hold_slows_below_and_jumps_far_beyond() {
        let hold = Hold::new(Time::ZERO);
        assert_eq!(hold.advise(ms(100), 1.0), Advice::Speed(0.97));
        assert_eq!(hold.advise(ms(350), 1.0), Advice::Speed(1.0));
        assert_eq!(hold.advise(ms(423), 1.0), Advice::Speed(1.05));
        assert_eq!(hold.advise(ms(1351), 1.0), Advice::Jump);
    }

    #[test]
    fn what_was_nearly_a_stall_makes_the_hold_longer_once_until_enough_is_ahead_again() {
        let mut hold = Hold::new(Time::ZERO);
        hold.has_ahead(Time::ZERO, ms(90));
        assert_eq!(hold.get(), ms(350), "a quarter is left");
        (0..10).for_each(|i| hold.has_ahead(Time::ZERO, ms(80 - i)));
        hold.stalled(Time::ZERO);
        assert_eq!(hold.get(), ms(450), "foreseen");
        hold.has_ahead(Time::ZERO, ms(300));
        hold.has_ahead(Time::ZERO, ms(99));
        assert_eq!(hold.get(), ms(550));
        let mut fixed = Hold::fixed(Time::ZERO, ms(300));
        fixed.has_ahead(Time::ZERO, ms(1));
        assert_eq!(fixed.get(), ms(300));
    }

    #[test]
    fn a_play_head_that_hurries_or_slows_does_so_until_the_hold_is_there() {
        let hold = Hold::new(Time::ZERO);
        assert_eq!(hold.advise(ms(360), 1.05), Advice::Speed(1.05));
        assert_eq!(hold.advise(ms(350), 1.05), Advice::Speed(1.0));
        assert_eq!(hold.advise(ms(340), 0.97), Advice::Speed(0.97));
        assert_eq!(hold.advise(ms(351), 0.97), Advice::Speed(1.0));
    }

    #[test]
    fn a_stall_adds_100_ms_up_to_a_second() {
        let mut hold = Hold::new(Time::ZERO);
        hold.stalled(Time::ZERO);
        assert_eq!(hold.get(), ms(450));
        (0..20).for_each(|_| hold.stalled(Time::ZERO));
        assert_eq!(hold.get(), MOST);
    }

    #[test]
    fn a_backup_far_away_wants_six_round_trips_more_and_never_more_than_a_second() {
        let mut hold = Hold::new(Time::ZERO);
        hold.takeover_takes(ms(2));
        assert_eq!(hold.get(), ms(350), "a LAN changes nothing");
        hold.takeover_takes(ms(40));
        assert_eq!(hold.get(), ms(490));
        (0..=600).for_each(|s| hold.time_passes(Time::from_millis(s * 1000)));
        assert_eq!(hold.get(), ms(490), "clean minutes take nothing of it");
        hold.takeover_takes(ms(300));
        assert_eq!(hold.get(), MOST);
        hold.takeover_takes(ms(2));
        assert_eq!(hold.get(), LEAST, "the backup is near again");
    }

    #[test]
    fn whoever_is_fed_by_a_viewer_holds_half_a_second_and_a_box_needs_no_more_than_before() {
        let mut hold = Hold::new(Time::ZERO);
        hold.fed_by_viewer(true);
        assert_eq!(hold.get(), ms(500));
        hold.fed_by_viewer(false);
        assert_eq!(hold.get(), ms(350));
    }

    #[test]
    fn a_fixed_hold_stays_whatever_happens() {
        let mut hold = Hold::fixed(Time::ZERO, ms(500));
        hold.stalled(Time::ZERO);
        hold.takeover_takes(ms(300));
        hold.fed_by_viewer(true);
        (0..=600).for_each(|s| hold.time_passes(Time::from_millis(s * 1000)));
        assert_eq!(hold.get(), ms(500));
    }

    #[test]
    fn a_clean_minute_takes_off_25_ms_down_to_300() {
        let mut hold = Hold::new(Time::ZERO);
        let minutes = |n: u64, hold: &mut Hold| {
            (0..=n * 60).for_each(|s| hold.time_passes(Time::from_millis(s * 1000)));
            hold.get()
        };
        assert_eq!(minutes(1, &mut hold), ms(325));
        assert_eq!(minutes(10, &mut hold), LEAST);
    }
}
