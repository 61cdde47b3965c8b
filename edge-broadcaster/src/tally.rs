//! What a stream's encoding comes to: counted where it happens, read by `/metrics` and by what the monitor is told.
//!
//! Outlives sources and encoders that are started again, so that counters only ever grow.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use protocol::signal::{Encoding, MAX_NAME, MAX_OUTCOME, MAX_TRIED, TriedEncoder};

use crate::encode::ladder::Tried;
use crate::encode::rungs::{Coding, Rung};

/// The counts of one stream. Clones are the same ones.
#[derive(Debug, Clone, Default)]
pub struct Tally(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    encoded: AtomicU64,
    bytes: AtomicU64,
    busy_us: AtomicU64,
    behind: AtomicU64,
    paced: AtomicU64,
    unsent: AtomicU64,
    epoch: AtomicU32,
    /// Whether it has a camera, and that one shows nothing.
    has_camera: AtomicBool,
    camera_away: AtomicBool,
    ladder: Mutex<Climb>,
}

/// How the encoder was found.
#[derive(Debug, Default)]
struct Climb {
    tried: Vec<TriedEncoder>,
    chosen: Option<&'static Rung>,
}

/// Why a picture was lost on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// The encoder was behind.
    Behind,
    /// The board is too slow for all pictures, and is given fewer.
    Paced,
    /// It was encoded, and sending was too slow.
    Unsent,
}

impl Lost {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Behind, Self::Paced, Self::Unsent];

    /// Its name, as `/metrics` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Behind => "behind",
            Self::Paced => "paced",
            Self::Unsent => "unsent",
        }
    }
}

impl Tally {
    pub(crate) fn encoded(&self, bytes: usize, took: Duration) {
        self.0.encoded.fetch_add(1, Ordering::Relaxed);
        self.0.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.0.busy_us.fetch_add(us, Ordering::Relaxed);
    }

