//! A camera's own H.264, for as long as it can be sent: looked at first, passed on then, and given up for good where it cannot.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::time::Time;

use super::keeper::{Found, Keeper, say_lost, say_which};
use super::pictures::News;
use crate::capture::v4l2::Identity;
use crate::encode::ladder::{LESS, Tried};
use crate::encode::rungs::Rung;
use crate::encode::{self, Measured, Own, OwnPicture, Proof, Trial};
use crate::repeats::Repeats;
use crate::stop::Stop;

/// A camera that gives something, of which nothing can be read, is waited for so long. Guess: the beginning of some is
/// noise, and a slow board needs a moment to load a decoder.
const NOTHING_READ: Duration = Duration::from_secs(6);
/// What a camera sends is measured anew each time that so much has come. Guess: some groups.
const MEASURED_OVER: Duration = Duration::from_secs(4);
/// A camera that was told to send less has so long to do it. Guess: two measurements.
const OBEYS_IN: Duration = Duration::from_secs(10);

/// Pictures that are decoded. Guess: decoders keep back two or three at most.
const DECODED: usize = 6;

/// What became of cameras' own H.264 so far.
#[derive(Default)]
pub(super) struct OwnUse {
    /// The camera whose own is not used.
    refused: Option<Identity>,
    /// The last one whose own was looked at, and what it sends, kbit/s; 0 before that is known.
    looked_at: Option<(Identity, Arc<AtomicU32>)>,
}

impl OwnUse {
    /// The last one's is not used again.
    pub(super) fn refuse(&mut self) {
        self.refused = self.looked_at.as_ref().map(|(camera, _)| camera.clone());
    }

    /// Whether this camera's was refused.
    pub(super) fn is_refused(&self, camera: &Identity) -> bool {
        self.refused
            .as_ref()
            .is_some_and(|refused| refused.may_be(camera))
    }

    /// Whether the last one's was sent.
    pub(super) fn was_sent(&self) -> bool {
        let sends = self.looked_at.as_ref().map(|(_, sends)| sends);
        sends.is_some_and(|sends| sends.load(Ordering::Relaxed) > 0)
    }

    /// What this camera sends; 0 if it is another one than the last.
    pub(super) fn of(&mut self, identity: Identity) -> Arc<AtomicU32> {
        match &self.looked_at {
            Some((last, sends)) if last.may_be(&identity) => Arc::clone(sends),
            _ => {
                let sends = Arc::new(AtomicU32::new(0));
                self.looked_at = Some((identity, Arc::clone(&sends)));
                sends
            }
        }
    }
}

/// A camera's own H.264 is looked at: what it comes to, and whether it decodes.
struct OwnTrial {
    trial: Trial,
    /// A key frame and what followed it, until they are decoded.
    pictures: Vec<OwnPicture>,
    decoded: bool,
}

impl OwnTrial {
    fn new(kbps: u32) -> Self {
        Self {
            trial: Trial::new(kbps),
            pictures: Vec::new(),
            decoded: false,
        }
    }

    /// Looks at the next picture. Gives what it all comes to, once that is known; the error says why it is not used.
    fn picture(&mut self, picture: &OwnPicture) -> Result<Option<Measured>, String> {
        let OwnPicture { frame, follows, .. } = picture;
        let bytes = frame.data.len();
        let measured = self
            .trial
            .picture(frame.capture, frame.key, bytes, *follows)
            .transpose()?;
        if !self.decoded {
            if !follows {
                self.pictures.clear();
            }
            if frame.key || !self.pictures.is_empty() {
                self.pictures.push(picture.clone());
            }
            if self.pictures.len() == DECODED || measured.is_some() {
                encode::decodes(&self.pictures).map_err(|error| format!("{error:#}"))?;
                self.decoded = true;
                self.pictures.clear();
            }
        }
        Ok(measured)
    }
}

/// What a camera was told to send, and whether it does.
#[derive(Default)]
struct Order {
    kbps: Option<u32>,
    at: Time,
    taken: bool,
}

impl Order {
    /// Tells it by `set`, if that is new. False if it does not take orders and sends more: what it sends is `sends` kbit/s, 0
    /// before that is known.
    fn obeyed(&mut self, now: Time, kbps: u32, sends: u32, set: impl FnOnce(u32) -> bool) -> bool {
        if self.kbps != Some(kbps) {
            (self.kbps, self.at, self.taken) = (Some(kbps), now, set(kbps));
        }
        let too_much = kbps < sends * LESS.0 / LESS.1;
        !too_much || self.taken && now.since(self.at) < OBEYS_IN
    }
}

fn lock(fault: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    fault.lock().unwrap_or_else(PoisonError::into_inner) // words are whole or not there
}

/// What a camera sends, group by group.
#[derive(Default)]
struct RunningRate {
    since: Option<Time>,
    bytes: usize,
}

impl RunningRate {
    /// Counts a picture; gives the mean bitrate, kbit/s, of the groups that ended with the one before it.
    fn picture(&mut self, picture: &OwnPicture) -> Option<u32> {
        let frame = &picture.frame;
        let took = frame
            .capture
            .since(*self.since.get_or_insert(frame.capture));
        let measured = (frame.key && took >= MEASURED_OVER)
            .then(|| (self.bytes as u128 * 8 / took.as_millis()) as u32);
        if measured.is_some() {
            (self.since, self.bytes) = (Some(frame.capture), 0);
        }
        self.bytes += frame.data.len();
        measured
    }
}

