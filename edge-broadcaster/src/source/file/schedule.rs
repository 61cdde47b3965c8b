//! Puts a file's packets in the order of their times, and joins one run of a loop to the next.
//!
//! Files interleave their tracks in stretches, so a little is read ahead; how much is bounded in time,
//! in number and in bytes.

use std::collections::{BTreeMap, VecDeque};

use protocol::media::Track;

use super::demux::Packet;

/// Read ahead. Muxers interleave within half a second or a Cluster of a few; guess.
const AHEAD_US: u64 = 1_500_000;
const AHEAD_BYTES: usize = 16 << 20;
const AHEAD_PACKETS: usize = 2_000;
/// Tracks that end this close together are meant to end together. Guess.
const RAGGED_US: u64 = 500_000;
/// Length of a last frame where nothing says it: one of 25 a second.
const FRAME_US: u64 = 40_000;
/// Shortest run of a loop, so that a file of one frame does not spin. Guess.
const SHORTEST_US: u64 = 100_000;

/// A packet with its place on the source's time line.
#[derive(Debug, Clone)]
pub(super) struct Due {
    /// Microseconds since the source's start.
    pub(super) at_us: u64,
    pub(super) packet: Packet,
}

/// One file's packets, in order.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    /// What is read ahead, by time and then by order in the file.
    ahead: BTreeMap<(u64, u64), Packet>,
    bytes: usize,
    read: u64,
    newest_us: u64,
    /// The file's own time of its first frame, in this run.
    first_us: Option<u64>,
    /// Where this run began on the source's time line.
    origin_us: u64,
    ends: [End; 2],
}

/// Where a track ends, as far as it has been read.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    last_us: Option<u64>,
    length_us: u64,
}

impl End {
    fn note(&mut self, packet: &Packet) {
        let step = self.last_us.map(|last| packet.at_us.saturating_sub(last));
        self.length_us = packet.length_us.or(step).unwrap_or(FRAME_US);
        self.last_us = Some(packet.at_us.max(self.last_us.unwrap_or(0)));
    }

    fn at_us(&self) -> Option<u64> {
        Some(self.last_us?.saturating_add(self.length_us))
    }
}

impl Schedule {
    /// Whether to read on before the next packet is due.
    pub(super) fn wants_more(&self) -> bool {
        let Some(((first_us, _), _)) = self.ahead.first_key_value() else {
            return true;
        };
        self.newest_us.saturating_sub(*first_us) < AHEAD_US
            && self.bytes < AHEAD_BYTES
            && self.ahead.len() < AHEAD_PACKETS
    }

    /// Takes a packet that was read.
    pub(super) fn add(&mut self, packet: Packet) {
        self.newest_us = self.newest_us.max(packet.at_us);
        self.bytes += packet.data.len();
        self.ends[packet.track as usize].note(&packet);
        self.ahead.insert((packet.at_us, self.read), packet);
        self.read += 1;
    }

    /// The next packet to send.
    pub(super) fn next(&mut self) -> Option<Due> {
        let ((at_us, _), packet) = self.ahead.pop_first()?;
        self.bytes -= packet.data.len();
        let first_us = *self.first_us.get_or_insert(at_us);
        let at_us = self
            .origin_us
            .saturating_add(at_us.saturating_sub(first_us));
        Some(Due { at_us, packet })
    }

    /// The file has been read to its end: gives what is left of this run, and begins the next one where
    /// it ends. If there is a next one, a tail of one track beyond the end of the other is cut off, so
    /// that neither has a hole.
    pub(super) fn finish_run(&mut self, repeats: bool) -> VecDeque<Due> {
        let seam_us = if repeats { self.cut_tails() } else { 0 };
        let mut rest = VecDeque::new();
        while let Some(due) = self.next() {
            rest.push_back(due);
        }
        let run_us = seam_us.saturating_sub(self.first_us.unwrap_or(0));
        *self = Self {
            origin_us: self.origin_us.saturating_add(run_us.max(SHORTEST_US)),
            read: self.read,
            ..Self::default()
        };
        rest
    }

