//! The one task of a peer: feeds `protocol::node` with what happens, and carries out what it says.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use log::{debug, warn};
use protocol::id::{AuthorityFingerprint, LinkId, PeerId, StreamId};
use protocol::node::{Config, Event, Input, Node, Output, StreamStats};
use protocol::security::boxes::KeyTask;
use protocol::security::local::{LocalKey, rsa_seal};
use protocol::security::secret::HandshakeSeed;
use protocol::signal::Failure;
use protocol::wire::Control;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use crate::clock::Clock;
use crate::keystore;
use crate::signalling::{self, FromSupervisor, Signalling, Supervisor, ToSupervisor};
use crate::transport::{
    Channel, Connection, IceServer, Role, SendError, Transport, TransportEvent,
};

/// Inputs of the application that may wait. Guess: a second of chunks of a 1080p stream.
const COMMANDS: usize = 256;
/// Transport's events that may wait; past it the connections wait, and their senders. Guess.
const EVENTS: usize = 1024;
/// News the application may leave unread before news is dropped. Guess: four seconds of chunks.
const NEWS: usize = 2048;
/// A link closed from here is left open this long, so that its last word is delivered. Guess: two round trips.
const LAST_WORD: Duration = Duration::from_millis(100);
/// Time a peer that ends has for all its last words. Guess: what a good link still takes it takes within one; a
/// service has three seconds to end (`daemon::service`).
const END_LIMIT: Duration = Duration::from_secs(2);

/// A connection that cannot even be made, on a board without a network say, is told only after this: the supervisor's next
/// place comes at once, and the attempts would take a core (measured: 800 a second). Guess: a network is back that soon.
const TRY_AGAIN: Duration = Duration::from_secs(1);

enum Command {
    Input(Input),
    Snapshot(oneshot::Sender<Snapshot>),
    End(oneshot::Sender<()>),
    Fail(Failure),
}

/// How a peer stands.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Its streams.
    pub streams: BTreeMap<StreamId, StreamStats>,
    /// Its links, in whatever phase.
    pub links: usize,
    /// News dropped because the application did not read it.
    pub dropped_news: u64,
}

/// The application's end of a peer. The peer ends, links and all, with [`Self::end`], or by itself when every clone
/// is dropped: nobody waits for its last words then, and a runtime that ends cuts them short.
#[derive(Debug, Clone)]
pub struct Handle {
    peer: PeerId,
    commands: mpsc::Sender<Command>,
}

impl std::fmt::Debug for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Input(input) => input.fmt(f),
            Self::Snapshot(_) => f.write_str("Snapshot"),
            Self::End(_) => f.write_str("End"),
            Self::Fail(how) => write!(f, "Fail({how:?})"),
        }
    }
}

impl Handle {
    /// The name under which others know it, new at each start.
    pub const fn peer(&self) -> PeerId {
        self.peer
    }

    /// Puts something in; waits while too much waits already. False if the peer has ended.
    pub async fn put(&self, input: Input) -> bool {
        self.commands.send(Command::Input(input)).await.is_ok()
    }

    /// Fails, as a test of the others ([`Event::ToldToFail`]): says goodbye and ends, is gone from one moment to the
    /// next, or stands still with all its connections open. Whatever it is, this peer does nothing more.
    pub async fn fail(&self, how: Failure) {
        let _ = self.commands.send(Command::Fail(how)).await; // it may have ended by itself
    }

    /// How the peer stands; none if it has ended.
    pub async fn snapshot(&self) -> Option<Snapshot> {
        let (answer, told) = oneshot::channel();
        self.commands.send(Command::Snapshot(answer)).await.ok()?;
        told.await.ok()
    }

