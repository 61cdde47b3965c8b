//! Connections that were turned away or closed, told once a second and not one by one.

use std::time::Duration;

use log::{Level, log};
use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(1);

/// Those not told yet.
pub(crate) struct Refusals {
    /// What was done with them.
    done: &'static str,
    level: Level,
    count: u64,
    last: String,
    quiet_until: Option<Instant>,
}

impl Refusals {
    /// Connections of which this was `done`.
    pub(crate) const fn of(done: &'static str, level: Level) -> Self {
        Self {
            done,
            level,
            count: 0,
            last: String::new(),
            quiet_until: None,
        }
    }

    /// One more, and why. Told at once when none was for a second.
    pub(crate) fn note(&mut self, why: &str) {
        self.count += 1;
        why.clone_into(&mut self.last);
        if self.quiet_until.is_none_or(|until| until <= Instant::now()) {
            self.say();
        }
    }

    /// Comes true when there is something to tell, and the pause is over.
    pub(crate) async fn due(&self) {
        match self.quiet_until {
            Some(until) if self.count > 0 => tokio::time::sleep_until(until).await,
            _ => std::future::pending().await,
        }
    }

    pub(crate) fn say(&mut self) {
        let (done, count, last) = (self.done, self.count, &self.last);
        log!(self.level, count, event = "refused"; "connections {done}: {count}; {last}");
        self.count = 0;
        self.quiet_until = Some(Instant::now() + PAUSE);
    }
}