/// Why a camera's own H.264 is not used.
#[derive(Debug, thiserror::Error)]
#[error("the camera's own H.264 is not used: {0}")]
pub(super) struct NotOwn(pub(super) String);

impl Keeper {
    /// One camera's own H.264 until its end, or until it cannot be used: [`NotOwn`]. Nobody is shown any of it before it has
    /// proved itself, once.
    pub(super) fn its_own(
        &self,
        found: &Found,
        proven: Arc<AtomicU32>,
        stop: &Stop,
    ) -> anyhow::Result<()> {
        let from = found.opened.format();
        say_which(found);
        self.to.tell(News::Started);
        let (fault, mut read) = (Arc::default(), None);
        let seen: Arc<AtomicBool> = Arc::default();
        let most = self.video.bitrate_kbps;
        let own = Own::start(from, most, self.origin, self.taking(&proven, &seen, &fault))?;
        let mut order = Order::default();
        let mut last = Time::ZERO;
        let (clock, mut lost, mut whole) = (self.clock, Repeats::default(), true);
        found.opened.run(clock, stop, |mut frame, follows| {
            self.to.heard(clock.now());
            let why: Option<String> = lock(&fault).take();
            if let Some(why) = why {
                return Err(NotOwn(why).into());
            }
            let now = clock.now();
            if seen.swap(false, Ordering::Relaxed) {
                read = Some(now);
            } else if now.since(*read.get_or_insert(now)) > NOTHING_READ {
                return Err(NotOwn("nothing of it can be read".into()).into());
            }
            let sends = proven.load(Ordering::Relaxed);
            let set = |kbps| found.opened.set_own_rate(kbps);
            if let Some(kbps) = self.wish.kbps()
                && !order.obeyed(now, kbps.min(most), sends, set)
            {
                let why =
                    format!("{kbps} kbit/s are wanted, it sends {sends}, and does not take orders");
                return Err(NotOwn(why).into());
            }
            // Times of some cameras step back; a parser would lose the time of what is not later.
            frame.capture = frame.capture.max(last + Duration::from_micros(1));
            last = frame.capture;
            let pushed = own.push(frame, follows && whole);
            whole = pushed.map_err(|error| NotOwn(format!("{error:#}")))?;
            if !whole {
                say_lost(&mut lost, clock.now());
            }
            Ok(())
        })
    }

    /// What is done with each of a camera's own pictures, which are noted in `seen`. What it sends, kbit/s, is stored in `proven`
    /// once it is known, and what is wrong with it in `fault`.
    fn taking(
        &self,
        proven: &Arc<AtomicU32>,
        seen: &Arc<AtomicBool>,
        fault: &Arc<Mutex<Option<String>>>,
    ) -> impl FnMut(anyhow::Result<OwnPicture>) + Send + 'static {
        let (to, clock, tally) = (self.to.clone(), self.clock, self.tally.clone());
        let (proven, seen, fault) = (Arc::clone(proven), Arc::clone(seen), Arc::clone(fault));
        let kbps = self.video.bitrate_kbps;
        let mut trial = (proven.load(Ordering::Relaxed) == 0).then(|| OwnTrial::new(kbps));
        let (mut whole, mut lost) = (false, Repeats::default());
        let mut rate = RunningRate::default();
        move |picture| {
            seen.store(true, Ordering::Relaxed);
            let outcome = picture.map_err(|error| format!("{error:#}"));
            let outcome = outcome.and_then(|picture| {
                let Some(going_on) = &mut trial else {
                    if let Some(kbps) = rate.picture(&picture) {
                        proven.store(kbps.max(1), Ordering::Relaxed);
                    }
                    return Ok(Some(picture));
                };
                let Some(measured) = going_on.picture(&picture)? else {
                    return Ok(None);
                };
                trial = None;
                proven.store(measured.kbps.max(1), Ordering::Relaxed);
                let proof = Proof {
                    fps: measured.fps,
                    cores: 0.0,
                };
                log::info!(
                    "the camera's own H.264 is sent as it is: {} kbit/s, {:.0} pictures/s",
                    measured.kbps,
                    measured.fps
                );
                tally.tried(&Tried {
                    rung: Rung::camera(),
                    outcome: Ok(proof),
                });
                Ok(Some(picture))
            });
            match outcome {
                Ok(Some(picture)) => {
                    whole = picture.frame.key || whole && picture.follows;
                    if whole && !to.own(picture) {
                        whole = false;
                        say_lost(&mut lost, clock.now());
                    }
                }
                Ok(None) => {}
                Err(why) => *lock(&fault) = Some(why),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(s: u64) -> Time {
        Time::from_millis(s * 1_000)
    }

    #[test]
    fn a_camera_that_takes_no_orders_is_given_up_only_when_it_sends_too_much() {
        let mut order = Order::default();
        assert!(
            order.obeyed(at(0), 500, 0, |_| false),
            "nothing is known yet"
        );
        assert!(order.obeyed(at(1), 500, 540, |_| false));
        assert!(!order.obeyed(at(2), 500, 900, |_| false));
    }

    #[test]
    fn one_that_says_it_takes_them_has_some_time_and_is_told_once() {
        let mut order = Order::default();
        assert!(order.obeyed(at(0), 500, 900, |kbps| kbps == 500));
        assert!(order.obeyed(at(9), 500, 900, |_| panic!("it was told")));
        assert!(!order.obeyed(at(11), 500, 900, |_| panic!("it was told")));
        assert!(order.obeyed(at(12), 400, 900, |_| true), "and again");
    }
}
