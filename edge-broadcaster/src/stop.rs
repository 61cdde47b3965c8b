//! How a source's threads are told to end, even while they sleep.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use protocol::time::Time;

use crate::clock::Clock;

/// One flag, shared by a source and its threads.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Stop {
    /// Tells all who share it to end.
    pub(crate) fn set(&self) {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.shared.1.notify_all();
    }

    /// Whether to end.
    pub(crate) fn is_set(&self) -> bool {
        *self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sleeps until the clock reads `at`, or until told to end. Says whether to go on.
    pub(crate) fn sleep_until(&self, clock: Clock, at: Time) -> bool {
        let (flag, told) = &*self.shared;
        let guard = flag.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = at.since(clock.now());
        let waited = told.wait_timeout_while(guard, limit, |set| !*set);
        !*waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_sleeper_that_is_told_to_stop_does_not_go_on() {
        let (stop, clock) = (Stop::default(), Clock::start());
        let sleeper = stop.clone();
        let tomorrow = clock.now() + Duration::from_secs(86_400);
        let thread = std::thread::spawn(move || sleeper.sleep_until(clock, tomorrow));
        stop.set();
        assert!(!thread.join().expect("no panic"));
        assert!(stop.is_set());
    }
}
