//! Handshakes that are opened and left hanging, by the thousand, while others watch.

use std::net::{Ipv4Addr, SocketAddr};

use anyhow::Context as _;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpSocket, TcpStream};

use crate::audience::{Audience, Mood};
use crate::stage::{PATIENCE, Stage, TEST_PICTURE};

/// Connections of one address: what a supervisor allows it, roughly.
const PER_ADDRESS: u32 = 250;
/// How the viewers fared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Siege {
    /// Handshakes that hung at the same time.
    pub hanging: usize,
    /// How the viewers fared before.
    pub before: Mood,
    /// And after.
    pub after: Mood,
}

/// Opens `handshakes` from many loopback addresses, says no word in any, and waits until the supervisor has closed
/// them all; `viewers` watch meanwhile, and one more comes in at the end.
pub fn siege(handshakes: u32, viewers: u32) -> anyhow::Result<Siege> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _relay = stage.relay("relay", 1_000_000)?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let audience = Audience::new(&stage, viewers)?;
    let before = audience.mood();
    let hanging = tokio::runtime::Runtime::new()?.block_on(hang(&stage, handshakes))?;
    let newcomer = stage.receiver("newcomer", &["--stream", "test", "--leaf"])?;
    newcomer.wait_for_line("it plays", |line| line["playing"] == true)?;
    Ok(Siege {
        hanging,
        before,
        after: audience.mood(),
    })
}

/// Opens them, and gives how many there were once the last is closed by the other side.
async fn hang(stage: &Stage, handshakes: u32) -> anyhow::Result<usize> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let mut open = Vec::new();
    for number in 0..handshakes {
        // 127.1.0.1 and on: loopback is all of 127.0.0.0/8.
        let address = Ipv4Addr::from_bits(0x7f01_0001 + number / PER_ADDRESS);
        match knock(address.into(), stage.port()).await {
            Ok(stream) => open.push(stream),
            Err(_) => break, // there are as many as there can be
        }
    }
    let hanging = open.len();
    for stream in open {
        let closed = async {
            let mut rest = [0; 4096];
            loop {
                stream.readable().await?;
                match stream.try_read(&mut rest) {
                    Ok(0) => return Ok(()),
                    Ok(_) => {}
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return Ok::<_, std::io::Error>(()),
                }
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, closed).await;
        in_time.context("a handshake hangs for ever")??;
    }
    Ok(hanging)
}

/// A WebSocket that is asked who it is, and does not say.
async fn knock(from: std::net::IpAddr, port: u16) -> anyhow::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    let mut stream = socket.connect(([127, 0, 0, 1], port).into()).await?;
    let request = "GET /peer HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    Ok(stream)
}
