//! One track on its way into its SourceBuffer: what is appended, in which order, and how a gap is got over.

use core::ops::Range;
use core::time::Duration;

use bytes::Bytes;

use super::Output;
use super::arrivals::{Arrivals, Frame};
use super::ranges::Ranges;
use super::sound::{SILENCE_US, Sound};
use crate::chunk::{Chunk, Header, Position};
use crate::media::{Codec, Descriptor, Track, TrackInfo};
use crate::time::Time;

/// A gap is given up when so little is left to play before it. Guess.
const PATIENCE: Duration = Duration::from_millis(150);
/// A longer gap in the sound is jumped, a shorter one filled with silence. Guess: a second of silence is worse than
/// a jump to live.
const MOST_SILENCE: Duration = Duration::from_secs(1);
/// A step in Opus time stamps from here on is a gap: half a packet.
const SOUND_GAP_US: u64 = SILENCE_US / 2;
/// Frames kept for a rebuilt source. Guess: a group of pictures of 2 s at 30 Mbit/s.
const MOST_KEPT: usize = 8 << 20;
/// Sound kept for a rebuilt source of a stream without pictures.
const SOUND_KEPT_US: u64 = 1_000_000;
/// Length of a frame before two in a row have shown it: 30 a second.
const FRAME_US: u64 = 33_333;
/// Longest length of one frame that is believed; after a longer step something else is the matter.
const LONGEST_FRAME_US: u64 = 200_000;

/// The epochs whose frames may be appended to the open source: the running one, and one that can follow it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Epochs<'a> {
    pub(super) running: &'a Descriptor,
    pub(super) coming: Option<&'a Descriptor>,
}

impl Epochs<'_> {
    fn init(&self, epoch: u32, track: Track) -> Option<Bytes> {
        let known = [Some(self.running), self.coming]
            .into_iter()
            .flatten()
            .find(|d| d.epoch == epoch)?;
        known.find(track, 0).map(|info| info.init.clone())
    }
}

/// When and where a lane is asked to advance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Time,
    pub(super) position_us: u64,
    /// A gap younger than this is no loss: chunks overtake each other.
    pub(super) grace: Duration,
    /// The play head stands still until there is more: what is left before a gap will not run out.
    pub(super) dry: bool,
}

/// See the module's own words.
#[derive(Debug)]
pub(super) struct Lane {
    track: Track,
    codec: Codec,
    arrivals: Arrivals,
    ranges: Ranges,
    sound: Sound,
    gap_since: Option<Time>,
    /// The epoch whose init segment is in the buffer.
    epoch: Option<u32>,
    /// Media time of the last frame appended.
    last_us: Option<u64>,
    frame_us: u64,
    kept: Vec<Frame>,
    kept_bytes: usize,
    silent_packets: u64,
}

impl Lane {
    pub(super) fn new(info: &TrackInfo) -> Self {
        let sound = info.track == Track::Audio;
        Self {
            track: info.track,
            codec: info.codec,
            arrivals: Arrivals::new(sound),
            ranges: Ranges::default(),
            sound: Sound::default(),
            gap_since: None,
            epoch: None,
            last_us: None,
            frame_us: if sound { SILENCE_US } else { FRAME_US },
            kept: Vec::new(),
            kept_bytes: 0,
            silent_packets: 0,
        }
    }

    pub(super) const fn codec(&self) -> Codec {
        self.codec
    }

    pub(super) const fn ranges(&self) -> &Ranges {
        &self.ranges
    }

    pub(super) const fn epoch(&self) -> Option<u32> {
        self.epoch
    }

    pub(super) const fn silent_packets(&self) -> u64 {
        self.silent_packets
    }

    pub(super) const fn has_started(&self) -> bool {
        self.arrivals.has_started()
    }

    pub(super) fn insert(&mut self, chunk: &Chunk) {
        self.arrivals.insert(chunk);
    }

    pub(super) fn skipped(&mut self, to: Position) {
        self.arrivals.skipped(to);
    }

    pub(super) fn forget_before(&mut self, media_us: u64) {
        self.ranges.forget_before(media_us);
    }

    /// Appends no more for now, and chooses a start again later.
    pub(super) fn park(&mut self) {
        self.arrivals.forget_all_but_newest_start();
    }

    /// Whether whole frames of `epoch` wait, at which decoding can start.
    pub(super) fn can_start_epoch(&self, epoch: u32) -> bool {
        self.arrivals.newest_start(|e| e == epoch).is_some()
    }

