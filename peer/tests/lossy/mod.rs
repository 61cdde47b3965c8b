//! Two ends with a way between them that loses datagrams, once it is told to.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use peer::transport::webrtc::WebRtc;
use peer::transport::{Role, TransportEvent};

use crate::ends::{End, open};

/// Datagrams of this length, or longer, are lost at times: those that carry media.
const LONG: usize = 500;
/// One of so many of them.
const ONE_IN: usize = 20;

/// The way. Ends when dropped.
pub(crate) struct Way {
    port: u16,
    loses: Arc<AtomicBool>,
    is_over: Arc<AtomicBool>,
}

impl Way {
    /// A way to what listens at `to`, for one who speaks to the way first.
    fn to(to: SocketAddr) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let pause = Some(Duration::from_millis(50));
        socket.set_read_timeout(pause).expect("a time-out");
        let way = Self {
            port: socket.local_addr().expect("bound").port(),
            loses: Arc::default(),
            is_over: Arc::default(),
        };
        let (loses, is_over) = (Arc::clone(&way.loses), Arc::clone(&way.is_over));
        std::thread::spawn(move || {
            let (mut other, mut long) = (None, 0);
            let mut datagram = [0; 2_048];
            while !is_over.load(Ordering::Relaxed) {
                let Ok((length, from)) = socket.recv_from(&mut datagram) else {
                    continue; // nothing came for a while
                };
                if length >= LONG && loses.load(Ordering::Relaxed) {
                    long += 1;
                    if long % ONE_IN == 0 {
                        continue;
                    }
                }
                let towards = match from == to {
                    true => other,
                    false => Some(to),
                };
                if from != to {
                    other = Some(from);
                }
                if let Some(towards) = towards {
                    socket.send_to(&datagram[..length], towards).expect("sent");
                }
            }
        });
        way
    }

    pub(crate) fn loses(&self) {
        self.loses.store(true, Ordering::Relaxed);
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Sets a connection up that has no other way than that: the one who offers is told of it, the other of nothing.
pub(crate) async fn connect(a: &WebRtc, b: &WebRtc) -> (End, End, Way) {
    let way = Way::to(SocketAddr::from(([127, 0, 0, 1], b.udp_port())));
    let (mut offerer, offer) = open(a, 1, Role::Offer).await.expect("an offer");
    let (mut answerer, answer) = open(b, 1, Role::Answer { offer }).await.expect("an answer");
    let answered = offerer.connection.set_answer(answer).await;
    answered.expect("a good answer");
    let mut open = (false, false);
    while open != (true, true) {
        tokio::select! {
            event = offerer.next(), if !open.0 => open.0 = matches!(event, TransportEvent::Open),
            event = answerer.next(), if !open.1 => match event {
                TransportEvent::LocalCandidate(candidate) => {
                    let port = b.udp_port().to_string();
                    let led = candidate.replace(&format!(" {port} "), &format!(" {} ", way.port));
                    offerer.connection.add_candidate(led).await.expect("a good candidate");
                }
                event => open.1 = matches!(event, TransportEvent::Open),
            },
        }
    }
    (offerer, answerer, way)
}
