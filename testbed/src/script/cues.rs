//! What a peer is told, as it is written down.

use bytes::Bytes;
use protocol::chunk::Chunk;
use protocol::id::{LinkId, StreamId};
use protocol::media::Track;
use protocol::node;
use protocol::playback::{self, Element};
use protocol::security::grant::SignedDescriptor;
use protocol::security::secret::HandshakeSeed;
use protocol::signal::FromPeer;
use protocol::wire::Control;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::ScriptError;

/// Bytes, without the zeros at their end: simulated pictures have nothing else in them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Squeezed {
    head: Bytes,
    zeros: u32,
}

/// Zeros are looked for so many at a time.
const STRIDE: usize = 64;

impl Squeezed {
    fn new(bytes: &Bytes) -> Self {
        let whole = bytes
            .rchunks(STRIDE)
            .take_while(|piece| **piece == [0; STRIDE]);
        let rest = bytes.len() - whole.count() * STRIDE;
        let zeros = bytes[..rest].iter().rev().take_while(|byte| **byte == 0);
        let head = bytes.slice(..rest - zeros.count());
        Self {
            zeros: u32::try_from(bytes.len() - head.len()).unwrap_or(u32::MAX),
            head,
        }
    }

    fn get(&self) -> Bytes {
        let mut bytes = self.head.to_vec();
        bytes.resize(self.head.len() + self.zeros as usize, 0);
        bytes.into()
    }
}

/// Something a peer's node or player is told. See [`node::Input`] and [`playback::Input`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Cue {
    /// [`node::Input::SupervisorUp`]
    SupervisorUp([u8; 32]),
    /// [`node::Input::TaskDone`]
    TaskDone(u64, Option<Vec<u8>>),
    /// [`node::Input::SupervisorDown`]
    SupervisorDown,
    /// [`node::Input::SupervisorText`]
    SupervisorText(String),
    /// [`node::Input::LocalDescription`]
    LocalDescription(u64, String),
    /// [`node::Input::LocalCandidate`]
    LocalCandidate(u64, String),
    /// [`node::Input::LinkOpen`]
    LinkOpen(u64),
    /// [`node::Input::Control`]
    Control(u64, Bytes),
    /// [`node::Input::Media`]
    Media(u64, Squeezed),
    /// [`node::Input::Backlog`]
    Backlog(u64, u32),
    /// [`node::Input::LinkClosed`]
    LinkClosed(u64, String),
    /// [`node::Input::ListStreams`]
    ListStreams,
    /// [`node::Input::Watch`]
    Watch(StreamId, Option<String>),
    /// [`node::Input::Unwatch`]
    Unwatch(StreamId),
    /// [`node::Input::Publish`], [`node::Input::Viewing`] or [`node::Input::Health`], as the message that it leads to.
    Message(String),
    /// [`node::Input::StartEpoch`]
    StartEpoch(SignedDescriptor),
    /// [`node::Input::Own`]
    Own(Squeezed),
    /// [`node::Input::EndStream`]
    EndStream(StreamId),
    /// [`node::Input::Tick`]
    Tick,
    /// The player is handed the next of the events that the node's last step gave.
    News,
    /// [`playback::Input::Element`]: its three fields.
    Element(u64, bool, Option<u64>),
    /// [`playback::Input::SourceOpen`]
    SourceOpen,
    /// [`playback::Input::SourceFailed`]
    SourceFailed,
    /// [`playback::Input::QuotaExceeded`]
    QuotaExceeded(Track),
    /// [`playback::Input::Tick`]
    PlayerTick,
    /// Its last moment: what its figures are.
    End,
}

impl Cue {
    /// What the node is told.
    pub fn of_node(input: &node::Input) -> Self {
        use node::Input;
        match input {
            Input::SupervisorUp(random) => Self::SupervisorUp(*random.as_bytes()),
            Input::TaskDone(task, answer) => {
                Self::TaskDone(*task, answer.as_ref().map(|bytes| bytes.to_vec()))
            }
            Input::SupervisorDown => Self::SupervisorDown,
            Input::SupervisorText(text) => Self::SupervisorText(text.clone()),
            Input::LocalDescription(link, sdp) => Self::LocalDescription(link.0, sdp.clone()),
            Input::LocalCandidate(link, text) => Self::LocalCandidate(link.0, text.clone()),
            Input::LinkOpen(link) => Self::LinkOpen(link.0),
            Input::Control(link, bytes) => Self::Control(link.0, bytes.clone()),
            Input::Media(link, bytes) => Self::Media(link.0, Squeezed::new(bytes)),
            Input::Backlog(link, bytes) => {
                Self::Backlog(link.0, u32::try_from(*bytes).unwrap_or(u32::MAX))
            }
            Input::LinkClosed(link, reason) => Self::LinkClosed(link.0, reason.clone()),
            Input::ListStreams => Self::ListStreams,
            Input::Watch(stream, invitation) => Self::Watch(*stream, invitation.clone()),
            Input::Unwatch(stream) => Self::Unwatch(*stream),
            Input::Publish(registration) => {
                Self::Message(FromPeer::RegisterStream(registration.clone()).to_text())
            }
            Input::StartEpoch(signed) => Self::StartEpoch(signed.clone()),
            Input::Own(chunk) => Self::Own(Squeezed::new(chunk.message())),
            Input::EndStream(stream) => Self::EndStream(*stream),
            Input::Viewing(stream, report) => Self::Message(
                FromPeer::Report {
                    stream: *stream,
                    report: report.clone(),
                }
                .to_text(),
            ),
            Input::Health(health) => Self::Message(FromPeer::Health(health.clone()).to_text()),
            Input::Tick => Self::Tick,
        }
    }