    /// Ends the peer, for every clone. Returns when all that was put in before is said, neighbours and supervisor are
    /// told goodbye and the links are closed, or after two seconds.
    pub async fn end(&self) {
        let (done, ended) = oneshot::channel();
        let end = async {
            if self.commands.send(Command::End(done)).await.is_ok() {
                let _ = ended.await; // it may have ended by itself
            }
        };
        if tokio::time::timeout(END_LIMIT, end).await.is_err() {
            warn!("not everybody could be told goodbye within {END_LIMIT:?}");
        }
    }
}

/// What a peer proves itself with, and where it keeps whom it trusts.
#[derive(Debug)]
pub struct Keys {
    /// Its private keys, one for each suite it can do.
    pub own: Vec<LocalKey>,
    /// Where the name of the authority is kept that it was let in by.
    pub authority_file: PathBuf,
}

/// Starts a peer: it connects to the supervisor and does what it is told. Gives its end for the
/// application, and the news.
pub fn start(
    config: Config,
    supervisor: Supervisor,
    transport: Arc<dyn Transport>,
    clock: Clock,
    keys: Keys,
) -> (Handle, mpsc::Receiver<Event>) {
    let (commands, orders) = mpsc::channel(COMMANDS);
    let (news, told) = mpsc::channel(NEWS);
    let (events, happened) = mpsc::channel(EVENTS);
    let peer = config.peer;
    let driver = Driver {
        node: Node::new(config, clock.now()),
        clock,
        transport,
        signalling: signalling::connect(supervisor),
        links: BTreeMap::new(),
        closing: JoinSet::new(),
        events,
        news,
        dropped_news: 0,
        out: Vec::new(),
        keys: Arc::new(keys),
    };
    tokio::spawn(driver.run(orders, happened));
    (Handle { peer, commands }, told)
}

/// A link's connection, as far as it is.
enum Slot {
    /// Being made; what is to be done with it meanwhile.
    Opening(Vec<Deferred>),
    Open(Box<dyn Connection>),
}

enum Deferred {
    Answer(String),
    Candidate(String),
}

/// What happens to links: events of the transport, and connections made.
enum Happened {
    Event(TransportEvent),
    Made(Box<dyn Connection>),
    Failed(String),
}

struct Driver {
    node: Node,
    clock: Clock,
    transport: Arc<dyn Transport>,
    signalling: Signalling,
    links: BTreeMap<LinkId, Slot>,
    /// Links that were closed, whose last words are on their way.
    closing: JoinSet<()>,
    events: mpsc::Sender<(LinkId, TransportEvent)>,
    news: mpsc::Sender<Event>,
    dropped_news: u64,
    out: Vec<Output>,
    keys: Arc<Keys>,
}

impl Driver {
    async fn run(
        mut self,
        mut orders: mpsc::Receiver<Command>,
        mut happened: mpsc::Receiver<(LinkId, TransportEvent)>,
    ) {
        let (made_to, mut made) = mpsc::unbounded_channel();
        let mut done = None;
        loop {
            let wakeup = self.clock.instant(self.node.next_wakeup());
            tokio::select! {
                order = orders.recv() => match order {
                    Some(Command::Input(input)) => self.step(input, &made_to).await,
                    Some(Command::Snapshot(answer)) => drop(answer.send(self.snapshot())),
                    Some(Command::End(answer)) => {
                        done = Some(answer);
                        break;
                    }
                    Some(Command::Fail(Failure::Leave)) => break,
                    Some(Command::Fail(how)) => return self.vanish(how, orders).await,
                    None => break,
                },
                Some((link, event)) = happened.recv() => self.happened(link, Happened::Event(event), &made_to).await,
                Some((link, event)) = made.recv() => self.happened(link, event, &made_to).await,
                Some(_) = self.closing.join_next() => {}
                said = self.signalling.incoming.recv() => match said {
                    Some(FromSupervisor::Up) => {
                        let seed = HandshakeSeed::from_bytes(rand::random());
                        self.step(Input::SupervisorUp(seed), &made_to).await;
                    }
                    Some(FromSupervisor::Text(text)) => self.step(Input::SupervisorText(text), &made_to).await,
                    Some(FromSupervisor::Down) => self.step(Input::SupervisorDown, &made_to).await,
                    None => break,
                },
                () = tokio::time::sleep_until(wakeup) => self.step(Input::Tick, &made_to).await,
            }
        }
        self.end().await;
        if let Some(done) = done {
            let _ = done.send(()); // whoever asked may have waited long enough
        }
    }

