//! How late chunks come: from their capture until whoever watches may have them.

use std::time::Duration;

/// Longer delays are counted as this.
const LONGEST_MS: usize = 20_000;

/// A count of delays, by the millisecond.
#[derive(Debug, Clone, Default)]
pub struct Delays {
    counts: Vec<u32>,
    all: u64,
}

impl Delays {
    /// One more.
    pub fn note(&mut self, delay: Duration) {
        let ms = usize::try_from(delay.as_millis()).map_or(LONGEST_MS, |ms| ms.min(LONGEST_MS));
        if self.counts.len() <= ms {
            self.counts.resize(ms + 1, 0);
        }
        self.counts[ms] += 1;
        self.all += 1;
    }

    /// How many there are.
    pub const fn len(&self) -> u64 {
        self.all
    }

    /// Whether there is none yet.
    pub const fn is_empty(&self) -> bool {
        self.all == 0
    }

    /// The delay in milliseconds that this share of them does not exceed; none of none.
    pub fn quantile_ms(&self, share: f64) -> Option<u64> {
        let wanted = (self.all as f64 * share).ceil().max(1.0) as u64;
        let mut so_far = 0;
        self.counts.iter().zip(0..).find_map(|(&count, ms)| {
            so_far += u64::from(count);
            (so_far >= wanted && self.all > 0).then_some(ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_delay_that_so_many_do_not_exceed() {
        let mut delays = Delays::default();
        assert_eq!(delays.quantile_ms(0.5), None);
        for ms in 1..=100 {
            delays.note(Duration::from_millis(ms));
        }
        delays.note(Duration::from_secs(3_600));
        assert_eq!(delays.quantile_ms(0.5), Some(51));
        assert_eq!(delays.quantile_ms(0.99), Some(100));
        assert_eq!(delays.quantile_ms(1.0), Some(20_000));
        assert_eq!(delays.len(), 101);
    }
}
