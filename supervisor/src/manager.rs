//! The one task that owns the Stream Manager: no locks, everything in order.
//!
//! Decides nothing: carries texts from sockets to `protocol::stream_manager`, and what it says back to the
//! sockets' own bounded queues. A socket that does not drain its queue is closed; nobody waits for it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{SystemTime, UNIX_EPOCH};

use log::{Level, info};
use protocol::id::{InvitationId, KeyFingerprint, StreamId};
use protocol::signal::{Refusal, ToPeer};
use protocol::stream_manager::{Census, Input, Output, SocketId, StreamManager, Wish, WishError};
use protocol::time::{ClockMap, Time};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, MissedTickBehavior};
use zeroize::Zeroizing;

use crate::clerk::{Clerk, is_quick};
use crate::news::News;
use crate::refusals::Refusals;

/// Texts that wait to be written to one socket. A relay that takes over from another is told of all its children
/// in one step: as many as a line of 2 Gbit/s feeds.
pub(crate) const SOCKET_QUEUE: usize = 2048;
/// What waits to be handled. A socket whose text finds no room waits, and with it its sender.
const INBOX: usize = 1024;

/// All sockets together have this long to be closed when the supervisor ends. Guess.
const GOODBYE_LIMIT: std::time::Duration = std::time::Duration::from_secs(1);

/// What happens on a socket.
pub(crate) enum Event {
    /// It is open, this is how to write to it, and there its client is.
    Opened(SocketId, Outlet, IpAddr),
    /// A text came.
    Text(SocketId, String),
    /// Something came that is no text, or too long a one.
    Garbage(SocketId, String),
    /// It is closed.
    Closed(SocketId),
    /// A task of the machine's is done, or cannot be.
    TaskDone(u64, Option<Zeroizing<Vec<u8>>>),
    /// Somebody asks how large the tables are.
    Census(oneshot::Sender<Census>),
    /// That key was revoked. Answered by how many peers with it are connected.
    Revoke(KeyFingerprint, oneshot::Sender<usize>),
    /// That invitation was taken back. Answered by how many watched by it.
    RevokeInvitation(InvitationId, oneshot::Sender<usize>),
    /// Somebody asks which stream is called so.
    StreamNamed(String, oneshot::Sender<Option<StreamId>>),
    /// Somebody looks.
    Look(Look),
    /// The operator wants something done.
    Wish(Wish, oneshot::Sender<Result<(), WishError>>),
    /// The operator has blocked that key. Answered by how many peers with it are connected.
    Block(KeyFingerprint, oneshot::Sender<usize>),
    /// The operator has lifted that block.
    Unblock(KeyFingerprint),
}

/// A look at the machine, with its answer sent from within.
pub(crate) type Look = Box<dyn FnOnce(&StreamManager) + Send>;

/// How to write to one socket.
pub(crate) struct Outlet {
    pub(crate) texts: mpsc::Sender<String>,
    pub(crate) farewell: oneshot::Sender<Farewell>,
}

/// Who has a socket.
struct Client {
    outlet: Outlet,
    address: IpAddr,
}

/// Why a socket is closed.
pub(crate) enum Farewell {
    /// The last text says why.
    Refused(String),
    /// The supervisor ends.
    Going,
}

/// Where events go.
pub(crate) type Inbox = mpsc::Sender<Event>;

/// The supervisor's clock: monotonic, with the time of day it began at.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    origin: Instant,
    began_us: i64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self::at(SystemTime::now())
    }

    /// As one that starts when that is the time of day.
    pub(crate) fn at(time_of_day: SystemTime) -> Self {
        let since_1970 = time_of_day.duration_since(UNIX_EPOCH).unwrap_or_default();
        let began_us = i64::try_from(since_1970.as_micros()).unwrap_or(0);
        Self {
            origin: Instant::now(),
            began_us,
        }
    }

    /// Seconds since 1970 at the start, as far as this machine knows.
    pub(crate) const fn began_s(self) -> u64 {
        (self.began_us / 1_000_000) as u64
    }

    /// From the machine's time to the time of day.
    pub(crate) const fn wall(self) -> ClockMap {
        ClockMap {
            offset_us: self.began_us,
            uncertainty_us: 0,
        }
    }

    /// Seconds since 1970 as the machine counts them: a time of day that is set meanwhile does not move them.
    pub(crate) fn now_s(self) -> u64 {
        let now_us = self.wall().to_supervisor_us(self.now());
        u64::try_from(now_us / 1_000_000).unwrap_or(0)
    }

    pub(crate) fn now(self) -> Time {
        Time::ZERO + self.origin.elapsed()
    }

    fn instant(self, at: Time) -> Instant {
        // A deadline that is not set: tomorrow is early enough to look again.
        let wait = at
            .since(Time::ZERO)
            .min(self.origin.elapsed() + std::time::Duration::from_secs(86_400));
        self.origin + wait
    }
}