    /// The file's time at which the next run begins.
    fn cut_tails(&mut self) -> u64 {
        let [video, audio] = [Track::Video, Track::Audio].map(|t| self.ends[t as usize].at_us());
        let (Some(video_us), Some(audio_us)) = (video, audio) else {
            return video.or(audio).unwrap_or(0);
        };
        if video_us.abs_diff(audio_us) > RAGGED_US {
            return video_us.max(audio_us);
        }
        let cut_us = video_us.min(audio_us);
        self.ahead.retain(|(at_us, _), _| *at_us < cut_us);
        // Sound must not have a gap; that a picture stays a few milliseconds longer is not seen.
        let sound = self.ahead.values().rfind(|p| p.track == Track::Audio);
        let length_us = self.ends[Track::Audio as usize].length_us;
        sound.map_or(cut_us, |last| last.at_us.saturating_add(length_us))
    }

    /// Time that has been read of this run, by the file's own clock.
    pub(super) fn read_us(&self) -> u64 {
        self.newest_us.saturating_sub(self.first_us.unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn packet(track: Track, at_ms: u64) -> Packet {
        Packet {
            track,
            key: true,
            at_us: at_ms * 1000,
            length_us: None,
            data: Bytes::from_static(b"data"),
        }
    }

    fn add(schedule: &mut Schedule, track: Track, times: impl Iterator<Item = u64>) {
        times.for_each(|at| schedule.add(packet(track, at)));
    }

    fn times(rest: VecDeque<Due>, track: Track) -> Vec<u64> {
        let of_track = rest.into_iter().filter(|due| due.packet.track == track);
        of_track.map(|due| due.at_us / 1000).collect()
    }

    #[test]
    fn tracks_stored_one_after_the_other_come_out_by_time() {
        let mut schedule = Schedule::default();
        add(&mut schedule, Track::Video, [0, 40, 80].into_iter());
        add(&mut schedule, Track::Audio, [0, 20, 40, 60].into_iter());
        let order: Vec<u64> = std::iter::from_fn(|| schedule.next())
            .map(|due| due.at_us / 1000)
            .collect();
        assert_eq!(order, [0, 0, 20, 40, 40, 60, 80]);
    }

    #[test]
    fn a_file_that_begins_late_starts_at_once() {
        let mut schedule = Schedule::default();
        add(&mut schedule, Track::Video, [70_000, 70_040].into_iter());
        assert_eq!(times(schedule.finish_run(true), Track::Video), [0, 40]);
    }

    #[test]
    fn the_second_run_begins_where_the_first_one_ends() {
        let mut schedule = Schedule::default();
        for expected in [0, 120, 240] {
            add(&mut schedule, Track::Video, [0, 40, 80].into_iter());
            assert_eq!(times(schedule.finish_run(true), Track::Video)[0], expected);
        }
    }

    #[test]
    fn sound_that_lasts_longer_than_the_picture_is_cut_at_a_packet_and_goes_on_without_a_gap() {
        let mut schedule = Schedule::default();
        let mut heard = Vec::new();
        for _ in 0..2 {
            add(&mut schedule, Track::Video, (0..1_000).step_by(40));
            add(&mut schedule, Track::Audio, (0..1_150).step_by(21));
            heard.extend(times(schedule.finish_run(true), Track::Audio));
        }
        let gaps: Vec<u64> = heard.windows(2).map(|w| w[1] - w[0]).collect();
        assert_eq!(gaps, vec![21; heard.len() - 1]);
        assert_eq!(heard.len(), 2 * 48); // 48 · 21 ms reach the picture's end at 1 s
    }

    #[test]
    fn a_track_that_is_much_shorter_is_not_what_a_run_is_cut_to() {
        let mut schedule = Schedule::default();
        add(&mut schedule, Track::Video, (0..5_000).step_by(40));
        add(&mut schedule, Track::Audio, (0..1_000).step_by(20));
        assert_eq!(times(schedule.finish_run(true), Track::Video).len(), 125);
        add(&mut schedule, Track::Video, [0].into_iter());
        assert_eq!(times(schedule.finish_run(true), Track::Video), [5_000]);
    }

    #[test]
    fn reading_ahead_is_bounded_even_when_time_stands_still() {
        let mut schedule = Schedule::default();
        let read = (0..).take_while(|_| {
            schedule.add(packet(Track::Video, 5));
            schedule.wants_more()
        });
        assert!(read.count() <= AHEAD_PACKETS);
    }
}
