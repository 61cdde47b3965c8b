//! Connections inside one process, for tests and for the simulation of whole trees.
//!
//! Behaves as [`super::webrtc`] does as far as an owner can tell: the same exchange of descriptions
//! and candidates (opaque here), bounded buffers, waiting for a slow owner. Loses nothing and takes
//! no time.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use protocol::id::{Fingerprint, LinkId};
use tokio::sync::{Notify, oneshot};

use super::{
    Channel, Connection, Events, IceServer, MAX_MESSAGE, Role, SEND_BUFFER, SendError, Transport,
    TransportError, TransportEvent,
};

/// A network of one process; each of its transports reaches all others.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    places: Arc<Mutex<HashMap<String, Weak<Side>>>>,
}

impl Memory {
    /// A network without anybody.
    pub fn network() -> Self {
        Self::default()
    }

    /// One more transport of this network, under a fingerprint of its own.
    pub fn transport(&self) -> Arc<MemoryTransport> {
        let fingerprint = Fingerprint::from_bytes(rand::random());
        Arc::new(MemoryTransport {
            network: self.clone(),
            fingerprint,
        })
    }

    /// How many connections there are, either end counted.
    pub fn connections(&self) -> usize {
        self.places()
            .values()
            .filter(|side| side.strong_count() > 0)
            .count()
    }

    fn places(&self) -> MutexGuard<'_, HashMap<String, Weak<Side>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, description: &str) -> Result<Arc<Side>, TransportError> {
        let refused = || TransportError::Description("no such place in memory".to_owned());
        let place = place_in(description).ok_or_else(refused)?;
        self.places()
            .get(place)
            .and_then(Weak::upgrade)
            .ok_or_else(refused)
    }
}

/// One peer's end of a [`Memory`] network.
#[derive(Debug)]
pub struct MemoryTransport {
    network: Memory,
    fingerprint: Fingerprint,
}

#[async_trait]
impl Transport for MemoryTransport {
    fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// There is nothing to traverse in memory.
    fn set_ice_servers(&self, _: Vec<IceServer>, _: Option<IpAddr>) {}

    async fn open(
        &self,
        link: LinkId,
        role: Role,
        events: Events,
    ) -> Result<Box<dyn Connection>, TransportError> {
        let offerer = match &role {
            Role::Offer => None,
            Role::Answer { offer } => Some(self.network.find(offer)?),
        };
        let side = Side::new();
        self.network
            .places()
            .insert(side.place.clone(), Arc::downgrade(&side));
        if let Some(offerer) = offerer {
            // The offerer learns of it by the answer.
            *side.other() = Arc::downgrade(&offerer);
        }
        let (stop, stopped) = oneshot::channel();
        let task = Task {
            link,
            events,
            side: Arc::clone(&side),
            network: self.network.clone(),
            first: vec![
                TransportEvent::LocalDescription(side.describe(self.fingerprint)),
                TransportEvent::LocalCandidate(side.candidate()),
            ],
        };
        tokio::spawn(task.run(stopped));
        Ok(Box::new(Handle {
            side,
            network: self.network.clone(),
            stop: Some(stop),
        }))
    }
}

/// What one end holds for the other end to see.
#[derive(Debug)]
struct Side {
    place: String,
    state: Mutex<State>,
    other: Mutex<Weak<Self>>,
    /// Wakes this end's task.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// The two ends know each other's descriptions.
    joined: bool,
    /// This end knows an address of the other.
    reachable: bool,
    open: bool,
    /// Why it ended, if it did.
    ended: Option<String>,
    /// Messages for this end's owner.
    inbox: VecDeque<(Channel, Bytes)>,
    /// Bytes that the other end has not taken yet, by channel: control, media.
    outstanding: [usize; 2],
    low_water: Option<usize>,
    drained: bool,
}

