//! One UDP port for all connections: a socket for IPv4, one for IPv6, the table that says whose
//! datagram it is, and the tasks that read and write.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use ::webrtc::runtime::{RecvMeta, UdpSockRef, UdpSocketState};
use tokio::io::unix::AsyncFd;
use tokio::task::AbortHandle;

use super::send_queue::{Pace, SendQueue};
use super::socket::{KERNEL_BUFFER, bind, granted_buffers, watch};
use super::table::{Member, Table};
use crate::transport::TransportError;

/// Receive buffers, and so datagram trains, in one system call. Guess: each may hold 64 KiB, so
/// this is at most 512 KiB of memory a socket, of which only what is used counts.
const RECEIVE_BATCH: usize = 8;
/// Longest train of datagrams that the kernel puts into one buffer (UDP GRO).
const TRAIN: usize = 65_536;
/// Ports tried until one is free for both families. Guess.
const PORT_TRIES: usize = 16;

/// A socket and its queue.
#[derive(Debug)]
struct Lane {
    /// Watched for what comes alone: the kernel would tell of room after each datagram sent, and wake us for nothing.
    socket: AsyncFd<UdpSocket>,
    queue: SendQueue,
}

/// The port. Its tasks end with it.
#[derive(Debug)]
pub(super) struct SharedPort {
    port: u16,
    table: Arc<Table>,
    v4: Option<Arc<Lane>>,
    v6: Option<Arc<Lane>>,
    tasks: Vec<AbortHandle>,
}

impl SharedPort {
    /// Binds `port` (0: any that is free) on every address, or on `address` only.
    pub(super) fn open(
        address: Option<IpAddr>,
        port: u16,
        pace: Option<Pace>,
    ) -> Result<Arc<Self>, TransportError> {
        let sockets = bind_families(address, port).map_err(|source| TransportError::Socket {
            what: match address {
                Some(address) => format!("binding UDP port {port} of {address}"),
                None => format!("binding UDP port {port}"),
            },
            source,
        })?;
        if let Some(warning) = sockets.first().and_then(too_small) {
            log::warn!("{warning}");
        }
        Self::run(sockets, pace).map_err(|source| TransportError::Socket {
            what: "preparing the UDP socket".to_owned(),
            source,
        })
    }

    fn run(sockets: Vec<UdpSocket>, pace: Option<Pace>) -> io::Result<Arc<Self>> {
        let mut port = Self {
            port: 0,
            table: Arc::default(),
            v4: None,
            v6: None,
            tasks: Vec::new(),
        };
        for socket in sockets {
            let local = socket.local_addr()?;
            let lane = port.start(socket, pace)?;
            port.port = local.port();
            if local.is_ipv4() {
                port.v4 = Some(lane)
            } else {
                port.v6 = Some(lane)
            }
        }
        Ok(Arc::new(port))
    }

    fn start(&mut self, socket: UdpSocket, pace: Option<Pace>) -> io::Result<Arc<Lane>> {
        let state = UdpSocketState::new(UdpSockRef::from(&socket))?;
        let queue = SendQueue::new(state.max_gso_segments() > 1, pace);
        let lane = Arc::new(Lane {
            socket: watch(socket)?,
            queue,
        });
        let reader = read(Arc::clone(&lane), state, Arc::clone(&self.table));
        let writer = Arc::clone(&lane);
        self.tasks.push(tokio::spawn(reader).abort_handle());
        let write = async move { writer.queue.run(writer.socket.get_ref()).await };
        self.tasks.push(tokio::spawn(write).abort_handle());
        Ok(lane)
    }

    /// The port number.
    pub(super) const fn number(&self) -> u16 {
        self.port
    }

    /// Whether datagrams can go to addresses of this one's family.
    pub(super) const fn serves(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(_) => self.v4.is_some(),
            IpAddr::V6(_) => self.v6.is_some(),
        }
    }

    pub(super) fn table(&self) -> &Table {
        &self.table
    }

    /// Queues one datagram; from `source`, where the machine has several addresses.
    pub(super) fn send(&self, destination: SocketAddr, source: Option<IpAddr>, datagram: &[u8]) {
        let lane = if destination.is_ipv4() {
            &self.v4
        } else {
            &self.v6
        };
        if let Some(lane) = lane {
            lane.queue.push(destination, source, datagram);
        }
    }
}