/// The task's state.
pub(crate) struct Manager {
    machine: StreamManager,
    clock: Clock,
    inbox: mpsc::Receiver<Event>,
    sockets: HashMap<SocketId, Client>,
    outputs: Vec<Output>,
    clerk: Clerk,
    news: News,
    /// Those closed because they kept us waiting.
    slow: Refusals,
    /// Where tasks that take their time answer to.
    own_inbox: mpsc::WeakSender<Event>,
}

impl Manager {
    /// A manager, and where to send it events.
    pub(crate) fn new(
        machine: StreamManager,
        clock: Clock,
        clerk: Clerk,
        news: News,
    ) -> (Self, Inbox) {
        let (sender, inbox) = mpsc::channel(INBOX);
        (
            Self {
                machine,
                clock,
                inbox,
                sockets: HashMap::new(),
                outputs: Vec::new(),
                clerk,
                news,
                slow: Refusals::of("closed that kept us waiting", Level::Info),
                own_inbox: sender.downgrade(),
            },
            sender,
        )
    }

    /// Runs until the service ends, then says goodbye to every socket.
    pub(crate) async fn run(
        mut self,
        mut shutdown: daemon::Shutdown,
        mut watchdog: daemon::Watchdog,
    ) -> anyhow::Result<()> {
        let mut look = tokio::time::interval(daemon::Ebb::LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut ebb = daemon::Ebb::default();
        loop {
            let wakeup = tokio::time::sleep_until(self.clock.instant(self.machine.next_wakeup()));
            tokio::select! {
                () = shutdown.wait() => break,
                () = wakeup => self.step(Input::Tick),
                () = watchdog.due() => {}
                () = self.slow.due() => self.slow.say(),
                _ = look.tick() => ebb.look(self.sockets.len()),
                Some(event) = self.inbox.recv() => self.take(event),
            }
            watchdog.feed();
        }
        let _ = tokio::time::timeout(GOODBYE_LIMIT, self.say_goodbye()).await; // they will notice by themselves
        Ok(())
    }

    /// Closes all sockets, and waits until they are.
    async fn say_goodbye(&mut self) {
        let mut open = self.sockets.len();
        for (_, client) in self.sockets.drain() {
            let _ = client.outlet.farewell.send(Farewell::Going); // or it is closed already
        }
        while open > 0 {
            match self.inbox.recv().await {
                Some(Event::Closed(_)) => open -= 1,
                Some(_) => {}
                None => break,
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Opened(socket, outlet, address) => {
                self.sockets.insert(socket, Client { outlet, address });
                self.step(Input::Connected(socket, Some(address)));
            }
            Event::Text(socket, text) => self.step(Input::Text(socket, &text)),
            Event::Garbage(socket, words) => {
                self.close(socket, Refusal::BadMessage, words);
                self.step(Input::Disconnected(socket));
            }
            Event::Closed(socket) => {
                self.sockets.remove(&socket);
                self.step(Input::Disconnected(socket));
            }
            Event::TaskDone(task, answer) => self.step(Input::TaskDone(task, answer)),
            Event::Census(answer) => {
                let _ = answer.send(self.machine.census()); // or nobody waits for it any more
            }
            Event::Revoke(key, answer) => {
                let _ = answer.send(self.revoke(key)); // likewise
            }
            Event::RevokeInvitation(invitation, answer) => {
                let _ = answer.send(self.revoke_invitation(invitation)); // likewise
            }
            Event::StreamNamed(name, answer) => {
                let _ = answer.send(self.machine.stream_named(&name)); // likewise
            }
            Event::Look(look) => look(&self.machine),
            Event::Wish(wish, answer) => {
                let now = self.clock.now();
                let done = self.machine.fulfil(now, wish, &mut self.outputs);
                self.tell_news();
                self.step(Input::Tick);
                let _ = answer.send(done); // likewise
            }
            Event::Block(key, answer) => {
                let _ = answer.send(self.block(key)); // likewise
            }
            Event::Unblock(key) => self.machine.unblock(key),
        }
    }

    /// Those with this key are put out at once.
    fn revoke(&mut self, key: KeyFingerprint) -> usize {
        info!(key:% = key; "revoked");
        let gone = self
            .machine
            .revoke(self.clock.now(), key, &mut self.outputs);
        self.tell_news();
        self.step(Input::Tick);
        gone
    }

    /// The same, and they stay out.
    fn block(&mut self, key: KeyFingerprint) -> usize {
        let now = self.clock.now();
        let gone = self.machine.block(now, key, &mut self.outputs);
        self.tell_news();
        self.step(Input::Tick);
        gone
    }

    /// Those who came by this invitation are put out at once.
    fn revoke_invitation(&mut self, invitation: InvitationId) -> usize {
        let now = self.clock.now();
        let outputs = &mut self.outputs;
        let gone = self.machine.revoke_invitation(now, invitation, outputs);
        self.tell_news();
        self.step(Input::Tick);
        gone
    }

    fn tell_news(&self) {
        for happening in self.machine.happened() {
            let called = happening
                .stream
                .and_then(|stream| self.machine.name_of(stream));
            self.news.tell(happening, called);
        }
    }

    /// One step of the machine, and word of what happened in it.
    fn handle(&mut self, now: Time, input: Input<'_>) {
        self.machine.handle(now, input, &mut self.outputs);
        self.tell_news();
    }

    /// What the machine asks for and does not do itself. Gives its answer, if that is there at once.
    fn ask(&mut self, output: Output) -> Option<Input<'static>> {
        match output {
            Output::Admit(socket, petition) => {
                return Some(Input::Admitted(socket, self.clerk.admit(&petition)));
            }
            Output::Task(number, task) if is_quick(&task) => {
                return Some(Input::TaskDone(number, self.clerk.worker()(&task)));
            }
            Output::Task(number, task) => {
                let (work, inbox) = (self.clerk.worker(), self.own_inbox.clone());
                tokio::task::spawn_blocking(move || {
                    let answer = work(&task);
                    if let Some(inbox) = inbox.upgrade() {
                        let _ = inbox.blocking_send(Event::TaskDone(number, answer)); // or the supervisor ends
                    }
                });
            }
            Output::Own {
                stream,
                key,
                name,
                access,
            } => self.clerk.own(stream, key, name, access),
            Output::PutOut(key) => self.clerk.put_out(key),
            Output::KeepEpoch(stream, epoch) => self.clerk.keep_epoch(stream, epoch),
            Output::KeepKey(stream, id, key) => self.clerk.keep_key(stream, id, &key),
            Output::Send(..) | Output::Text(..) | Output::Close(..) => {}
        }
        None
    }

    fn step(&mut self, input: Input<'_>) {
        let now = self.clock.now();
        self.handle(now, input);
        // Writing can close sockets, which is input again.
        while !self.outputs.is_empty() {
            let mut stuck = Vec::new();
            for output in std::mem::take(&mut self.outputs) {
                match output {
                    Output::Send(socket, message) => {
                        stuck.extend(self.send(socket, message.to_text()));
                    }
                    Output::Text(socket, text) => stuck.extend(self.send(socket, text)),
                    Output::Close(socket, refusal, words) => self.close(socket, refusal, words),
                    other => {
                        if let Some(answer) = self.ask(other) {
                            self.handle(now, answer);
                        }
                    }
                }
            }
            for socket in stuck {
                self.close(
                    socket,
                    Refusal::TooSlow,
                    "does not read what it is told".into(),
                );
                self.handle(now, Input::Disconnected(socket));
            }
        }
    }

    /// Queues a text; returns the socket when its queue is full.
    fn send(&self, socket: SocketId, text: String) -> Option<SocketId> {
        let client = self.sockets.get(&socket)?;
        match client.outlet.texts.try_send(text) {
            Err(mpsc::error::TrySendError::Full(_)) => Some(socket),
            // Closed: that is on its way here as an event.
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => None,
        }
    }

    fn close(&mut self, socket: SocketId, refusal: Refusal, words: String) {
        let Some(Client { outlet, address }) = self.sockets.remove(&socket) else {
            return;
        };
        match refusal {
            // Whoever goes out of range is silent too: no news for an operator each time.
            Refusal::TooSlow => self.slow.note(&format!("the last from {address}: {words}")),
            _ => info!(socket = socket.0, address:%, event = "refused"; "refused: {words}"),
        }
        self.news.count_refusal(refusal);
        let text = ToPeer::PeerRefused { refusal, words }.to_text();
        let _ = outlet.farewell.send(Farewell::Refused(text)); // or it is closed already
    }
}
