//! What the two ends of a link say to each other over its control channel: one message each, postcard's
//! encoding behind a version byte.
//!
//! Media goes over the other channel, as chunks ([`crate::chunk`]); nothing here is ever longer than one.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::chunk::{MAX_MESSAGE, Position};
use crate::id::{PeerId, StreamHandle, StreamId};
use crate::media::Track;
use crate::security::certificate::MAX_CERTIFICATE;
use crate::security::grant::SignedDescriptor;
use crate::signal::VersionRange;

/// The encoding's version, first byte of every message.
pub const VERSION: u8 = 1;
/// Longest way to the root, peers. A linked list may be this long and no longer (a path must fit a message).
pub const MAX_PATH: usize = 512;
/// Longest reason, bytes.
pub const MAX_REASON: usize = 200;

/// The newest frame, or the first one lacking, of one track.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrackPosition {
    /// Video or audio.
    pub track: Track,
    /// Which quality.
    pub rendition: u8,
    /// Which frame.
    pub position: Position,
}

/// What a peer holds of a stream, in its heartbeat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beat {
    /// The stream.
    pub handle: StreamHandle,
    /// The newest frame of each track.
    pub newest: Vec<TrackPosition>,
}

/// Frames of one track, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRange {
    /// Video or audio.
    pub track: Track,
    /// Which quality.
    pub rendition: u8,
    /// The first.
    pub from: Position,
    /// The one after the last.
    pub to: Position,
}

/// A message on the control channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// The first message of both ends.
    Hello {
        /// What it speaks.
        versions: VersionRange,
        /// Who it is.
        peer: PeerId,
        /// How many connections it will have one link striped over.
        lanes: u8,
        /// Its certificate, signed by the authority; empty where nobody is certified.
        certificate: Bytes,
    },
    /// A child asks for a stream: from the first frame it lacks of each track, or, with no position, from the
    /// newest random access point.
    Subscribe {
        /// The stream.
        stream: StreamId,
        /// Where to go on, per track.
        from: Vec<TrackPosition>,
    },
    /// A child wants no more of it.
    Unsubscribe {
        /// The stream.
        stream: StreamId,
    },
    /// The parent will not, or no longer, feed this stream.
    Refused {
        /// The stream.
        stream: StreamId,
        /// Why, in words.
        reason: String,
    },
    /// A new epoch begins (or: this is the one that runs); ahead of its chunks as far as order between
    /// channels allows.
    Epoch(SignedDescriptor),
    /// The sender's way to the root, itself last; said on subscription and whenever it changes.
    RootPath {
        /// The stream.
        handle: StreamHandle,
        /// The broadcaster first.
        path: Vec<PeerId>,
    },
    /// Still here; said when nothing else has been for a while.
    Heartbeat(Vec<Beat>),
    /// The frames from `from` up to but not including `to` will not come over this link.
    Skipped {
        /// The stream.
        handle: StreamHandle,
        /// Video or audio.
        track: Track,
        /// Which quality.
        rendition: u8,
        /// The first frame left out.
        from: Position,
        /// The next frame that does come.
        to: Position,
    },
    /// The stream has ended for good.
    Ended {
        /// The stream.
        stream: StreamId,
    },
    /// The sender closes the link.
    Bye {
        /// Why, in words.
        reason: String,
    },
    /// The sender's certificate, renewed.
    Certificate(Bytes),
    /// A question to be answered at once: how long is the way there and back?
    Ping(u32),
    /// The answer, with the question's number.
    Pong(u32),
    /// Frames that the sender lacks, and would have at once if the other end holds them.
    Want {
        /// The stream.
        handle: StreamHandle,
        /// Which; at most [`MAX_RANGES`].
        frames: Vec<FrameRange>,
    },
    /// So much of a stream waits at the sender for this child, because the link does not take it in time.
    Behind {
        /// The stream.
        handle: StreamHandle,
        /// Capture time from the oldest frame that waits to the newest.
        millis: u32,
    },
    /// The link this comes over is a lane of another one between the same two, made by the same end.
    Lane {
        /// That one's [`LinkId`](crate::id::LinkId).
        of: u64,
    },
}

