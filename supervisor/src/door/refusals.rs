//! Connections that were turned away, told once a second and not one by one.

use std::time::Duration;

use log::warn;
use tokio::time::Instant;

const PAUSE: Duration = Duration::from_secs(1);

/// Those not told yet.
#[derive(Default)]
pub(super) struct Refusals {
    count: u64,
    last: String,
    quiet_until: Option<Instant>,
}

impl Refusals {
    /// One more, and why. Told at once when none was for a second.
    pub(super) fn note(&mut self, why: &str) {
        self.count += 1;
        why.clone_into(&mut self.last);
        if self.quiet_until.is_none_or(|until| until <= Instant::now()) {
            self.say();
        }
    }

    /// Comes true when there is something to tell, and the pause is over.
    pub(super) async fn due(&self) {
        match self.quiet_until {
            Some(until) if self.count > 0 => tokio::time::sleep_until(until).await,
            _ => std::future::pending().await,
        }
    }

    pub(super) fn say(&mut self) {
        warn!(count = self.count; "connections refused: {}; {}", self.count, self.last);
        self.count = 0;
        self.quiet_until = Some(Instant::now() + PAUSE);
    }
}
