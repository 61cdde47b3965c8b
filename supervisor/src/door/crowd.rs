//! Who is here, by address: a seat each, given back when it is dropped.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use protocol::stream_manager::network;

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Full {
    #[error("{0} has {1} connections already (limits.connections_per_address)")]
    Address(IpAddr, usize),
    #[error("there are {0} connections already (limits.peers)")]
    All(usize),
}

/// The count of all connections. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Crowd(Arc<Shared>);

struct Shared {
    each: usize,
    all: usize,
    count: Mutex<Count>,
}

#[derive(Default)]
struct Count {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place in the crowd. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Seat {
    #[expect(dead_code, reason = "what matters is that it is dropped")]
    taken: Arc<Taken>,
}

struct Taken {
    crowd: Crowd,
    connection: bool,
    address: Option<IpAddr>,
    /// The seat of the connection that carries this one.
    #[expect(dead_code, reason = "what matters is that it is dropped")]
    under: Option<Seat>,
}

impl Crowd {
    /// With room for so many of each address, and so many in all.
    pub(crate) fn new(each: usize, all: usize) -> Self {
        let count = Mutex::default();
        Self(Arc::new(Shared { each, all, count }))
    }

    /// A connection from that address.
    pub(crate) fn enter(&self, address: IpAddr) -> Result<Seat, Full> {
        self.take(true, Some(address), None)
    }

    /// A connection of a proxy, which speaks for many addresses.
    pub(crate) fn enter_proxied(&self) -> Result<Seat, Full> {
        self.take(true, None, None)
    }

    /// A socket of that address on a proxy's connection.
    pub(crate) fn behind(&self, address: IpAddr, proxy: &Seat) -> Option<Seat> {
        self.take(false, Some(address), Some(proxy.clone())).ok()
    }

    fn take(
        &self,
        connection: bool,
        address: Option<IpAddr>,
        under: Option<Seat>,
    ) -> Result<Seat, Full> {
        let network = address.map(network);
        let mut count = self.count();
        if connection && count.all >= self.0.all {
            return Err(Full::All(count.all));
        }
        if let Some(network) = network {
            let here = count.by_address.entry(network).or_default();
            if *here >= self.0.each {
                return Err(Full::Address(network, *here));
            }
            *here += 1;
        }
        count.all += usize::from(connection);
        drop(count);
        let taken = Taken {
            crowd: self.clone(),
            connection,
            address: network,
            under,
        };
        Ok(Seat {
            taken: Arc::new(taken),
        })
    }

    fn count(&self) -> MutexGuard<'_, Count> {
        // Numbers are whole whatever panicked between.
        self.0.count.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut count = self.crowd.count();
        count.all -= usize::from(self.connection);
        let Some(address) = self.address else { return };
        let left = count.by_address.get_mut(&address).map_or(0, |here| {
            *here -= 1;
            *here
        });
        if left == 0 {
            count.by_address.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn v4(n: u8) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, n))
    }

    #[test]
    fn an_address_has_its_limit_and_others_theirs() {
        let crowd = Crowd::new(2, 100);
        let first = crowd.enter(v4(1)).ok();
        let _second = crowd.enter(v4(1)).ok();
        assert_eq!(crowd.enter(v4(1)).err(), Some(Full::Address(v4(1), 2)));
        assert!(crowd.enter(v4(2)).is_ok());
        drop(first);
        assert!(crowd.enter(v4(1)).is_ok());
    }

    #[test]
    fn all_together_have_a_limit_and_it_is_given_back() {
        let crowd = Crowd::new(10, 2);
        let seats = [crowd.enter(v4(1)), crowd.enter_proxied()];
        assert_eq!(crowd.enter(v4(3)).err(), Some(Full::All(2)));
        drop(seats);
        assert!(crowd.count().by_address.is_empty());
        assert_eq!(crowd.count().all, 0);
    }

    #[test]
    fn sockets_behind_a_proxy_count_for_their_own_address() {
        let crowd = Crowd::new(1, 1);
        let proxy = crowd.enter_proxied().expect("there is room");
        let socket = crowd.behind(v4(1), &proxy);
        assert!(socket.is_some());
        assert!(crowd.behind(v4(1), &proxy).is_none());
        assert!(crowd.behind(v4(2), &proxy).is_some());
        drop(proxy);
        assert!(
            crowd.enter(v4(3)).is_err(),
            "the socket holds its connection"
        );
        drop(socket);
        assert!(crowd.enter(v4(3)).is_ok());
    }

    #[test]
    fn a_subscriber_with_many_ipv6_addresses_is_one() {
        let crowd = Crowd::new(1, 9);
        let at = |text: &str| text.parse().expect("an address");
        let _here = crowd.enter(at("2001:db8:1:2::1")).ok();
        assert!(crowd.enter(at("2001:db8:1:2:ffff::9")).is_err());
        assert!(crowd.enter(at("2001:db8:1:3::1")).is_ok());
    }
}