/// Why bytes off a control channel are not a message. The sender's doing, whichever it is: close that link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ControlError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("a control message of {0} bytes, but at most {MAX_MESSAGE} are allowed")]
    TooLong(usize),
    /// Another version.
    #[error("control version {0}, but this peer speaks version {VERSION}")]
    Version(u8),
    /// Not the encoding of any message, no bytes at all, or bytes left over.
    #[error("the control message cannot be read")]
    Malformed,
    /// A list or a text is longer than it may be.
    #[error("a {field} of {got}, but at most {most} are allowed")]
    Bound {
        /// Which.
        field: &'static str,
        /// Items or bytes there are.
        got: usize,
        /// Items or bytes allowed.
        most: usize,
    },
}

/// Ranges of frames that one message may ask for. Guess: what lacks is of one piece, or of two tracks.
pub const MAX_RANGES: usize = 16;
/// Most streams one link carries. Guess: four cameras with room to spare.
pub const MAX_STREAMS: usize = 32;

fn bound(field: &'static str, got: usize, most: usize) -> Result<(), ControlError> {
    if got > most {
        Err(ControlError::Bound { field, got, most })
    } else {
        Ok(())
    }
}

impl Control {
    /// Reads one message, and checks the bounds that the encoding alone does not.
    pub fn decode(message: &[u8]) -> Result<Self, ControlError> {
        bound_message(message.len())?;
        let (&version, body) = message.split_first().ok_or(ControlError::Malformed)?;
        if version != VERSION {
            return Err(ControlError::Version(version));
        }
        let (control, rest) =
            postcard::take_from_bytes::<Self>(body).map_err(|_| ControlError::Malformed)?;
        if !rest.is_empty() {
            return Err(ControlError::Malformed);
        }
        control.check()?;
        Ok(control)
    }

    fn check(&self) -> Result<(), ControlError> {
        match self {
            Self::Subscribe { from, .. } => {
                bound("list of positions", from.len(), crate::media::MAX_TRACKS)
            }
            Self::Refused { reason, .. } | Self::Bye { reason } => {
                bound("reason", reason.len(), MAX_REASON)
            }
            Self::RootPath { path, .. } => bound("root path", path.len(), MAX_PATH),
            Self::Heartbeat(beats) => {
                bound("heartbeat", beats.len(), MAX_STREAMS)?;
                beats.iter().try_for_each(|b| {
                    bound(
                        "list of positions",
                        b.newest.len(),
                        crate::media::MAX_TRACKS,
                    )
                })
            }
            Self::Want { frames, .. } => bound("list of frames", frames.len(), MAX_RANGES),
            Self::Epoch(descriptor) => descriptor.bounds().map_err(|_| ControlError::Malformed),
            Self::Hello { certificate, .. } | Self::Certificate(certificate) => {
                bound("certificate", certificate.len(), MAX_CERTIFICATE)
            }
            _ => Ok(()),
        }
    }

    /// Writes one message.
    pub fn encode(&self) -> Bytes {
        let mut message = vec![VERSION];
        message.extend(
            postcard::to_allocvec(self).expect("messages hold nothing that postcard cannot"),
        );
        Bytes::from(message)
    }
}

fn bound_message(got: usize) -> Result<(), ControlError> {
    if got > MAX_MESSAGE {
        Err(ControlError::TooLong(got))
    } else {
        Ok(())
    }
}

