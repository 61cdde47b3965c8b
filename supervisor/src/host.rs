//! What this machine is called, and where its LAN finds it.

use std::net::{IpAddr, Ipv4Addr};

use log::warn;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

/// Its name, if it has one that can stand in an address.
pub(crate) fn name() -> Option<String> {
    let name = nix::unistd::gethostname().ok()?.into_string().ok()?;
    let usual = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    (!name.is_empty() && name != "localhost" && name.chars().all(usual)).then_some(name)
}

/// The addresses of all its interfaces.
pub(crate) fn addresses() -> Vec<IpAddr> {
    let interfaces = match getifaddrs() {
        Ok(interfaces) => interfaces,
        Err(error) => {
            warn!("cannot list this machine's addresses: {error}");
            return Vec::new();
        }
    };
    let mut found: Vec<IpAddr> = interfaces
        .filter_map(|interface| address(&interface.address?))
        .collect();
    found.sort_unstable();
    found.dedup();
    found
}

fn address(of: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = of.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| Some(of.as_sockaddr_in6()?.ip().into()))
}

/// The address to hand out when nobody said one: the first that others may reach.
pub(crate) fn likely_address() -> IpAddr {
    let own = addresses();
    let reachable = own.iter().find(|own| own.is_ipv4() && !own.is_loopback());
    reachable
        .copied()
        .unwrap_or_else(|| Ipv4Addr::LOCALHOST.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_among_the_addresses() {
        assert!(addresses().contains(&Ipv4Addr::LOCALHOST.into()));
    }
}
