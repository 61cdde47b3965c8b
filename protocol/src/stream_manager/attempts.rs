//! How many handshakes an address may begin: a bucket for each that began some lately.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};

use super::Limits;
use crate::bucket::Bucket;
use crate::time::Time;

/// Addresses remembered before those are looked for that can be forgotten. Guess: as many as peers.
const SWEEP_AT: usize = 10_000;

/// See the module's own words.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    buckets: BTreeMap<IpAddr, Bucket>,
    sweep_at: usize,
}

impl Attempts {
    /// Whether one more may begin there now.
    pub(super) fn may_begin(&mut self, now: Time, address: IpAddr, limits: &Limits) -> bool {
        if self.buckets.len() >= self.sweep_at.max(SWEEP_AT) {
            self.buckets.retain(|_, bucket| !bucket.is_full(now));
            // Not again for each of a crowd that is here for good.
            self.sweep_at = self.buckets.len() * 2;
        }
        let new = Bucket::new(now, limits.handshakes_per_s, limits.handshake_burst);
        self.buckets
            .entry(network(address))
            .or_insert(new)
            .take(now)
    }
}

/// What one subscriber is given: an IPv4 address, or the 64 bits of an IPv6 one that are not its own to choose.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        std::net::Ipv4Addr::from_bits(n).into()
    }

    #[test]
    fn an_address_that_begins_too_many_waits_and_others_do_not() {
        let limits = Limits {
            handshakes_per_s: 1,
            handshake_burst: 2,
            ..Limits::default()
        };
        let mut attempts = Attempts::default();
        let mut at = |ms, n| attempts.may_begin(Time::from_millis(ms), address(n), &limits);
        assert_eq!([at(0, 1), at(0, 1), at(0, 1)], [true, true, false]);
        assert!(at(0, 2));
        assert!(at(1_000, 1));
    }

    #[test]
    fn the_addresses_of_one_subscriber_are_one() {
        let at = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    }

    #[test]
    fn a_million_addresses_that_came_once_are_forgotten() {
        let mut attempts = Attempts::default();
        for n in 0..1_000_000 {
            let now = Time::from_millis(u64::from(n));
            attempts.may_begin(now, address(n), &Limits::default());
        }
        assert!(attempts.buckets.len() <= SWEEP_AT);
    }
}