/// A reason cut to what a message may carry.
pub fn short(reason: &str) -> String {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::{Codec, Descriptor, TrackInfo};
    use proptest::prelude::*;

    fn peer(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    fn golden() -> Vec<(Control, &'static str)> {
        let position = Position {
            epoch: 300,
            sequence: 7,
        };
        let at = TrackPosition {
            track: Track::Audio,
            rendition: 1,
            position,
        };
        let stream = StreamId::from_bytes([0xAB; 16]);
        let handle = StreamHandle(5);
        let versions = VersionRange { min: 1, max: 1 };
        let init = Bytes::from_static(b"init");
        let info = TrackInfo {
            track: Track::Video,
            rendition: 0,
            codec: Codec::Vp8,
            kbps: 1000,
            init,
        };
        let descriptor = Descriptor {
            stream,
            epoch: 300,
            key_id: 0,
            media_origin_us: 4,
            tracks: vec![info],
        };
        let h264 = Descriptor {
            tracks: vec![TrackInfo {
                codec: Codec::H264("avc1.42C01E".parse().expect("a codec string")),
                ..descriptor.tracks[0].clone()
            }],
            ..descriptor.clone()
        };
        vec![
            (
                Control::Hello {
                    versions,
                    peer: peer(2),
                    lanes: 1,
                    certificate: Bytes::from_static(b"id"),
                },
                "010001010202020202020202020202020202020201 026964",
            ),
            (
                Control::Subscribe {
                    stream,
                    from: vec![at],
                },
                "0101abababababababababababababababab010101ac0207",
            ),
            (
                Control::Unsubscribe { stream },
                "0102abababababababababababababababab",
            ),
            (
                Control::Refused {
                    stream,
                    reason: "no".into(),
                },
                "0103abababababababababababababababab026e6f",
            ),
            (
                Control::Epoch(SignedDescriptor::unsigned(descriptor)),
                concat!(
                    "0104abababababababababababababababab ac02000401 000000e80704696e6974 00 40",
                    "0000000000000000000000000000000000000000000000000000000000000000",
                    "0000000000000000000000000000000000000000000000000000000000000000"
                ),
            ),
            (
                Control::Epoch(SignedDescriptor::unsigned(h264)),
                concat!(
                    "0104abababababababababababababababab ac02000401 00000442c01e e80704696e6974 00 40",
                    "0000000000000000000000000000000000000000000000000000000000000000",
                    "0000000000000000000000000000000000000000000000000000000000000000"
                ),
            ),
            (
                Control::RootPath {
                    handle,
                    path: vec![peer(1)],
                },
                "01050501 01010101010101010101010101010101",
            ),
            (
                Control::Heartbeat(vec![Beat {
                    handle,
                    newest: vec![at],
                }]),
                "01060105010101ac0207",
            ),
            (
                Control::Skipped {
                    handle,
                    track: Track::Video,
                    rendition: 0,
                    from: position,
                    to: position.next(),
                },
                "0107050000ac0207ac0208",
            ),
            (
                Control::Ended { stream },
                "0108abababababababababababababababab",
            ),
            (
                Control::Bye {
                    reason: "bye".into(),
                },
                "010903627965",
            ),
            (
                Control::Certificate(Bytes::from_static(b"id")),
                "010a026964",
            ),
            (Control::Ping(300), "010bac02"),
            (Control::Pong(300), "010cac02"),
            (
                Control::Want {
                    handle,
                    frames: vec![FrameRange {
                        track: Track::Audio,
                        rendition: 0,
                        from: position,
                        to: position.next(),
                    }],
                },
                "010d05010100ac0207ac0208",
            ),
            (
                Control::Behind {
                    handle,
                    millis: 300,
                },
                "010e05ac02",
            ),
            (Control::Lane { of: 300 }, "010fac02"),
        ]
    }

    #[test]
    fn every_message_is_on_the_wire_as_in_the_golden_vectors() {
        for (control, hex) in golden() {
            assert_eq!(
                hex::encode(control.encode()),
                hex.replace(' ', ""),
                "{control:?}"
            );
            assert_eq!(Control::decode(&control.encode()), Ok(control));
        }
    }

    #[test]
    fn a_message_cut_anywhere_is_refused_and_never_panics() {
        for (control, _) in golden() {
            let bytes = control.encode();
            for end in 0..bytes.len() {
                assert!(
                    Control::decode(&bytes[..end]).is_err(),
                    "{control:?} cut at {end}"
                );
            }
        }
    }

    #[test]
    fn a_path_longer_than_its_bound_is_refused() {
        let long = Control::RootPath {
            handle: StreamHandle(1),
            path: vec![peer(1); MAX_PATH + 1],
        };
        let got = MAX_PATH + 1;
        assert_eq!(
            Control::decode(&long.encode()),
            Err(ControlError::Bound {
                field: "root path",
                got,
                most: MAX_PATH
            })
        );
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        assert!(short(&"ä".repeat(MAX_REASON)).len() <= MAX_REASON);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let mut message = vec![VERSION];
            message.extend(bytes);
            let _ = Control::decode(&message);
        }
    }
}