    pub(crate) fn lost(&self, why: Lost) {
        self.counter(why).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn begins(&self, epoch: u32) {
        self.0.epoch.store(epoch, Ordering::Relaxed);
    }

    pub(crate) fn camera(&self, away: bool) {
        self.0.has_camera.store(true, Ordering::Relaxed);
        self.0.camera_away.store(away, Ordering::Relaxed);
    }

    /// The source has no camera: a film, or the test picture.
    pub(crate) fn no_camera(&self) {
        self.0.has_camera.store(false, Ordering::Relaxed);
    }

    /// An encoder is looked for from the first on, by a source that starts.
    pub(crate) fn climbs_anew(&self) {
        *self.climb() = Climb::default();
    }

    pub(crate) fn tried(&self, tried: &Tried) {
        let mut climb = self.climb();
        if tried.outcome.is_ok() {
            climb.chosen = Some(tried.rung);
        }
        if climb.tried.len() >= MAX_TRIED {
            climb.tried.remove(0);
        }
        let outcome = match &tried.outcome {
            Ok(proof) => proof.to_string(),
            Err(reason) => reason.to_string(),
        };
        climb.tried.push(TriedEncoder {
            encoder: tried.rung.element.to_owned(),
            of: tried.rung.of.to_owned(),
            works: tried.outcome.is_ok(),
            outcome: shortened(&outcome, MAX_OUTCOME),
        });
    }

    /// This one of those that work is at work now.
    pub(crate) fn at_work(&self, rung: &'static Rung) {
        self.climb().chosen = Some(rung);
    }

    /// The encoder at work does not work any more; why.
    pub(crate) fn failed(&self, rung: &Rung, error: &anyhow::Error) {
        let mut climb = self.climb();
        climb
            .chosen
            .take_if(|chosen| chosen.element == rung.element);
        let mut tried = climb.tried.iter_mut();
        if let Some(last) = tried.rfind(|tried| tried.encoder == rung.element) {
            last.works = false;
            last.outcome = shortened(&format!("it failed: {error:#}"), MAX_OUTCOME);
        }
    }

    /// Pictures that were encoded.
    pub fn pictures(&self) -> u64 {
        self.0.encoded.load(Ordering::Relaxed)
    }

    /// Their bytes.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// How long the encoder was at work on them, as far as that can be seen: hardware takes several at a time.
    pub fn busy(&self) -> Duration {
        Duration::from_micros(self.0.busy_us.load(Ordering::Relaxed))
    }

    /// Pictures that were lost for that reason.
    pub fn losses(&self, why: Lost) -> u64 {
        self.counter(why).load(Ordering::Relaxed)
    }

    /// The epoch that is sent; 0 before the first.
    pub fn epoch(&self) -> u32 {
        self.0.epoch.load(Ordering::Relaxed)
    }

    /// Whether the camera shows nothing; none where there is no camera.
    pub fn camera_away(&self) -> Option<bool> {
        let has = self.0.has_camera.load(Ordering::Relaxed);
        has.then(|| self.0.camera_away.load(Ordering::Relaxed))
    }

    /// The encoder at work, and what it makes; none for a film.
    pub fn encoder(&self) -> Option<(&'static str, &'static str)> {
        let rung = self.climb().chosen?;
        let codec = match rung.coding {
            Coding::Vp8 => "vp8",
            Coding::H264 => "h264",
        };
        Some((rung.element, codec))
    }

    /// What the supervisor is told of the stream that is called so.
    pub fn encoding(&self, stream: &str) -> Encoding {
        let climb = self.climb();
        Encoding {
            stream: shortened(stream, MAX_NAME),
            encoder: climb.chosen.map(|rung| rung.element.to_owned()),
            tried: climb.tried.clone(),
            camera_away: self.camera_away(),
        }
    }

    fn counter(&self, why: Lost) -> &AtomicU64 {
        match why {
            Lost::Behind => &self.0.behind,
            Lost::Paced => &self.0.paced,
            Lost::Unsent => &self.0.unsent,
        }
    }

    fn climb(&self) -> MutexGuard<'_, Climb> {
        // Each step leaves it whole, whatever panicked between.
        self.0.ladder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Not more than the supervisor takes.
fn shortened(text: &str, most: usize) -> String {
    text[..text.floor_char_boundary(most)].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encode::Proof;
    use crate::encode::ladder::No;

    fn tried(element: &str, outcome: Result<Proof, No>) -> Tried {
        let rung = Rung::named(element).expect("it is known");
        Tried { rung, outcome }
    }

    fn proof() -> Proof {
        Proof {
            fps: 120.0,
            cores: 0.25,
        }
    }

    #[test]
    fn it_is_told_what_was_tried_what_won_and_why() {
        let tally = Tally::default();
        tally.tried(&tried("v4l2vp8enc", Err(No::Absent)));
        assert_eq!(tally.encoder(), None);
        tally.tried(&tried("vp8enc", Ok(proof())));
        assert_eq!(tally.encoder(), Some(("vp8enc", "vp8")));
        let told = tally.encoding("garden");
        assert_eq!(told.encoder.as_deref(), Some("vp8enc"));
        let outcomes: Vec<_> = told
            .tried
            .iter()
            .map(|t| (t.works, t.outcome.as_str()))
            .collect();
        assert_eq!(
            outcomes,
            [
                (false, "it is not there"),
                (true, "120 pictures/s, 0.25 cores")
            ]
        );
    }

    #[test]
    fn an_encoder_that_fails_at_work_is_no_longer_the_one() {
        let tally = Tally::default();
        tally.tried(&tried("v4l2vp8enc", Ok(proof())));
        tally.tried(&tried("camera", Ok(proof())));
        let failed = Rung::named("v4l2vp8enc").expect("it is known");
        tally.failed(failed, &anyhow::anyhow!("the device is gone"));
        tally.tried(&tried("openh264enc", Ok(proof())));
        assert_eq!(tally.encoder(), Some(("openh264enc", "h264")));
        let first = &tally.encoding("garden").tried[0];
        assert_eq!(
            (first.works, first.outcome.as_str()),
            (false, "it failed: the device is gone")
        );
    }

    #[test]
    fn what_is_told_is_never_longer_than_the_supervisor_takes() {
        let tally = Tally::default();
        for _ in 0..100 {
            tally.tried(&tried("vp8enc", Err(No::Failed("ü".repeat(1_000)))));
        }
        let told = tally.encoding(&"ü".repeat(1_000));
        assert!(told.stream.len() <= MAX_NAME && told.tried.len() == MAX_TRIED);
        assert!(told.tried.iter().all(|t| t.outcome.len() <= MAX_OUTCOME));
    }

    #[test]
    fn a_film_has_no_camera_that_could_be_away() {
        let tally = Tally::default();
        assert_eq!(tally.camera_away(), None);
        tally.camera(true);
        assert_eq!(tally.camera_away(), Some(true));
        tally.no_camera();
        assert_eq!(tally.camera_away(), None);
    }
}
