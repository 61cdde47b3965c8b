//! What the library takes for a connection's own UDP socket: a view of the shared port.
//!
//! Some flows cannot share it and go over a socket of the connection's own, made when the first of
//! them appears: those to an address that belongs to another connection of this port (see `table`)
//! and those of a TURN allocation, which is known by its client's port. A flow that began there stays
//! there when the other connection is gone: the other side takes no other source for ours, and calls
//! the way dead after five seconds of it.

use std::collections::HashSet;
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};
use std::task::{Context, Poll};

use ::webrtc::runtime::{AsyncUdpSocket, RecvMeta, Transmit};
use tokio::io::ReadBuf;
use tokio::net::UdpSocket;

use super::session::MAX_REMOTE_CANDIDATES;
use super::shared_port::SharedPort;
use super::stun::{Class, Message};
use super::table::{Inbox, Member};

/// Addresses remembered as those of flows that go alone. As many as there are remote candidates, and those the other side
/// did not tell: guess.
const MAX_ALONE: usize = 2 * MAX_REMOTE_CANDIDATES;

/// Addresses of TURN servers.
pub(super) type Relays = Arc<RwLock<HashSet<SocketAddr>>>;

/// The shared port, as one local address of one connection sees it.
#[derive(Debug)]
pub(super) struct VirtualSocket {
    /// The address that the library believes in: of one interface, with a port of no meaning.
    local: SocketAddr,
    port: Arc<SharedPort>,
    member: Arc<Member>,
    inbox: Arc<Inbox>,
    relays: Relays,
    /// `Some(None)`: it could not be made.
    own: OnceLock<Option<UdpSocket>>,
    /// Where the flows go that began over it.
    alone: Mutex<HashSet<SocketAddr>>,
}

impl VirtualSocket {
    pub(super) fn new(
        local: SocketAddr,
        port: Arc<SharedPort>,
        member: Arc<Member>,
        relays: Relays,
    ) -> Self {
        let inbox = member.add_inbox(local.ip());
        Self {
            local,
            port,
            member,
            inbox,
            relays,
            own: OnceLock::new(),
            alone: Mutex::default(),
        }
    }

    fn send(&self, destination: SocketAddr, datagram: &[u8]) {
        let message = Message::parse(datagram);
        if self.goes_alone(destination, message) {
            if let Some(own) = self.own() {
                // A full socket loses the datagram; what matters is sent again.
                let _ = own.try_send_to(datagram, destination);
            }
            return;
        }
        if let Some(request) = message.filter(|message| message.class() == Class::Request) {
            self.member_expects(request);
        }
        self.port.send(destination, self.source(), datagram);
    }

    fn member_expects(&self, request: Message<'_>) {
        self.port
            .table()
            .expect_response(&self.member, request.transaction());
    }

    /// Whether a datagram must not go over the shared port.
    fn goes_alone(&self, destination: SocketAddr, message: Option<Message<'_>>) -> bool {
        // A STUN server's answer must speak of the shared port, even when it is a TURN server too.
        let asks_for_address = message.is_some_and(Message::is_binding);
        if self.is_relay(destination) && !asks_for_address {
            return true;
        }
        if self.own.get().is_some() && self.alone().contains(&destination) {
            return true;
        }
        let alone = self.port.table().is_anothers(&self.member, destination);
        if alone {
            self.remember_alone(destination);
        }
        alone
    }

    fn remember_alone(&self, destination: SocketAddr) {
        let mut alone = self.alone();
        if alone.len() < MAX_ALONE {
            alone.insert(destination);
        }
    }

    fn alone(&self) -> MutexGuard<'_, HashSet<SocketAddr>> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_relay(&self, address: SocketAddr) -> bool {
        self.relays
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(&address)
    }

    /// The address to send from. Answers must come from the address that was asked.
    fn source(&self) -> Option<IpAddr> {
        Some(self.local.ip())
    }

    fn own(&self) -> Option<&UdpSocket> {
        let own = self.own.get_or_init(|| {
            let socket = own_socket(self.local.ip());
            socket
                .map_err(|error| log::warn!("a socket beside the shared one: {error}"))
                .ok()
        });
        self.inbox.wake(); // so that the reader reads from this one, too
        own.as_ref()
    }

    fn receive_own(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<RecvMeta>> {
        let Some(Some(own)) = self.own.get() else {
            return Poll::Pending;
        };
        let mut buffer = ReadBuf::new(buffer);
        own.poll_recv_from(context, &mut buffer)
            .map_ok(|from| described(from, buffer.filled().len()))
    }
}

fn own_socket(address: IpAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind((address, 0))?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn described(from: SocketAddr, length: usize) -> RecvMeta {
    let mut meta = RecvMeta::default();
    (meta.addr, meta.len, meta.stride) = (from, length, length.max(1));
    meta
}

impl AsyncUdpSocket for VirtualSocket {
    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.local)
    }

    /// Never waits: parking one connection's driver on the shared socket would lose the others'
    /// wake-ups, and a datagram that finds no room is a lost datagram like any other.
    fn poll_send(&self, _: &mut Context<'_>, transmit: &Transmit<'_>) -> Poll<io::Result<usize>> {
        self.send(transmit.destination, transmit.contents);
        Poll::Ready(Ok(transmit.contents.len()))
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let (Some(buffer), Some(meta)) = (buffers.first_mut(), meta.first_mut()) else {
            return Poll::Ready(Ok(0));
        };
        if let Some((from, datagram)) = self.inbox.pop(context.waker()) {
            let length = datagram.len().min(buffer.len());
            buffer[..length].copy_from_slice(&datagram[..length]);
            *meta = described(from, length);
            return Poll::Ready(Ok(1));
        }
        self.receive_own(context, buffer).map_ok(|received| {
            *meta = received;
            1
        })
    }

    // Both left at one: the shared port cuts and joins trains itself, and a receive buffer for
    // trains would cost each connection 96 kB.
    fn max_gso_segments(&self) -> usize {
        1
    }

    fn max_gro_segments(&self) -> usize {
        1
    }
}