    /// What the player is told that does not come from the node; none of what does.
    pub fn of_player(input: &playback::Input) -> Option<Self> {
        use playback::Input;
        Some(match input {
            Input::Element(element) => Self::Element(
                element.position_us,
                element.wants_to_play,
                element.hole_ends_us,
            ),
            Input::SourceOpen => Self::SourceOpen,
            Input::SourceFailed => Self::SourceFailed,
            Input::QuotaExceeded(track) => Self::QuotaExceeded(*track),
            Input::Tick => Self::PlayerTick,
            Input::Epoch(_)
            | Input::Chunk(_)
            | Input::Skipped { .. }
            | Input::Clock { .. }
            | Input::RoundTrip(_)
            | Input::FedByViewer(_)
            | Input::Ended => return None,
        })
    }

    pub(super) fn for_player(&self) -> Option<playback::Input> {
        use playback::Input;
        Some(match *self {
            Self::Element(position_us, wants_to_play, hole_ends_us) => Input::Element(Element {
                position_us,
                wants_to_play,
                hole_ends_us,
            }),
            Self::SourceOpen => Input::SourceOpen,
            Self::SourceFailed => Input::SourceFailed,
            Self::QuotaExceeded(track) => Input::QuotaExceeded(track),
            Self::PlayerTick => Input::Tick,
            _ => return None,
        })
    }

    pub(super) fn for_node(&self) -> Result<node::Input, ScriptError> {
        use node::Input;
        Ok(match self {
            Self::SupervisorUp(random) => Input::SupervisorUp(HandshakeSeed::from_bytes(*random)),
            Self::TaskDone(task, answer) => {
                Input::TaskDone(*task, answer.clone().map(Zeroizing::new))
            }
            Self::SupervisorDown => Input::SupervisorDown,
            Self::SupervisorText(text) => Input::SupervisorText(text.clone()),
            Self::LocalDescription(link, sdp) => {
                Input::LocalDescription(LinkId(*link), sdp.clone())
            }
            Self::LocalCandidate(link, text) => Input::LocalCandidate(LinkId(*link), text.clone()),
            Self::LinkOpen(link) => Input::LinkOpen(LinkId(*link)),
            Self::Control(link, bytes) => Input::Control(LinkId(*link), bytes.clone()),
            Self::Media(link, bytes) => Input::Media(LinkId(*link), bytes.get()),
            Self::Backlog(link, bytes) => Input::Backlog(LinkId(*link), *bytes as usize),
            Self::LinkClosed(link, reason) => Input::LinkClosed(LinkId(*link), reason.clone()),
            Self::ListStreams => Input::ListStreams,
            Self::Watch(stream, invitation) => Input::Watch(*stream, invitation.clone()),
            Self::Unwatch(stream) => Input::Unwatch(*stream),
            Self::Message(text) => message(text)?,
            Self::StartEpoch(signed) => Input::StartEpoch(signed.clone()),
            Self::Own(bytes) => Input::Own(
                Chunk::decode(bytes.get()).map_err(|_| ScriptError::Cue("an own chunk"))?,
            ),
            Self::EndStream(stream) => Input::EndStream(*stream),
            Self::Tick => Input::Tick,
            Self::News
            | Self::Element(..)
            | Self::SourceOpen
            | Self::SourceFailed
            | Self::QuotaExceeded(_)
            | Self::PlayerTick
            | Self::End => {
                return Err(ScriptError::Cue("something to the node that is not for it"));
            }
        })
    }

    pub(super) fn words(&self) -> String {
        match self {
            Self::Control(link, bytes) => {
                format!("told {:?} over {}", Control::decode(bytes), LinkId(*link))
            }
            Self::Media(link, bytes) => {
                format!(
                    "told {:?} over {}",
                    Chunk::decode(bytes.get()),
                    LinkId(*link)
                )
            }
            Self::Own(bytes) => format!("told Own({:?})", Chunk::decode(bytes.get())),
            other => format!("told {other:?}"),
        }
    }
}

fn message(text: &str) -> Result<node::Input, ScriptError> {
    match FromPeer::parse(text) {
        Ok(FromPeer::RegisterStream(registration)) => Ok(node::Input::Publish(registration)),
        Ok(FromPeer::Report { stream, report }) => Ok(node::Input::Viewing(stream, report)),
        Ok(FromPeer::Health(health)) => Ok(node::Input::Health(health)),
        _ => Err(ScriptError::Cue("a message of another kind")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_of_being_squeezed_as_they_were() {
        for (head, zeros) in [(0, 0), (0, 1), (1, 0), (3, 63), (70, 64), (1, 5_500)] {
            let mut bytes = vec![7; head];
            bytes.resize(head + zeros, 0);
            let bytes = Bytes::from(bytes);
            let squeezed = Squeezed::new(&bytes);
            assert_eq!(squeezed.head.len(), head);
            assert_eq!(squeezed.get(), bytes);
        }
    }
}