    /// The source is new and empty: the init segment goes in, then what was kept of the last group.
    pub(super) fn refill(&mut self, epochs: Epochs<'_>, out: &mut Vec<Output>) {
        self.ranges = Ranges::default();
        self.sound.reset();
        self.last_us = None;
        let kept = core::mem::take(&mut self.kept);
        self.kept_bytes = 0;
        self.put_init(epochs.running.epoch, epochs, out);
        for frame in kept
            .into_iter()
            .filter(|f| f.position.epoch == epochs.running.epoch)
        {
            self.append(&frame, true, out);
        }
    }

    /// What was kept is not to be trusted any more, or not wanted.
    pub(super) fn forget_kept(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
        self.arrivals.forget_all_but_newest_start();
    }

    fn put_init(&mut self, epoch: u32, epochs: Epochs<'_>, out: &mut Vec<Output>) {
        let Some(bytes) = epochs.init(epoch, self.track) else {
            return;
        };
        self.epoch = Some(epoch);
        out.push(Output::Append {
            track: self.track,
            bytes,
            media_us: 0..0,
        });
    }

    /// Begins with the newest whole frame at which decoding can start; gives its media time.
    pub(super) fn start_with_newest(
        &mut self,
        epochs: Epochs<'_>,
        out: &mut Vec<Output>,
    ) -> Option<u64> {
        let start = self
            .arrivals
            .newest_start(|e| epochs.init(e, self.track).is_some())?;
        self.cross_to(&start, epochs, out);
        Some(start.media_us)
    }

    /// Begins with the first frame not more than `slack` before `media_us`, nor, unless `any`, after it.
    pub(super) fn start_at(
        &mut self,
        media_us: u64,
        slack: u64,
        any: bool,
        epochs: Epochs<'_>,
        out: &mut Vec<Output>,
    ) -> bool {
        let earliest = media_us.saturating_sub(slack);
        let start = self
            .arrivals
            .start_from(earliest, |e| epochs.init(e, self.track).is_some());
        let Some(start) = start.filter(|h| any || h.media_us <= media_us.saturating_add(slack))
        else {
            return false;
        };
        self.cross_to(&start, epochs, out);
        true
    }

    /// Appends all that can be appended now. Never past a missing chunk, unless there is hardly anything left to
    /// play before it, or nobody will send it: then from the next frame at which decoding can start.
    pub(super) fn advance(&mut self, moment: Moment, epochs: Epochs<'_>, out: &mut Vec<Output>) {
        loop {
            if let Some(frame) = self.arrivals.take_next() {
                self.append(&frame, true, out);
                self.gap_since = None;
            } else if let Some(start) = self.way_over_gap(moment, epochs) {
                self.cross_to(&start, epochs, out);
                self.gap_since = None;
            } else {
                return;
            }
        }
    }

    fn way_over_gap(&mut self, moment: Moment, epochs: Epochs<'_>) -> Option<Header> {
        if !self.arrivals.has_gap() {
            self.gap_since = None;
            return None;
        }
        let since = *self.gap_since.get_or_insert(moment.now);
        let running_dry = moment.dry || self.ranges.left(moment.position_us) < micros(PATIENCE);
        let given_up = running_dry && moment.now.since(since) >= moment.grace;
        if !given_up && !self.arrivals.next_is_skipped() {
            return None;
        }
        self.arrivals
            .start_after_gap(|epoch| epochs.init(epoch, self.track).is_some())
    }

    fn cross_to(&mut self, start: &Header, epochs: Epochs<'_>, out: &mut Vec<Output>) {
        self.arrivals.go_on_at(start.position);
        let new_epoch = self.epoch != Some(start.position.epoch);
        let dirty = self.last_us.is_some();
        // Silence and a cluster head carry Opus over a gap; any other buffer's parser may sit inside a frame group.
        if dirty && (new_epoch || self.codec != Codec::Opus) {
            out.push(Output::Abort(self.track));
            self.sound.reset();
        }
        if new_epoch {
            self.put_init(start.position.epoch, epochs, out);
        }
        if let Some(frame) = self.arrivals.take_next() {
            self.append(&frame, false, out);
        }
    }

