//! Which addresses this machine has, to be offered to other peers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::{InterfaceAddress, getifaddrs};
use nix::net::if_::InterfaceFlags;

/// Addresses offered at most: each costs the other side checks against each of its own. Guess: two
/// interfaces with an IPv4 and some IPv6 addresses each.
const MAX_ADDRESSES: usize = 8;

/// The addresses of the interfaces that are up, as far as another machine can use them; with
/// `loopback` also those of the loopback interface.
pub(super) fn host_addresses(loopback: bool) -> Vec<IpAddr> {
    let mut found: Vec<IpAddr> = Vec::new();
    let interfaces = getifaddrs().into_iter().flatten();
    for address in interfaces.filter_map(usable) {
        if !found.contains(&address) && found.len() < MAX_ADDRESSES {
            found.push(address);
        }
    }
    if loopback {
        found.extend([
            IpAddr::from(Ipv4Addr::LOCALHOST),
            IpAddr::from(Ipv6Addr::LOCALHOST),
        ]);
    }
    found
}

fn usable(interface: InterfaceAddress) -> Option<IpAddr> {
    let up = interface
        .flags
        .contains(InterfaceFlags::IFF_UP | InterfaceFlags::IFF_RUNNING);
    let storage = interface.address.filter(|_| up)?;
    let v4 = storage
        .as_sockaddr_in()
        .map(|address| IpAddr::from(address.ip()));
    let v6 = storage
        .as_sockaddr_in6()
        .map(|address| IpAddr::from(address.ip()));
    v4.or(v6).filter(|address| reaches_other_machines(*address))
}

/// Link-local addresses need an interface's name, which a candidate cannot carry.
fn reaches_other_machines(address: IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(link_local || address.is_loopback() || address.is_unspecified() || address.is_multicast())
}