impl Side {
    fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Arc::new(Self {
            place: format!("place-{}", NEXT.fetch_add(1, Ordering::Relaxed)),
            state: Mutex::default(),
            other: Mutex::default(),
            changed: Notify::new(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn other(&self) -> MutexGuard<'_, Weak<Self>> {
        self.other.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn peer(&self) -> Option<Arc<Self>> {
        self.other().upgrade()
    }

    fn describe(&self, fingerprint: Fingerprint) -> String {
        format!(
            "v=0\r\na=fingerprint:sha-256 {fingerprint}\r\na=place:{}\r\n",
            self.place
        )
    }

    fn candidate(&self) -> String {
        format!(
            r#"{{"candidate":"{}","sdpMid":"0","sdpMLineIndex":0}}"#,
            self.place
        )
    }

    /// Opens both ends as soon as they know each other and one can reach the other.
    fn try_open(self: &Arc<Self>) {
        let Some(peer) = self.peer() else { return };
        let ready = {
            let (mine, theirs) = (self.state().clone_flags(), peer.state().clone_flags());
            (mine.0 || theirs.0) && (mine.1 || theirs.1)
        };
        if ready {
            for side in [self, &peer] {
                side.state().open = true;
                side.changed.notify_one();
            }
        }
    }

    /// Takes the next thing to tell the owner out of the state, acknowledging messages.
    fn next_event(&self, told_open: &mut bool) -> Option<TransportEvent> {
        let mut state = self.state();
        if state.open && !*told_open {
            *told_open = true;
            return Some(TransportEvent::Open);
        }
        if std::mem::take(&mut state.drained) {
            return Some(TransportEvent::Drained);
        }
        let (channel, message) = state.inbox.pop_front()?;
        drop(state);
        if let Some(peer) = self.peer() {
            peer.acknowledge(channel, message.len());
        }
        Some(TransportEvent::Message(channel, message))
    }

    fn acknowledge(&self, channel: Channel, bytes: usize) {
        let mut state = self.state();
        let before = state.outstanding[index(channel)];
        state.outstanding[index(channel)] = before - bytes;
        let fell_to = |low| before > low && before - bytes <= low;
        if channel == Channel::Media && state.low_water.is_some_and(fell_to) {
            state.drained = true;
            self.changed.notify_one();
        }
    }

    fn end(&self, reason: &str) {
        self.state().ended.get_or_insert_with(|| reason.to_owned());
        self.changed.notify_one();
    }
}

impl State {
    const fn clone_flags(&self) -> (bool, bool) {
        (self.joined, self.reachable)
    }
}

const fn index(channel: Channel) -> usize {
    match channel {
        Channel::Control => 0,
        Channel::Media => 1,
    }
}

/// The line of a description that says where its maker is.
fn place_in(description: &str) -> Option<&str> {
    description
        .lines()
        .find_map(|line| line.strip_prefix("a=place:"))
}

/// Tells one end's owner, for as long as the connection lasts.
struct Task {
    link: LinkId,
    events: Events,
    side: Arc<Side>,
    network: Memory,
    first: Vec<TransportEvent>,
}

impl Task {
    async fn run(mut self, mut stopped: oneshot::Receiver<oneshot::Sender<()>>) {
        let done = tokio::select! {
            biased;
            done = &mut stopped => done.ok(),
            () = self.tell_all() => None,
        };
        self.network.places().remove(&self.side.place);
        if let Some(peer) = self.side.peer() {
            peer.end("closed by the other side");
        }
        if let Some(done) = done {
            let _ = done.send(());
        }
    }

    async fn tell_all(&mut self) {
        for event in std::mem::take(&mut self.first) {
            let _ = self.events.send((self.link, event)).await;
        }
        let mut told_open = false;
        loop {
            while let Some(event) = self.side.next_event(&mut told_open) {
                if self.events.send((self.link, event)).await.is_err() {
                    return;
                }
            }
            let ended = self.side.state().ended.clone();
            if let Some(reason) = ended {
                let _ = self
                    .events
                    .send((self.link, TransportEvent::Closed(reason)))
                    .await;
                return;
            }
            self.side.changed.notified().await;
        }
    }
}

/// The owner's handle.
struct Handle {
    side: Arc<Side>,
    network: Memory,
    stop: Option<oneshot::Sender<oneshot::Sender<()>>>,
}

#[async_trait]
impl Connection for Handle {
    async fn set_answer(&self, sdp: String) -> Result<(), TransportError> {
        let answerer = self.network.find(&sdp)?;
        if answerer
            .peer()
            .is_none_or(|offerer| !Arc::ptr_eq(&offerer, &self.side))
        {
            return Err(TransportError::Description(
                "the answer to another offer".to_owned(),
            ));
        }
        *self.side.other() = Arc::downgrade(&answerer);
        self.side.state().joined = true;
        self.side.try_open();
        Ok(())
    }

    async fn add_candidate(&self, candidate: String) -> Result<(), TransportError> {
        let parsed: serde_json::Value = serde_json::from_str(&candidate)
            .map_err(|error| TransportError::Candidate(error.to_string()))?;
        match parsed.get("candidate").and_then(|text| text.as_str()) {
            _ if parsed.is_null() => return Ok(()),
            Some("") => return Ok(()),
            Some(place) if place.starts_with("place-") => {}
            _ => {
                return Err(TransportError::Candidate(
                    "not a place in memory".to_owned(),
                ));
            }
        }
        self.side.state().reachable = true;
        self.side.try_open();
        Ok(())
    }

    async fn try_send(&self, channel: Channel, message: &Bytes) -> Result<(), SendError> {
        if message.len() > MAX_MESSAGE {
            return Err(SendError::TooLarge(message.len()));
        }
        let peer = self.side.peer().ok_or(SendError::Closed)?;
        let mut state = self.side.state();
        if !state.open || state.ended.is_some() {
            return Err(SendError::Closed);
        }
        let outstanding = &mut state.outstanding[index(channel)];
        if *outstanding != 0 && *outstanding + message.len() > SEND_BUFFER {
            return Err(SendError::Full);
        }
        *outstanding += message.len();
        drop(state);
        peer.state().inbox.push_back((channel, message.clone()));
        peer.changed.notify_one();
        Ok(())
    }

    async fn media_buffered(&self) -> usize {
        self.side.state().outstanding[index(Channel::Media)]
    }

    async fn set_low_water(&self, bytes: Option<usize>) {
        self.side.state().low_water = bytes;
    }

    async fn close(mut self: Box<Self>) {
        let (done, finished) = oneshot::channel();
        let asked = self.stop.take().is_some_and(|stop| stop.send(done).is_ok());
        if asked {
            let _ = finished.await;
        }
    }
}
