//! The thread between the camera and the encoder: shows the camera's pictures, or the slate.
//!
//! The camera may hang in its driver for seconds; this thread never waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use gstreamer as gst;
use protocol::time::Time;

use super::stage::{Away, Fate, Stage};
use crate::capture::slate::Slate;
use crate::capture::{VideoFormat, VideoFrame};
use crate::clock::Clock;
use crate::encode::{Ladder, OwnPicture};
use crate::repeats::Repeats;
use crate::stop::Stop;

/// Pictures that may wait on the way here: that is within the jitter of a loaded board.
const PICTURES: usize = 3;
/// All that may: what the camera has to say is rare, and what it encoded itself is small, and costs a group of pictures if it
/// is lost. A second of that.
const WAITING: usize = 30;
/// How long to wait before looking whether to stop.
const GLANCE: Duration = Duration::from_millis(200);

/// What comes from the camera's side.
pub(super) enum News {
    /// A camera was started.
    Started,
    /// A picture in the stream's layout and size.
    Picture(Time, gst::Buffer),
    /// A picture that the camera encoded, as it is sent.
    Own(Box<OwnPicture>),
    /// There is no camera to be had.
    Away(Away),
}

/// The camera's side of the way here.
#[derive(Clone)]
pub(super) struct Teller {
    to: SyncSender<News>,
    /// When the camera last gave something, µs on the clock.
    heard: Arc<AtomicU64>,
    /// Pictures on the way.
    waiting: Arc<AtomicUsize>,
}

impl Teller {
    /// Notes that the camera gave something, whatever becomes of it.
    pub(super) fn heard(&self, at: Time) {
        self.heard.store(at.as_micros(), Ordering::Relaxed);
    }

    /// Hands a picture on. False if there is no room: it is lost.
    pub(super) fn picture(&self, capture: Time, buffer: gst::Buffer) -> bool {
        if self.waiting.load(Ordering::Relaxed) >= PICTURES {
            return false;
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let sent = self.try_send(News::Picture(capture, buffer));
        if !sent {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
        sent
    }

    /// Hands one on that the camera encoded. False if there is no room: it is lost.
    pub(super) fn own(&self, picture: OwnPicture) -> bool {
        self.try_send(News::Own(Box::new(picture)))
    }

    fn try_send(&self, news: News) -> bool {
        !matches!(self.to.try_send(news), Err(TrySendError::Full(_)))
    }

    /// Says something else, and waits until there is room.
    pub(super) fn tell(&self, news: News) {
        let _ = self.to.send(news); // the other side ends only with the source
    }
}

/// The other side.
pub(super) struct Told {
    news: Receiver<News>,
    heard: Arc<AtomicU64>,
    waiting: Arc<AtomicUsize>,
}

/// A way from the camera's side to [`Pictures`].
pub(super) fn way() -> (Teller, Told) {
    let ((to, news), heard, waiting) = (sync_channel(WAITING), Arc::default(), Arc::default());
    let teller = Teller {
        to,
        heard: Arc::clone(&heard),
        waiting: Arc::clone(&waiting),
    };
    let told = Told {
        news,
        heard,
        waiting,
    };
    (teller, told)
}

/// What is shown, and to whom.
pub(super) struct Pictures {
    clock: Clock,
    stage: Stage,
    slate: Slate,
    encoder: Ladder,
    /// The slate was the last thing shown.
    away: Option<Away>,
    stale: Repeats,
}

impl Pictures {
    /// Shows pictures of this format, which is the encoder's.
    pub(super) fn new(format: &VideoFormat, encoder: Ladder, clock: Clock) -> Self {
        Self {
            clock,
            stage: Stage::new(clock.now(), format.fps),
            slate: Slate::new(format.width, format.height),
            encoder,
            away: None,
            stale: Repeats::default(),
        }
    }

    /// Shows what there is until told to stop, or the encoder fails.
    pub(super) fn run(mut self, from: &Told, stop: &Stop) -> anyhow::Result<()> {
        while !stop.is_set() {
            let due = self.stage.next_wakeup().since(self.clock.now());
            match from.news.recv_timeout(due.min(GLANCE)) {
                Ok(news) => {
                    if matches!(news, News::Picture(..)) {
                        from.waiting.fetch_sub(1, Ordering::Relaxed);
                    }
                    self.take(news)?;
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the camera's thread ended"),
            }
            let heard = from.heard.load(Ordering::Relaxed);
            self.stage.heard(Time::from_micros(heard));
            self.show_slate()?;
            self.log_change();
        }
        Ok(())
    }

    fn take(&mut self, news: News) -> anyhow::Result<()> {
        let now = self.clock.now();
        match news {
            News::Started => self.stage.started(),
            News::Away(away) => self.stage.gone(now, away),
            News::Picture(capture, buffer) => {
                if self.is_shown(now, capture) {
                    self.encoder.push(capture, buffer)?;
                }
            }
            News::Own(mut picture) => {
                // What is not shown keeps no slate away.
                if !self.encoder.takes(&picture) {
                    self.encoder.left_out();
                    return Ok(());
                }
                let frame = &mut picture.frame;
                let lifted = self.stage.after_last(frame.capture);
                frame.media_us += lifted.since(frame.capture).as_micros() as u64;
                frame.capture = lifted;
                if self.is_shown(now, lifted) {
                    self.encoder.pass(*picture);
                } else {
                    self.encoder.left_out();
                }
            }
        }
        Ok(())
    }

    fn is_shown(&mut self, now: Time, capture: Time) -> bool {
        match self.stage.picture(now, capture) {
            Fate::Show => return true,
            Fate::Behind => {}
            Fate::Stale(late) => {
                if let Some(count) = self.stale.note(now) {
                    let ms = late.as_millis();
                    log::warn!(
                        "{count} pictures were left out, the last for being {ms} ms late: the board is too slow"
                    );
                }
            }
        }
        false
    }

    fn show_slate(&mut self) -> anyhow::Result<()> {
        let now = self.clock.now();
        let Some((away, since)) = self.stage.slate(now) else {
            return Ok(());
        };
        let today = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let began = today.saturating_sub(now.since(since));
        let data = self
            .slate
            .paint(away.words(), began.as_secs(), today.as_secs());
        self.encoder.push_painted(VideoFrame { capture: now, data })
    }

    fn log_change(&mut self) {
        let away = self.stage.away();
        match (self.away, away) {
            (None, Some(away)) => log::warn!(
                "viewers see \"{}\" until the camera shows something",
                away.words()
            ),
            (Some(_), None) => log::info!("viewers see the camera again"),
            _ => {}
        }
        self.away = away;
        self.encoder.tally().camera(away.is_some());
    }
}