    fn append(&mut self, frame: &Frame, follows: bool, out: &mut Vec<Output>) {
        self.keep(frame);
        if self.track == Track::Audio && self.is_covered(frame.media_us) {
            return;
        }
        if self.codec == Codec::Opus {
            self.fill_gap(frame.media_us, out);
        }
        self.learn_length(frame.media_us, follows);
        let bytes = match self.track {
            Track::Video => frame.bytes.clone(),
            Track::Audio => self.sound.packet(frame.media_us, frame.bytes.clone()),
        };
        let joined = self.track == Track::Video && follows || !self.leaves_hole(frame.media_us);
        let end = frame.media_us.saturating_add(self.frame_us);
        self.put(bytes, frame.media_us..end, joined, out);
        self.last_us = Some(frame.media_us);
    }

    fn put(&mut self, bytes: Bytes, media_us: Range<u64>, joined: bool, out: &mut Vec<Output>) {
        self.ranges.push(media_us.start, media_us.end, joined);
        out.push(Output::Append {
            track: self.track,
            bytes,
            media_us,
        });
    }

    /// Whether silence stands in this packet's place already.
    fn is_covered(&self, media_us: u64) -> bool {
        self.ranges
            .end()
            .is_some_and(|end| media_us.saturating_add(self.frame_us / 2) < end)
    }

    /// Browsers play on over one lost frame, hardly over more (measured).
    fn leaves_hole(&self, media_us: u64) -> bool {
        self.ranges
            .end()
            .is_some_and(|end| media_us > end.saturating_add(self.frame_us * 3 / 2))
    }

    fn learn_length(&mut self, media_us: u64, follows: bool) {
        let step = self.last_us.map(|last| media_us.saturating_sub(last));
        if let Some(step @ 1_000..=LONGEST_FRAME_US) = step
            && follows
        {
            self.frame_us = step;
        }
    }

    fn fill_gap(&mut self, until_us: u64, out: &mut Vec<Output>) {
        let Some(end) = self.ranges.end() else { return };
        let gap = until_us.saturating_sub(end);
        if (SOUND_GAP_US..=micros(MOST_SILENCE)).contains(&gap) {
            self.put_silence(end, until_us.saturating_sub(SOUND_GAP_US), out);
        }
    }

    fn put_silence(&mut self, from_us: u64, until_us: u64, out: &mut Vec<Output>) {
        let mut at = from_us;
        while at < until_us {
            let bytes = self.sound.silence(at);
            let joined = self.ranges.end().is_some_and(|end| at <= end);
            self.put(bytes, at..at + SILENCE_US, joined, out);
            self.silent_packets += 1;
            at += SILENCE_US;
        }
        self.last_us = Some(at.saturating_sub(SILENCE_US));
    }

    /// No sound comes at all: silence up to `until_us`, so that the picture goes on.
    pub(super) fn stand_in(&mut self, from_us: u64, until_us: u64, out: &mut Vec<Output>) {
        if self.codec == Codec::Opus && self.epoch.is_some() {
            let from = self.ranges.end().map_or(from_us, |end| end.max(from_us));
            self.put_silence(from, until_us, out);
        }
    }

    fn keep(&mut self, frame: &Frame) {
        if self.track == Track::Video && frame.random_access || self.kept_bytes > MOST_KEPT {
            self.kept.clear();
            self.kept_bytes = 0;
        }
        // A group that was too big is not kept in half: nothing could be started with the rest.
        if self.track == Track::Video && self.kept.is_empty() && !frame.random_access {
            return;
        }
        self.kept_bytes += frame.bytes.len();
        self.kept.push(frame.clone());
    }

    /// Forgets kept sound that no rebuilt source would play: before `start_us`, or, in a stream without pictures,
    /// older than a second.
    pub(super) fn trim_kept_sound(&mut self, start_us: Option<u64>) {
        let newest = self.kept.last().map_or(0, |f| f.media_us);
        let from = start_us.unwrap_or_else(|| newest.saturating_sub(SOUND_KEPT_US));
        let stale = self
            .kept
            .iter()
            .take_while(|f| f.media_us + self.frame_us <= from)
            .count();
        self.kept_bytes -= self
            .kept
            .drain(..stale)
            .map(|f| f.bytes.len())
            .sum::<usize>();
    }

    /// Where a rebuilt source would start.
    pub(super) fn kept_from(&self) -> Option<u64> {
        self.kept.first().map(|f| f.media_us)
    }

    #[cfg(test)]
    pub(super) fn is_within_bounds(&self) -> bool {
        self.arrivals.is_within_bounds() && self.kept_bytes <= 2 * MOST_KEPT
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