    fn snapshot(&self) -> Snapshot {
        let streams = self
            .node
            .streams()
            .filter_map(|id| Some((id, self.node.stats(&id)?)))
            .collect();
        Snapshot {
            streams,
            links: self.node.link_count(),
            dropped_news: self.dropped_news,
        }
    }

    async fn happened(&mut self, link: LinkId, happened: Happened, made: &Made) {
        let input = match happened {
            Happened::Made(connection) => return self.made(link, connection, made).await,
            Happened::Failed(reason) => {
                self.links.remove(&link);
                Input::LinkClosed(link, reason)
            }
            Happened::Event(TransportEvent::LocalDescription(sdp)) => {
                Input::LocalDescription(link, sdp)
            }
            Happened::Event(TransportEvent::LocalCandidate(text)) => {
                Input::LocalCandidate(link, text)
            }
            Happened::Event(TransportEvent::Open) => Input::LinkOpen(link),
            Happened::Event(TransportEvent::Message(Channel::Control, bytes)) => {
                Input::Control(link, bytes)
            }
            Happened::Event(TransportEvent::Message(Channel::Media, bytes)) => {
                Input::Media(link, bytes)
            }
            Happened::Event(TransportEvent::Drained) => self.drained(link).await,
            Happened::Event(TransportEvent::Closed(reason)) => {
                self.close(link, Duration::ZERO);
                Input::LinkClosed(link, reason)
            }
        };
        self.step(input, made).await;
    }

