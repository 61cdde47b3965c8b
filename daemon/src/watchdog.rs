//! The watchdog of systemd, fed by the loops that matter.
//!
//! Each such loop takes its own [`Watchdog`]; systemd hears of it only when *all* have fed since
//! the last time. A timer that feeds on behalf of a stuck loop is absent on purpose.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How systemd is told. A seam for the tests.
type Notify = Arc<dyn Fn() + Send + Sync>;

/// One loop's hand on the watchdog. Dropped, the loop is no longer waited for.
pub struct Watchdog {
    shared: Arc<Shared>,
    id: u64,
    last_fed: Instant,
}

/// All loops of one service. Inactive (every call free) without `WatchdogSec=` in the unit.
#[derive(Clone)]
pub(crate) struct Kennel(Arc<Shared>);

struct Shared {
    limit: Option<Duration>,
    notify: Notify,
    loops: Mutex<Loops>,
}

#[derive(Default)]
struct Loops {
    next_id: u64,
    /// Who has not fed since systemd was told the last time.
    hungry: Vec<u64>,
    all: Vec<u64>,
}

impl Kennel {
    pub(crate) fn new(limit: Option<Duration>, notify: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared {
            limit,
            notify: Arc::new(notify),
            loops: Mutex::default(),
        }))
    }

    pub(crate) fn watchdog(&self) -> Watchdog {
        let mut loops = self.0.loops();
        let id = loops.next_id;
        loops.next_id += 1;
        loops.all.push(id);
        loops.hungry.push(id);
        drop(loops);
        Watchdog {
            shared: self.0.clone(),
            id,
            last_fed: Instant::now(),
        }
    }
}

impl Shared {
    fn loops(&self) -> MutexGuard<'_, Loops> {
        self.loops.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Watchdog {
    /// Tells that this loop is alive. Cheap enough to be called on every turn.
    pub fn feed(&mut self) {
        let Some(period) = self.period() else { return };
        // Half a period: a loop that turns a thousand times a second must not make as many locks.
        if self.last_fed.elapsed() < period / 2 {
            return;
        }
        self.last_fed = Instant::now();
        let mut loops = self.shared.loops();
        loops.hungry.retain(|id| *id != self.id);
        if loops.hungry.is_empty() {
            loops.hungry = loops.all.clone();
            drop(loops);
            (self.shared.notify)();
        }
    }

    /// Comes when it is time to feed, never without a watchdog: an arm for the loop's `select!`.
    pub async fn due(&self) {
        match self.period() {
            Some(period) => tokio::time::sleep_until(self.last_fed + period).await,
            None => std::future::pending().await,
        }
    }

    /// How often to feed: a third of systemd's limit, so that one feeding may be lost.
    #[must_use]
    pub fn period(&self) -> Option<Duration> {
        self.shared.limit.map(|limit| limit / 3)
    }
}

impl Drop for Watchdog {
    fn drop(&mut self) {
        let mut loops = self.shared.loops();
        loops.all.retain(|id| *id != self.id);
        loops.hungry.retain(|id| *id != self.id);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn kennel(limit: Option<Duration>) -> (Kennel, Arc<AtomicU32>) {
        let told = Arc::new(AtomicU32::new(0));
        let counter = told.clone();
        let notify = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        (Kennel::new(limit, notify), told)
    }

    #[tokio::test(start_paused = true)]
    async fn one_loop_feeds() {
        let (kennel, told) = kennel(Some(Duration::from_secs(3)));
        let mut dog = kennel.watchdog();
        for _ in 0..10 {
            dog.due().await;
            dog.feed();
        }
        assert_eq!(told.load(Ordering::Relaxed), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn stuck_loop_silences_the_others() {
        let (kennel, told) = kennel(Some(Duration::from_secs(3)));
        let mut lively = kennel.watchdog();
        let stuck = kennel.watchdog();
        for _ in 0..10 {
            lively.due().await;
            lively.feed();
        }
        assert_eq!(told.load(Ordering::Relaxed), 0);
        drop(stuck); // ended in good order: nobody waits for it
        lively.due().await;
        lively.feed();
        assert_eq!(told.load(Ordering::Relaxed), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn busy_loop_does_not_flood_systemd() {
        let (kennel, told) = kennel(Some(Duration::from_secs(3)));
        let mut dog = kennel.watchdog();
        for _ in 0..3000 {
            tokio::time::advance(Duration::from_millis(1)).await;
            dog.feed();
        }
        assert_eq!(told.load(Ordering::Relaxed), 6);
    }

    #[tokio::test(start_paused = true)]
    async fn without_watchdog_nothing_is_due() {
        let (kennel, told) = kennel(None);
        let mut dog = kennel.watchdog();
        dog.feed();
        let due = tokio::time::timeout(Duration::from_secs(3600), dog.due()).await;
        assert!(due.is_err());
        assert_eq!(told.load(Ordering::Relaxed), 0);
    }
}
