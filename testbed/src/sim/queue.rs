//! What is to happen, in the order of its times, and of what is planned for one moment what was planned first.

use std::collections::BTreeMap;

use protocol::time::Time;

/// See the module's own words.
pub(super) struct Queue<T> {
    waiting: BTreeMap<(Time, u64), T>,
    put: u64,
}

impl<T> Queue<T> {
    pub(super) const fn new() -> Self {
        Self {
            waiting: BTreeMap::new(),
            put: 0,
        }
    }

    pub(super) fn put(&mut self, at: Time, what: T) {
        self.put += 1;
        self.waiting.insert((at, self.put), what);
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Time> {
        self.waiting.first_key_value().map(|(&(at, _), _)| at)
    }

    /// What happens next, if that is before `end`.
    pub(super) fn pop_before(&mut self, end: Time) -> Option<(Time, T)> {
        let entry = self.waiting.first_entry()?;
        let (at, _) = *entry.key();
        (at < end).then(|| (at, entry.remove()))
    }
}
