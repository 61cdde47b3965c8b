//! Memory that the allocator keeps for later, given back to the system after a crowd has gone.
//!
//! glibc returns what lies at the end of its heap and nothing below it, so that one buffer of one peer that stayed
//! holds all of those who left (measured: a relay has 4 MiB before a hundred viewers, and 18 MiB after them, of which
//! it uses 4). A board has little memory, and other programs on it want some.
//!
//! One of the two files of this workspace with `unsafe` code: nobody offers a safe `malloc_trim`.
#![allow(unsafe_code)]

use std::time::Duration;

use tokio::time::Instant;

/// How long nobody may have left before memory is given back. Guess: longer than the graces in which peers are
/// remembered, and a crowd that leaves together is one occasion.
const QUIET: Duration = Duration::from_secs(6);

/// Watches how many peers hold memory here, and gives back what those who left had.
#[derive(Debug, Default)]
pub struct Ebb {
    held: usize,
    /// When somebody left the last time, if nothing was given back since.
    fell: Option<Instant>,
}

impl Ebb {
    /// How often [`Self::look`] is worth its call.
    pub const LOOK_EVERY: Duration = Duration::from_secs(2);

    /// Hears how many there are now. Gives back, on another thread, when some have left and no more do.
    pub fn look(&mut self, held: usize) {
        if self.is_over(held) {
            tokio::task::spawn_blocking(give_back);
        }
    }

    fn is_over(&mut self, held: usize) -> bool {
        if held < self.held {
            self.fell = Some(Instant::now());
        }
        self.held = held;
        let over = self.fell.is_some_and(|fell| fell.elapsed() >= QUIET);
        if over {
            self.fell = None;
        }
        over
    }
}

#[cfg(target_env = "gnu")]
fn give_back() {
    // SAFETY: it takes no pointer, and locks each part of the heap while it looks through it.
    let _ = unsafe { libc::malloc_trim(0) }; // whether there was anything
}

/// Other C libraries give back by themselves.
#[cfg(not(target_env = "gnu"))]
const fn give_back() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn memory_is_given_back_once_when_a_crowd_has_left_and_the_last_of_it_is_gone() {
        let mut ebb = Ebb::default();
        let mut given = Vec::new();
        for held in [0, 50, 100, 60, 20, 20, 1, 1, 1, 1, 1, 1] {
            given.push(ebb.is_over(held));
            tokio::time::advance(Ebb::LOOK_EVERY).await;
        }
        let at: Vec<_> = (0..given.len()).filter(|look| given[*look]).collect();
        assert_eq!(at, [9], "6 s after the fall from 20 to 1");
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_gains_peers_keeps_all_it_has() {
        let mut ebb = Ebb::default();
        for held in 0..20 {
            assert!(!ebb.is_over(held));
            tokio::time::advance(Ebb::LOOK_EVERY).await;
        }
    }
}
