//! Keeps a line that repeats from filling the journal: a few a second per call site, then a count.
//!
//! Lines that tell what happened to somebody (they have `event`, and `peer` or `stream`) are counted by what happened and
//! to whom, not by call site: when fifty viewers lose their parent at once, fifty lines say so. All of those
//! together have a bound too, because strangers can make things happen.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Lines of one talker shown per [`WINDOW`] [guess: enough to see a pattern, and even a site
/// that never stops writes less than 50 MB a day].
const SHOWN: u32 = 5;
/// Lines that tell what happened to somebody, per [`WINDOW`], all of them together. journald drops a service's lines beyond
/// 10 000 in 30 s (its RateLimitBurst), and this leaves some for the rest.
const EVENTS_SHOWN: u32 = 300;
const WINDOW: Duration = Duration::from_secs(1);

/// Where in the source a line comes from.
pub(crate) type Site = (Option<String>, Option<u32>);

/// Whose lines are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Talker {
    pub(crate) site: Site,
    /// What happened; none in a line that tells of no event.
    pub(crate) event: Option<String>,
    /// To which peer, or stream.
    pub(crate) whom: Option<String>,
}

impl Talker {
    const fn tells_of_somebody(&self) -> bool {
        self.event.is_some() && self.whom.is_some()
    }
}

/// Who is talking too much. Bounded by the number of log statements in the program, and [`EVENTS_SHOWN`].
#[derive(Default)]
pub(crate) struct Limit {
    talkers: HashMap<Talker, Talk>,
    /// When the second began that is counted here, and the lines about somebody in it.
    events: Option<(Instant, u32)>,
}

struct Talk {
    since: Instant,
    shown: u32,
    held: u32,
}

impl Limit {
    /// Whether this talker's line is to be shown now.
    pub(crate) fn admit(&mut self, mut talker: Talker, now: Instant) -> bool {
        let mut most = SHOWN;
        if talker.tells_of_somebody() && !self.has_room_for_an_event(now) {
            // Counted with all of its kind: there may be any number of peers.
            talker.whom = None;
            most = 0;
        }
        let tells_of_somebody = talker.tells_of_somebody();
        let talk = self.talkers.entry(talker).or_insert(Talk {
            since: now,
            shown: 0,
            held: 0,
        });
        let admitted = talk.shown < most;
        match admitted {
            true => talk.shown += 1,
            false => talk.held += 1,
        }
        if let Some((_, lines)) = self
            .events
            .as_mut()
            .filter(|_| tells_of_somebody && admitted)
        {
            *lines += 1;
        }
        admitted
    }

    fn has_room_for_an_event(&mut self, now: Instant) -> bool {
        let over = |since: Instant| now.duration_since(since) >= WINDOW;
        if self.events.is_none_or(|(since, _)| over(since)) {
            self.events = Some((now, 0));
        }
        self.events.is_some_and(|(_, lines)| lines < EVENTS_SHOWN)
    }

    /// The talkers whose second is over, each with how many of its lines were held back.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(Talker, u32)> {
        let over = |talk: &mut Talk| now.duration_since(talk.since) >= WINDOW;
        let ended = self.talkers.extract_if(|_, talk| over(talk));
        let held = ended.map(|(talker, talk)| (talker, talk.held));
        held.filter(|(_, held)| *held > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(line: u32) -> Talker {
        Talker {
            site: (Some("relay.rs".to_owned()), Some(line)),
            event: None,
            whom: None,
        }
    }

    fn event(name: &str, whom: u32) -> Talker {
        Talker {
            event: Some(name.to_owned()),
            whom: Some(whom.to_string()),
            ..site(1)
        }
    }

    #[test]
    fn repeats_are_held_back_and_counted() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        let shown = (0..100).filter(|_| limit.admit(site(1), start)).count();
        assert_eq!(shown, 5);
        assert!(limit.overdue(start).is_empty());
        assert_eq!(limit.overdue(start + WINDOW), [(site(1), 95)]);
        assert!(limit.admit(site(1), start + WINDOW));
    }

    #[test]
    fn one_site_does_not_silence_another() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        for _ in 0..100 {
            limit.admit(site(1), start);
        }
        assert!(limit.admit(site(2), start));
    }

    #[test]
    fn quiet_sites_are_forgotten() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        for line in 0..50 {
            limit.admit(site(line), start);
        }
        assert!(limit.overdue(start + WINDOW).is_empty());
        assert!(limit.talkers.is_empty());
    }

    #[test]
    fn what_happens_to_each_of_a_crowd_at_once_is_shown_though_it_comes_from_one_line() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        for peer in 0..80 {
            assert!(limit.admit(event("parent-lost", peer), start));
            assert!(limit.admit(event("took-over", peer), start));
        }
        assert!(limit.overdue(start + WINDOW).is_empty());
    }

    #[test]
    fn one_peer_to_whom_the_same_happens_over_and_over_is_counted() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        let shown = (0..100).filter(|_| limit.admit(event("stalled", 7), start));
        assert_eq!(shown.count(), 5);
        assert!(limit.admit(event("stalled", 8), start));
        assert_eq!(limit.overdue(start + WINDOW), [(event("stalled", 7), 95)]);
    }

    #[test]
    fn a_flood_of_strangers_fills_neither_the_journal_nor_the_memory() {
        let (mut limit, start) = (Limit::default(), Instant::now());
        let flood = |limit: &mut Limit, now| {
            let shown = (0..10_000).filter(|&peer| limit.admit(event("came", peer), now));
            shown.count()
        };
        assert_eq!(flood(&mut limit, start), EVENTS_SHOWN as usize);
        assert_eq!(limit.talkers.len(), EVENTS_SHOWN as usize + 1);
        assert!(limit.admit(site(2), start), "the rest is said all the same");
        let whom = None;
        let all = Talker {
            whom,
            ..event("came", 0)
        };
        assert_eq!(
            limit.overdue(start + WINDOW),
            [(all, 10_000 - EVENTS_SHOWN)]
        );
        assert_eq!(flood(&mut limit, start + WINDOW), EVENTS_SHOWN as usize);
    }
}
