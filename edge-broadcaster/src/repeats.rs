//! Something that may happen thirty times a second is counted, and said once a second.

use std::time::Duration;

use protocol::time::Time;

const PERIOD: Duration = Duration::from_secs(1);

/// Counts what repeats, and says when the count is due to be logged.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    count: u64,
    logged: Option<Time>,
}

impl Repeats {
    /// Counts one, and gives the number since the last log line if one is due.
    pub(crate) fn note(&mut self, now: Time) -> Option<u64> {
        self.count += 1;
        if self.logged.is_some_and(|at| now.since(at) < PERIOD) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_said_at_once_and_the_rest_together_after_a_second() {
        let mut repeats = Repeats::default();
        let said: Vec<_> = [0, 1, 500, 1_000, 1_001]
            .map(|at| repeats.note(Time::from_millis(at)))
            .into();
        assert_eq!(said, [Some(1), None, None, Some(3), None]);
    }
}
