//! How much a socket may say: a token bucket.

use crate::time::Time;

/// Tokens come back at a steady rate, up to a burst; each message takes one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bucket {
    per_s: u32,
    burst: u32,
    /// Millionths of a token.
    filled: u64,
    at: Time,
}

const TOKEN: u64 = 1_000_000;

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(now: Time, per_s: u32, burst: u32) -> Self {
        Self {
            per_s,
            burst,
            filled: u64::from(burst) * TOKEN,
            at: now,
        }
    }

    /// Another rate from now on, full.
    pub(crate) fn widen(&mut self, factor: u32) {
        self.per_s = self.per_s.saturating_mul(factor);
        self.burst = self.burst.saturating_mul(factor);
        self.filled = u64::from(self.burst) * TOKEN;
    }

    /// Whether nothing has been taken for so long that it is as good as new.
    pub(crate) fn is_full(&mut self, now: Time) -> bool {
        self.fill(now);
        self.filled == u64::from(self.burst) * TOKEN
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        self.fill(now);
        let enough = self.filled >= TOKEN;
        self.filled -= if enough { TOKEN } else { 0 };
        enough
    }

    fn fill(&mut self, now: Time) {
        let elapsed_us = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        self.at = now;
        let more = elapsed_us.saturating_mul(u64::from(self.per_s));
        self.filled = self
            .filled
            .saturating_add(more)
            .min(u64::from(self.burst) * TOKEN);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_of_3_at_2_a_second_gives_3_at_once_and_then_1_each_half_second() {
        let mut bucket = Bucket::new(Time::ZERO, 2, 3);
        let mut at = |ms| bucket.take(Time::from_millis(ms));
        assert_eq!(
            [0, 0, 0, 0, 499, 500, 600, 1000].map(&mut at),
            [true, true, true, false, false, true, false, true]
        );
    }
}
