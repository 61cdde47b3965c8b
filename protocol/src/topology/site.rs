//! Where a peer is, as far as an address tells: peers of one site reach each other without the way out to the Internet.

use core::num::NonZeroU64;
use std::net::IpAddr;

/// A site: one public IPv4 address, for behind it is one household or office; 256 private ones, as most routers give out;
/// the 64 bits of an IPv6 address that a site is given (RFC 6177).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Site(NonZeroU64);

impl Site {
    /// The site of an address as the supervisor sees it.
    pub fn of(address: IpAddr) -> Option<Self> {
        let bits = match address.to_canonical() {
            IpAddr::V4(v4) if v4.is_private() || v4.is_link_local() || v4.is_loopback() => {
                u64::from(v4.to_bits() >> 8 << 8)
            }
            IpAddr::V4(v4) => u64::from(v4.to_bits()),
            // Never the 32 bits of an IPv4 address: those would be of ::/32, which nobody is given.
            IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
        };
        NonZeroU64::new(bits).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_household_is_one_site_however_its_addresses_look() {
        let at = |text: &str| Site::of(text.parse().expect("an address"));
        assert_eq!(at("192.168.1.20"), at("192.168.1.21"));
        assert_ne!(at("192.168.1.20"), at("192.168.2.20"));
        assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
        assert_eq!(at("0.0.0.0"), None);
    }
}