impl Drop for SharedPort {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// A connection's place in the table; dropping it takes all its rows away.
#[derive(Debug)]
pub(super) struct Membership {
    pub(super) port: Arc<SharedPort>,
    pub(super) member: Arc<Member>,
}

impl Membership {
    pub(super) fn new(port: Arc<SharedPort>, member: Arc<Member>) -> Self {
        port.table.insert(&member);
        Self { port, member }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.port.table.remove(&self.member);
    }
}

/// Reads datagrams for ever and puts them into their connections' inboxes.
async fn read(lane: Arc<Lane>, state: UdpSocketState, table: Arc<Table>) {
    let mut store: Vec<Vec<u8>> = (0..RECEIVE_BATCH).map(|_| vec![0; TRAIN]).collect();
    let mut meta = [RecvMeta::default(); RECEIVE_BATCH];
    while let Ok(mut ready) = lane.socket.readable().await {
        let mut buffers: Vec<IoSliceMut<'_>> = store
            .iter_mut()
            .map(|buffer| IoSliceMut::new(buffer))
            .collect();
        let received = ready.try_io(|socket| {
            state.recv(UdpSockRef::from(socket.get_ref()), &mut buffers, &mut meta)
        });
        // Errors are news of single addresses (unreachable ones), never the end of the socket.
        let Ok(Ok(count)) = received else { continue };
        if count < RECEIVE_BATCH {
            ready.clear_ready(); // there was no more: the next call would only say so
        }
        for (train, meta) in store.iter().zip(&meta[..count]) {
            deliver(&table, meta, train);
        }
    }
}

fn deliver(table: &Table, meta: &RecvMeta, train: &[u8]) {
    let Some(train) = train.get(..meta.len) else {
        return;
    };
    for datagram in train.chunks(meta.stride.max(1)) {
        if let Some(member) = table.route(meta.addr, datagram) {
            member.deliver(meta.dst_ip, meta.addr, datagram);
        }
    }
}

fn bind_families(address: Option<IpAddr>, port: u16) -> io::Result<Vec<UdpSocket>> {
    let Some(address) = address else {
        return bind_everywhere(port);
    };
    Ok(vec![bind(SocketAddr::new(address, port))?])
}

/// Binds both families to one port. A machine without IPv6 has only the first.
fn bind_everywhere(port: u16) -> io::Result<Vec<UdpSocket>> {
    let mut last = io::Error::from(io::ErrorKind::AddrInUse);
    for _ in 0..PORT_TRIES {
        let v4 = bind((Ipv4Addr::UNSPECIFIED, port).into())?;
        match bind((Ipv6Addr::UNSPECIFIED, v4.local_addr()?.port()).into()) {
            Ok(v6) => return Ok(vec![v4, v6]),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => last = error,
            Err(error) => {
                log::info!("no IPv6 here: {error}");
                return Ok(vec![v4]);
            }
        }
        if port != 0 {
            break;
        }
    }
    Err(last)
}

/// What to say where the kernel granted less than it was asked for.
fn too_small(socket: &UdpSocket) -> Option<String> {
    let (receive, send) = granted_buffers(socket).ok()?;
    (receive.min(send) < KERNEL_BUFFER).then(|| {
        format!(
            "the kernel grants UDP buffers of {receive} (receive) and {send} (send) bytes instead \
             of {KERNEL_BUFFER}, so that streams to many children will lose datagrams: set \
             net.core.rmem_max={KERNEL_BUFFER} and net.core.wmem_max={KERNEL_BUFFER} with sysctl"
        )
    })
}

#[cfg(test)]
mod tests {
    use nix::sys::socket::{setsockopt, sockopt};

    use super::*;

    #[test]
    fn a_socket_with_smaller_buffers_than_asked_for_is_warned_about_with_what_to_do() {
        let socket = bind((Ipv4Addr::LOCALHOST, 0).into()).expect("a port is free");
        let granted = granted_buffers(&socket).expect("a socket has buffers");
        let enough = granted.0.min(granted.1) >= KERNEL_BUFFER;
        assert_eq!(too_small(&socket).is_none(), enough, "{granted:?}");

        setsockopt(&socket, sockopt::RcvBuf, &100_000).expect("less is always granted");
        let warning = too_small(&socket).expect("too small now");
        assert!(warning.contains("of 100000 (receive)"), "{warning}");
        assert!(warning.contains("net.core.rmem_max=4194304"), "{warning}");
    }
}
