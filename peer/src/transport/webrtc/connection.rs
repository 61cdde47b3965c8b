//! One connection: a task that listens to the library and tells the owner, and the handle through
//! which the owner sends.
//!
//! Only the task closes the library's connection. It does so when the handle says so or is dropped,
//! when the owner no longer listens, and when the other side is gone. While the owner does not read
//! its events, the task reads nothing from the channels; then the library stops reading from SCTP,
//! whose receive window tells the other side to wait.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use ::webrtc::data_channel::{DataChannel, DataChannelEvent, RTCDataChannelInit};
use ::webrtc::error::Error;
use ::webrtc::peer_connection::{
    PeerConnection, PeerConnectionEventHandler, RTCPeerConnectionIceEvent, RTCPeerConnectionState,
    RTCSessionDescription,
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use protocol::id::LinkId;
use rtc::peer_connection::transport::{RTCIceCandidate, RTCIceCandidateInit};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::session::{self, CandidateWriter, MAX_REMOTE_CANDIDATES};
use super::shared_port::Membership;
use super::table::Member;
use crate::transport::{
    Channel, Connection, Events, MAX_MESSAGE, SendError, TransportError, TransportEvent,
};

/// Time from creation to both channels open. Guess: the answer travels through a supervisor, and
/// ICE itself gives up on a path within seconds.
const OPEN_LIMIT: Duration = Duration::from_secs(30);
/// News of the library that may wait for the task: candidates and a few changes of state.
const NEWS_CAPACITY: usize = 64;

/// The media channel's stream. Both ends make the channel, for what the library (0.21) sends over one that it did not
/// open is sent in order, whatever the channel is, and then one lost packet holds up all that comes after it.
/// Guess: far from the few numbers that a library gives by itself, from 0 on.
const MEDIA_STREAM: u16 = 10;
/// The control channel's protocol, by which the end that offers says that both make the media channel, and in which
/// mode. Any other: it opens one itself, as peers did once.
const MEDIA_MODES: [(&str, bool); 2] = [("media-unordered", false), ("media-ordered", true)];

/// How the end that offers makes its channels.
pub(super) fn offered(channel: Channel, media_is_ordered: bool) -> RTCDataChannelInit {
    let mut modes = MEDIA_MODES.into_iter();
    let mode = modes.find(|(_, ordered)| *ordered == media_is_ordered);
    match channel {
        Channel::Control => RTCDataChannelInit {
            protocol: mode.map_or("", |(protocol, _)| protocol).into(),
            ..RTCDataChannelInit::default()
        },
        Channel::Media => media(media_is_ordered),
    }
}

fn media(ordered: bool) -> RTCDataChannelInit {
    RTCDataChannelInit {
        ordered,
        negotiated: Some(MEDIA_STREAM),
        ..RTCDataChannelInit::default()
    }
}

/// What the library tells outside of the channels.
pub(super) enum News {
    /// Elsewhere, for room is kept for all news there may be at a time.
    Candidate(Box<RTCIceCandidate>),
    Channel(Arc<dyn DataChannel>),
    Failed(&'static str),
}

/// Passes the library's callbacks on. They run inside its driver, so none of them may wait; what
/// does not fit is dropped: more than [`NEWS_CAPACITY`] of them is nobody's honest session.
pub(super) struct Handler(mpsc::Sender<News>);

impl Handler {
    pub(super) fn new() -> (Arc<Self>, mpsc::Receiver<News>) {
        let (news, receiver) = mpsc::channel(NEWS_CAPACITY);
        (Arc::new(Self(news)), receiver)
    }

    fn tell(&self, news: News) {
        let _ = self.0.try_send(news);
    }
}

#[async_trait]
impl PeerConnectionEventHandler for Handler {
    async fn on_ice_candidate(&self, event: RTCPeerConnectionIceEvent) {
        self.tell(News::Candidate(Box::new(event.candidate)));
    }

    async fn on_connection_state_change(&self, state: RTCPeerConnectionState) {
        match state {
            RTCPeerConnectionState::Failed => {
                self.tell(News::Failed("the other side is unreachable"))
            }
            RTCPeerConnectionState::Closed => self.tell(News::Failed("closed")),
            _ => {}
        }
    }

    async fn on_data_channel(&self, channel: Arc<dyn DataChannel>) {
        self.tell(News::Channel(channel));
    }
}

/// The two data channels, as soon as they are known.
#[derive(Default)]
pub(super) struct Channels {
    control: OnceLock<Arc<dyn DataChannel>>,
    media: OnceLock<Arc<dyn DataChannel>>,
    /// Level for [`TransportEvent::Drained`], should it be set before there is a channel.
    low_water: Mutex<Option<u32>>,
    open: AtomicBool,
}

impl Channels {
    const fn slot(&self, channel: Channel) -> &OnceLock<Arc<dyn DataChannel>> {
        match channel {
            Channel::Control => &self.control,
            Channel::Media => &self.media,
        }
    }

    /// Takes a channel in; not if there is one of its label already.
    pub(super) fn set(&self, channel: Channel, channel_impl: Arc<dyn DataChannel>) -> bool {
        self.slot(channel).set(channel_impl).is_ok()
    }

    /// As the library has it: no buffer falls from above its highest level.
    fn low_water(&self) -> u32 {
        let level = *self
            .low_water
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        level.unwrap_or(u32::MAX)
    }

    /// The next event of a channel; waits for ever while there is no such channel.
    async fn poll(&self, channel: Channel) -> Option<DataChannelEvent> {
        match self.slot(channel).get() {
            Some(channel) => channel.poll().await,
            None => std::future::pending().await,
        }
    }
}

/// The parts of a connection that was set up.
pub(super) struct Parts {
    pub(super) link: LinkId,
    pub(super) events: Events,
    pub(super) library: Arc<dyn PeerConnection>,
    pub(super) channels: Arc<Channels>,
    pub(super) membership: Membership,
    pub(super) news: mpsc::Receiver<News>,
    pub(super) candidates: CandidateWriter,
    /// Whether the other side's description is known, as it is to who answers.
    pub(super) described: bool,
}

/// Starts the task of a connection, which tells its owner the `first` events first.
pub(super) fn start(parts: Parts, first: Vec<TransportEvent>) -> Box<dyn Connection> {
    let (stop, stopped) = oneshot::channel();
    let handle = Handle {
        library: Arc::clone(&parts.library),
        channels: Arc::clone(&parts.channels),
        member: Arc::clone(&parts.membership.member),
        remote: Mutex::new(Remote {
            described: parts.described,
            ..Remote::default()
        }),
        stop: Some(stop),
    };
    let task = Task {
        parts,
        stopped,
        opened: (false, false),
    };
    tokio::spawn(task.run(first));
    Box::new(handle)
}

/// Why the task ends.
enum End {
    /// The owner said so; a sender to tell when it is done, if it wants to know.
    Owner(Option<oneshot::Sender<()>>),
    Reason(String),
}

impl End {
    fn because(reason: &str) -> Self {
        Self::Reason(reason.to_owned())
    }
}

struct Task {
    parts: Parts,
    stopped: oneshot::Receiver<oneshot::Sender<()>>,
    /// Control, media.
    opened: (bool, bool),
}

impl Task {
    async fn run(mut self, first: Vec<TransportEvent>) {
        let end = match self.go(first).await {
            Ok(never) => match never {},
            Err(end) => end,
        };
        self.parts.membership.member.youth.end();
        if let Err(error) = self.parts.library.close().await {
            log::debug!(link:% = self.parts.link; "closing: {error}");
        }
        let Parts {
            link,
            events,
            membership,
            ..
        } = self.parts;
        drop(membership);
        match end {
            End::Owner(Some(done)) => drop(done.send(())),
            End::Owner(None) => {}
            End::Reason(reason) => {
                tokio::select! {
                    _ = events.send((link, TransportEvent::Closed(reason))) => {}
                    // The owner, instead of reading, lets go of it.
                    done = self.stopped => drop(done.map(|done| done.send(()))),
                }
            }
        }
    }

    async fn go(&mut self, first: Vec<TransportEvent>) -> Result<std::convert::Infallible, End> {
        for event in first {
            self.tell(event).await?;
        }
        let deadline = Instant::now() + OPEN_LIMIT;
        loop {
            let (control_open, media_open) = self.opened;
            let open = control_open && media_open;
            tokio::select! {
                biased;
                done = &mut self.stopped => return Err(End::Owner(done.ok())),
                Some(news) = self.parts.news.recv() => self.on_news(news).await?,
                // A channel that opened first is not read before the other has opened, too.
                event = self.parts.channels.poll(Channel::Control), if open || !control_open => {
                    self.on_channel_event(Channel::Control, event).await?;
                }
                event = self.parts.channels.poll(Channel::Media), if open || !media_open => {
                    self.on_channel_event(Channel::Media, event).await?;
                }
                () = tokio::time::sleep_until(deadline), if !open => {
                    return Err(End::Reason(format!("not open after {} s", OPEN_LIMIT.as_secs())));
                }
            }
        }
    }

    async fn on_news(&mut self, news: News) -> Result<(), End> {
        match news {
            News::Candidate(candidate) => match self.parts.candidates.local(*candidate) {
                Some(candidate) => self.tell(TransportEvent::LocalCandidate(candidate)).await,
                None => Ok(()),
            },
            News::Channel(channel) => self.on_new_channel(channel).await,
            News::Failed(reason) => Err(End::because(reason)),
        }
    }

    async fn on_new_channel(&mut self, channel: Arc<dyn DataChannel>) -> Result<(), End> {
        let label = channel.label().await.unwrap_or_default();
        let known = Channel::from_label(&label);
        let taken = known.is_some_and(|known| self.parts.channels.set(known, Arc::clone(&channel)));
        if !taken {
            log::debug!(link:% = self.parts.link; "closing a channel that there is no use for");
            let _ = channel.close().await;
        } else if known == Some(Channel::Control) {
            self.make_media(&channel).await?;
        }
        Ok(())
    }

    /// Makes the media channel, if the control channel says so. Nothing has come over it yet: that waits for our first
    /// words over the control channel.
    async fn make_media(&mut self, control: &Arc<dyn DataChannel>) -> Result<(), End> {
        let asked = control.protocol().await.unwrap_or_default();
        let mode = MEDIA_MODES.into_iter().find(|(mode, _)| *mode == asked);
        let Some((_, ordered)) = mode else {
            return Ok(());
        };
        let library = &self.parts.library;
        let made = library.create_data_channel(Channel::Media.label(), Some(media(ordered)));
        let media = made.await.map_err(|error| End::Reason(error.to_string()))?;
        if self.parts.channels.set(Channel::Media, media) {
            // There is nothing to wait for, and the library tells nothing.
            self.on_open(Channel::Media).await?;
        }
        Ok(())
    }

    async fn on_channel_event(
        &mut self,
        channel: Channel,
        event: Option<DataChannelEvent>,
    ) -> Result<(), End> {
        match event {
            Some(DataChannelEvent::OnOpen) => self.on_open(channel).await,
            Some(DataChannelEvent::OnMessage(message)) => {
                self.on_message(channel, message.data.freeze()).await
            }
            Some(DataChannelEvent::OnBufferedAmountLow) if channel == Channel::Media => {
                self.tell(TransportEvent::Drained).await
            }
            Some(DataChannelEvent::OnClose | DataChannelEvent::OnClosing) | None => {
                Err(End::because("closed by the other side"))
            }
            Some(_) => Ok(()),
        }
    }

    async fn on_open(&mut self, channel: Channel) -> Result<(), End> {
        match channel {
            Channel::Control => self.opened.0 = true,
            Channel::Media => self.opened.1 = true,
        }
        if self.opened != (true, true) {
            return Ok(());
        }
        self.parts.membership.member.youth.end();
        self.apply_low_water().await;
        self.parts.channels.open.store(true, Ordering::Release);
        self.tell(TransportEvent::Open).await
    }

    async fn apply_low_water(&self) {
        if let Some(media) = self.parts.channels.media.get() {
            let _ = media
                .set_buffered_amount_low_threshold(self.parts.channels.low_water())
                .await;
        }
    }

    async fn on_message(&mut self, channel: Channel, message: Bytes) -> Result<(), End> {
        let length = message.len();
        if length > MAX_MESSAGE {
            return Err(End::Reason(format!(
                "a message of {length} bytes, {MAX_MESSAGE} allowed"
            )));
        }
        self.tell(TransportEvent::Message(channel, message)).await
    }

    /// Waits for room in the owner's queue, and for as long as that takes does nothing else.
    async fn tell(&mut self, event: TransportEvent) -> Result<(), End> {
        let event = (self.parts.link, event);
        let event = match self.parts.events.try_send(event) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(End::Owner(None)),
            Err(mpsc::error::TrySendError::Full(event)) => event,
        };
        tokio::select! {
            sent = self.parts.events.send(event) => sent.map_err(|_| End::Owner(None)),
            done = &mut self.stopped => Err(End::Owner(done.ok())),
        }
    }
}

/// What is known of the other side before its description is.
#[derive(Default)]
struct Remote {
    described: bool,
    early: Vec<RTCIceCandidateInit>,
    candidates: usize,
}

/// The owner's handle. The task ends when `stop` is used or dropped.
struct Handle {
    library: Arc<dyn PeerConnection>,
    channels: Arc<Channels>,
    member: Arc<Member>,
    remote: Mutex<Remote>,
    stop: Option<oneshot::Sender<oneshot::Sender<()>>>,
}

impl Handle {
    /// Keeps a candidate that came before the description it belongs to.
    fn keep_early(&self, candidate: &RTCIceCandidateInit) -> Result<bool, TransportError> {
        let mut remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        remote.candidates += 1;
        if remote.candidates > MAX_REMOTE_CANDIDATES {
            return Err(TransportError::Candidate(
                "there were too many before".to_owned(),
            ));
        }
        if !remote.described {
            remote.early.push(candidate.clone());
        }
        Ok(!remote.described)
    }

    fn take_early(&self) -> Vec<RTCIceCandidateInit> {
        let mut remote = self.remote.lock().unwrap_or_else(PoisonError::into_inner);
        remote.described = true;
        std::mem::take(&mut remote.early)
    }

    async fn add(&self, candidate: RTCIceCandidateInit) -> Result<(), TransportError> {
        let added = self.library.add_ice_candidate(candidate).await;
        added.map_err(|error| TransportError::Candidate(error.to_string()))
    }

    fn open_channel(&self, channel: Channel) -> Option<&Arc<dyn DataChannel>> {
        let open = self.channels.open.load(Ordering::Acquire);
        self.channels.slot(channel).get().filter(|_| open)
    }
}

#[async_trait]
impl Connection for Handle {
    async fn set_answer(&self, sdp: String) -> Result<(), TransportError> {
        let refused = |error: Error| TransportError::Description(error.to_string());
        let answer = RTCSessionDescription::answer(session::accepted(&sdp)?).map_err(refused)?;
        self.member.youth.renew();
        self.library
            .set_remote_description(answer)
            .await
            .map_err(refused)?;
        for candidate in self.take_early() {
            self.add(candidate).await?;
        }
        Ok(())
    }

    async fn add_candidate(&self, candidate: String) -> Result<(), TransportError> {
        let Some(candidate) = session::remote_candidate(&candidate)? else {
            return Ok(());
        };
        self.member.youth.stir();
        if self.keep_early(&candidate)? {
            Ok(())
        } else {
            self.add(candidate).await
        }
    }

    async fn try_send(&self, channel: Channel, message: &Bytes) -> Result<(), SendError> {
        if message.len() > MAX_MESSAGE {
            return Err(SendError::TooLarge(message.len()));
        }
        let channel = self.open_channel(channel).ok_or(SendError::Closed)?;
        match channel.try_send(BytesMut::from(&message[..])).await {
            Ok(()) => Ok(()),
            Err(Error::ErrSendBufferFull) => Err(SendError::Full),
            Err(_) => Err(SendError::Closed),
        }
    }

    async fn media_buffered(&self) -> usize {
        match self.open_channel(Channel::Media) {
            Some(media) => media.outstanding_bytes().await.unwrap_or(0),
            None => 0,
        }
    }

    async fn set_low_water(&self, bytes: Option<usize>) {
        *self
            .channels
            .low_water
            .lock()
            .unwrap_or_else(PoisonError::into_inner) =
            bytes.map(|bytes| u32::try_from(bytes).unwrap_or(u32::MAX));
        if let Some(media) = self.open_channel(Channel::Media) {
            let level = self.channels.low_water();
            let _ = media.set_buffered_amount_low_threshold(level).await;
        }
    }

    async fn close(mut self: Box<Self>) {
        let (done, finished) = oneshot::channel();
        let asked = self.stop.take().is_some_and(|stop| stop.send(done).is_ok());
        if asked {
            let _ = finished.await;
        }
    }
}
