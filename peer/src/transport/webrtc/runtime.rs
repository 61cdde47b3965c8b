//! The library's view of the world: tokio, except for sockets and sleep.

use std::collections::HashSet;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use ::webrtc::runtime::{
    AsyncInterval, AsyncTcpListener, AsyncTcpStream, AsyncUdpSocket, JoinHandle, Runtime,
    TokioRuntime,
};

use super::shared_port::SharedPort;
use super::table::Member;
use super::virtual_socket::{Relays, VirtualSocket};

type Task<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The runtime of one connection.
#[derive(Debug)]
pub(super) struct ConnectionRuntime {
    port: Arc<SharedPort>,
    member: Arc<Member>,
    /// `host:port` of the TURN servers.
    relay_hosts: HashSet<String>,
    relays: Relays,
}

impl ConnectionRuntime {
    pub(super) fn new(
        port: Arc<SharedPort>,
        member: Arc<Member>,
        relay_hosts: HashSet<String>,
    ) -> Arc<Self> {
        Arc::new(Self {
            port,
            member,
            relay_hosts,
            relays: Relays::default(),
        })
    }

    fn note_relays(&self, host: &str, addresses: &[SocketAddr]) {
        if self.relay_hosts.contains(host) {
            self.relays
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .extend(addresses);
        }
    }
}

impl Runtime for ConnectionRuntime {
    fn spawn(&self, future: Task<'static, ()>) -> Box<dyn JoinHandle> {
        TokioRuntime.spawn(future)
    }

    /// Puts the shared port in the place of the socket, which has only named the interface.
    fn wrap_udp_socket(&self, socket: std::net::UdpSocket) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let local = socket.local_addr()?;
        let (port, member) = (Arc::clone(&self.port), Arc::clone(&self.member));
        Ok(Arc::new(VirtualSocket::new(
            local,
            port,
            member,
            Arc::clone(&self.relays),
        )))
    }

    fn wrap_tcp_listener(
        &self,
        listener: std::net::TcpListener,
    ) -> io::Result<Arc<dyn AsyncTcpListener>> {
        TokioRuntime.wrap_tcp_listener(listener)
    }

    fn connect_tcp<'a>(
        &'a self,
        address: SocketAddr,
    ) -> Task<'a, io::Result<Arc<dyn AsyncTcpStream>>> {
        Box::pin(async move { TokioRuntime.connect_tcp(address).await })
    }

    fn resolve_host<'a>(&'a self, host: &'a str) -> Task<'a, io::Result<Vec<SocketAddr>>> {
        Box::pin(async move {
            let addresses = TokioRuntime.resolve_host(host).await?;
            self.note_relays(host, &addresses);
            Ok(addresses)
        })
    }

    fn sleep(&self, duration: Duration) -> Task<'static, ()> {
        TokioRuntime.sleep(self.member.youth.nap(duration))
    }

    fn interval(&self, period: Duration) -> Box<dyn AsyncInterval> {
        TokioRuntime.interval(period)
    }

    fn block_on(&self, future: Pin<Box<dyn Future<Output = ()> + '_>>) {
        TokioRuntime.block_on(future);
    }

    fn yield_now(&self) -> Task<'static, ()> {
        TokioRuntime.yield_now()
    }
}
