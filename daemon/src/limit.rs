//! Keeps a line that repeats from filling the journal: a few a second per call site, then a count.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Lines of one call site shown per [`WINDOW`] [guess: enough to see a pattern, and even a site
/// that never stops writes less than 50 MB a day].
const SHOWN: u32 = 5;
const WINDOW: Duration = Duration::from_secs(1);

/// Where in the source a line comes from.
pub(crate) type Site = (Option<String>, Option<u32>);

/// Which call sites are talking too much. Bounded by the number of log statements in the program.
#[derive(Default)]
pub(crate) struct Limit {
    sites: HashMap<Site, Talk>,
}

struct Talk {
    since: Instant,
    lines: u32,
}

impl Limit {
    /// Whether a line of this site is to be shown now.
    pub(crate) fn admit(&mut self, site: Site, now: Instant) -> bool {
        let talk = self.sites.entry(site).or_insert(Talk {
            since: now,
            lines: 0,
        });
        talk.lines += 1;
        talk.lines <= SHOWN
    }

    /// The sites whose second is over, each with how many of its lines were held back.
    pub(crate) fn overdue(&mut self, now: Instant) -> Vec<(Site, u32)> {
        let over = |talk: &mut Talk| now.duration_since(talk.since) >= WINDOW;
        let ended = self.sites.extract_if(|_, talk| over(talk));
        let held = ended.map(|(site, talk)| (site, talk.lines.saturating_sub(SHOWN)));
        held.filter(|(_, held)| *held > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(line: u32) -> Site {
        (Some("relay.rs".to_owned()), Some(line))
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
        assert!(limit.sites.is_empty());
    }
}
