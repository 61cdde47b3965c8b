//! The man in the middle of signalling: a WebSocket between a peer and its supervisor, whose owner hears every text
//! and may put others in its place.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::Runtime;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{accept_async, client_async};

/// Which way a text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Towards {
    /// From the peer.
    Supervisor,
    /// From the supervisor.
    Peer,
}

/// Gives what goes on in the place of a text, each with its way.
pub type Tamper = dyn Fn(Towards, &str) -> Vec<(Towards, String)> + Send + Sync;

/// A running one; ends when dropped.
#[derive(Debug)]
pub struct Tap {
    port: u16,
    heard: Arc<Mutex<Vec<(Towards, String)>>>,
    runtime: Option<Runtime>,
}

impl Tap {
    /// Listens on a port of its own, and passes on to the supervisor at `url`.
    pub fn start(
        url: &str,
        tamper: impl Fn(Towards, &str) -> Vec<(Towards, String)> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        Self::from_address(Ipv4Addr::LOCALHOST.into(), url, tamper)
    }

    /// The same; the supervisor takes whoever comes this way for somebody at `address`, one of loopback's many.
    pub fn from_address(
        address: IpAddr,
        url: &str,
        tamper: impl Fn(Towards, &str) -> Vec<(Towards, String)> + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime
            .block_on(TcpListener::bind(("127.0.0.1", 0)))
            .context("a port for the man in the middle")?;
        let port = listener.local_addr()?.port();
        let heard = Arc::default();
        let middle = Middle {
            address,
            url: url.to_owned(),
            tamper: Arc::new(tamper),
            heard: Arc::clone(&heard),
        };
        runtime.spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let middle = middle.clone();
                tokio::spawn(async move {
                    let _ = middle.carry(stream).await; // either end may hang up
                });
            }
        });
        Ok(Self {
            port,
            heard,
            runtime: Some(runtime),
        })
    }

    /// Where peers find it.
    pub fn url(&self) -> String {
        format!("ws://127.0.0.1:{}/peer", self.port)
    }

    /// All texts that came by, as they were said.
    pub fn heard(&self) -> Vec<(Towards, String)> {
        self.heard
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

#[derive(Clone)]
struct Middle {
    address: IpAddr,
    url: String,
    tamper: Arc<Tamper>,
    heard: Arc<Mutex<Vec<(Towards, String)>>>,
}

impl Middle {
    async fn connect(&self) -> anyhow::Result<TcpStream> {
        let (_, after) = self
            .url
            .split_once("://")
            .context("a WebSocket's address")?;
        let host = after.split('/').next().unwrap_or_default();
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::new(self.address, 0))?;
        Ok(socket
            .connect(host.parse().context("an address and a port")?)
            .await?)
    }

    async fn carry(&self, stream: TcpStream) -> anyhow::Result<()> {
        let (mut to_peer, mut from_peer) = accept_async(stream).await?.split();
        let (socket, _) = client_async(&self.url, self.connect().await?).await?;
        let (mut to_supervisor, mut from_supervisor) = socket.split();
        loop {
            let (towards, message) = tokio::select! {
                message = from_peer.next() => (Towards::Supervisor, message),
                message = from_supervisor.next() => (Towards::Peer, message),
            };
            let text = match message {
                Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                _ => break,
            };
            self.heard
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push((towards, text.clone()));
            for (towards, text) in (self.tamper)(towards, &text) {
                match towards {
                    Towards::Supervisor => to_supervisor.send(Message::text(text)).await?,
                    Towards::Peer => to_peer.send(Message::text(text)).await?,
                }
            }
        }
        let _ = to_supervisor.close().await; // one of them is closed
        let _ = to_peer.close().await;
        Ok(())
    }
}

/// Passes everything on as it is.
pub fn honest(towards: Towards, text: &str) -> Vec<(Towards, String)> {
    vec![(towards, text.to_owned())]
}