    /// One step of the machine, and everything that follows from it.
    async fn step(&mut self, input: Input, made: &Made) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let mut out = std::mem::take(&mut self.out);
            self.node.handle(self.clock.now(), input, &mut out);
            for output in out.drain(..) {
                inputs.extend(self.carry_out(output, made).await);
            }
            self.out = out;
        }
    }

    /// Does one thing. Gives what the machine has to be told of it.
    async fn carry_out(&mut self, output: Output, made: &Made) -> Option<Input> {
        match output {
            Output::Media(link, bytes) => return self.send(link, Channel::Media, &bytes).await,
            Output::Control(link, bytes) => return self.send(link, Channel::Control, &bytes).await,
            Output::AskBacklog(link, water) => {
                return Some(self.look(link, water).await);
            }
            Output::Event(event) => self.tell(event),
            Output::Signal(text) => return self.signal(text),
            Output::HangUp(reason) => {
                warn!("hanging up on the supervisor: {reason}");
                let _ = self.signalling.outgoing.try_send(ToSupervisor::HangUp);
            }
            Output::Connect(link) => self.open(link, Role::Offer, made),
            Output::Accept(link, offer) => self.open(link, Role::Answer { offer }, made),
            Output::SetAnswer(link, sdp) => {
                return self.describe(link, Deferred::Answer(sdp)).await;
            }
            Output::AddCandidate(link, text) => {
                return self.describe(link, Deferred::Candidate(text)).await;
            }
            Output::KeyTask(number, task) => return Some(self.use_key(number, task).await),
            Output::Close(link) => self.close(link, LAST_WORD),
            Output::IceServers(servers, external) => self.set_ice(servers, external.as_deref()),
        }
        None
    }

    async fn send(&mut self, link: LinkId, channel: Channel, bytes: &Bytes) -> Option<Input> {
        let Some(Slot::Open(connection)) = self.links.get(&link) else {
            return None;
        };
        match connection.try_send(channel, bytes).await {
            Ok(()) => None,
            // The machine keeps well below the transport's limit, so this is a link that takes nothing at all.
            Err(error @ (SendError::Full | SendError::TooLarge(_))) => {
                self.close(link, Duration::ZERO);
                Some(Input::LinkClosed(link, error.to_string()))
            }
            Err(SendError::Closed) => None, // its own Closed event is on its way
            #[allow(unreachable_patterns, reason = "the enum may grow")]
            Err(_) => None,
        }
    }

    /// What takes the private key. RSA takes milliseconds, which no other task is to wait for.
    async fn use_key(&self, number: u64, task: KeyTask) -> Input {
        let keys = self.keys.clone();
        let work = move || match &task {
            KeyTask::RsaSeal { .. } => rsa_seal(&task, &mut rand::rng()).map(Zeroizing::new),
            _ => keys
                .own
                .iter()
                .find_map(|key| key.answer(&task, &mut rand::rng())),
        };
        let answer = tokio::task::spawn_blocking(work).await;
        Input::TaskDone(number, answer.unwrap_or_default())
    }

    /// The authority that vouched for us is the one to look for from now on.
    fn remember(&self, authority: AuthorityFingerprint) {
        let (path, text) = (&self.keys.authority_file, authority.to_string());
        let known = keystore::load(path).ok().flatten();
        if known.as_deref() != Some(&text)
            && let Err(error) = keystore::save(path, &text)
        {
            warn!("the supervisor's authority cannot be remembered: {error}");
        }
    }

    async fn backlog(&self, link: LinkId) -> usize {
        let Some(Slot::Open(connection)) = self.links.get(&link) else {
            return 0;
        };
        connection.media_buffered().await
    }

    /// Says what a connection has not delivered, and has it say so again below half of `water`.
    async fn look(&self, link: LinkId, water: usize) -> Input {
        let left = self.backlog(link).await;
        let Some(Slot::Open(connection)) = self.links.get(&link).filter(|_| left > water) else {
            return Input::Backlog(link, left);
        };
        connection.set_low_water(Some(water / 2)).await;
        // Another thread may have sent it all since, before there was a level to tell of: nothing would come any more.
        Input::Backlog(link, self.backlog(link).await)
    }

    /// What was waited for has come, and is told once. Frames that wait for nobody may have filled it up again since.
    async fn drained(&self, link: LinkId) -> Input {
        if let Some(Slot::Open(connection)) = self.links.get(&link) {
            connection.set_low_water(None).await;
        }
        self.look(link, self.node.water(link)).await
    }

    fn tell(&mut self, event: Event) {
        match &event {
            Event::LinkLost(peer, reason) => debug!(peer:% = peer; "link lost: {reason}"),
            Event::Authority(authority) => return self.remember(*authority),
            Event::Accepted => {
                // A full queue is one to a supervisor that does not read: it is about to be hung up on.
                let _ = self.signalling.outgoing.try_send(ToSupervisor::Settled);
            }
            _ => {}
        }
        if self.news.try_send(event).is_err() && !self.news.is_closed() {
            if self.dropped_news.is_multiple_of(1000) {
                warn!("the application does not keep up; dropping what is meant for it");
            }
            self.dropped_news += 1;
        }
    }

    fn signal(&mut self, text: String) -> Option<Input> {
        match self.signalling.outgoing.try_send(ToSupervisor::Text(text)) {
            Ok(()) => None,
            Err(_) => {
                // A supervisor that takes nothing is gone; when it is back it is told everything anew.
                warn!("the supervisor does not read; treating it as gone");
                Some(Input::SupervisorDown)
            }
        }
    }

    fn open(&mut self, link: LinkId, role: Role, made: &Made) {
        self.links.insert(link, Slot::Opening(Vec::new()));
        let (transport, events, made) = (self.transport.clone(), self.events.clone(), made.clone());
        tokio::spawn(async move {
            let happened = match transport.open(link, role, events).await {
                Ok(connection) => Happened::Made(connection),
                Err(error) => {
                    tokio::time::sleep(TRY_AGAIN).await;
                    Happened::Failed(error.to_string())
                }
            };
            let _ = made.send((link, happened)); // the node may have ended meanwhile
        });
    }

    async fn made(&mut self, link: LinkId, connection: Box<dyn Connection>, made: &Made) {
        let Some(slot) = self.links.get_mut(&link) else {
            return connection.close().await; // closed while it was being made
        };
        let Slot::Opening(deferred) = std::mem::replace(slot, Slot::Open(connection)) else {
            return;
        };
        for step in deferred {
            if let Some(input) = self.describe(link, step).await {
                Box::pin(self.step(input, made)).await;
            }
        }
    }

    async fn describe(&mut self, link: LinkId, step: Deferred) -> Option<Input> {
        let connection = match self.links.get_mut(&link)? {
            Slot::Opening(deferred) => {
                deferred.push(step);
                return None;
            }
            Slot::Open(connection) => connection,
        };
        match step {
            Deferred::Answer(sdp) => {
                let error = connection.set_answer(sdp).await.err()?;
                self.close(link, Duration::ZERO);
                Some(Input::LinkClosed(link, error.to_string()))
            }
            Deferred::Candidate(text) => {
                if let Err(error) = connection.add_candidate(text).await {
                    debug!(link:% = link; "a candidate is of no use: {error}");
                }
                None
            }
        }
    }

    fn close(&mut self, link: LinkId, last_word: Duration) {
        if let Some(Slot::Open(connection)) = self.links.remove(&link) {
            self.closing.spawn(async move {
                tokio::time::sleep(last_word).await;
                connection.close().await;
            });
        }
    }

    fn set_ice(&self, servers: Vec<protocol::signal::IceServer>, external: Option<&str>) {
        let servers = servers
            .into_iter()
            .map(|s| IceServer {
                urls: s.urls,
                username: s.username,
                credential: s.credential,
            })
            .collect();
        let external = external.and_then(|text| text.parse::<IpAddr>().ok());
        self.transport.set_ice_servers(servers, external);
    }

    /// Does nothing any more, until nobody holds a handle: links stay open and are silent, as those of a dead process
    /// are; the socket to the supervisor is closed, or, frozen, stays open as well.
    async fn vanish(self, how: Failure, mut orders: mpsc::Receiver<Command>) {
        let Self {
            signalling, links, ..
        } = self;
        let frozen = (how == Failure::Freeze).then_some(signalling);
        while let Some(order) = orders.recv().await {
            if let Command::End(_) = order {
                break;
            }
        }
        drop(frozen);
        let open = links.into_values().filter_map(|slot| match slot {
            Slot::Open(connection) => Some(connection),
            Slot::Opening(_) => None,
        });
        join_all(open.map(|connection| async move { connection.close().await })).await;
    }

    /// Says the last words. A neighbour that hears them looks elsewhere at once, and need not find out by silence.
    async fn end(mut self) {
        let links = std::mem::take(&mut self.links).into_values();
        let goodbyes = links.filter_map(|slot| match slot {
            Slot::Open(connection) => Some(part(connection)),
            Slot::Opening(_) => None,
        });
        // The machine is not asked any more: what is to be said is the same to all.
        let neighbours = join_all(goodbyes);
        tokio::join!(neighbours, self.closing.join_all());
        // After them: what they do by themselves is quicker than what the supervisor has them do.
        self.signalling.end().await;
    }
}

/// Lets go of a neighbour. At once: a child that hears nothing for 200 ms takes its parent for dead, and what it still
/// lacks it has from its backup.
async fn part(connection: Box<dyn Connection>) {
    let bye = Control::Bye {
        reason: "this peer ends".into(),
    };
    if connection
        .try_send(Channel::Control, &bye.encode())
        .await
        .is_ok()
    {
        tokio::time::sleep(LAST_WORD).await;
    }
    connection.close().await;
}

type Made = mpsc::UnboundedSender<(LinkId, Happened)>;
