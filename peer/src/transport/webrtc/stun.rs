//! As much of STUN (RFC 8489) as it takes to know whose datagram it is: the message's class, its
//! transaction, the local half of its user name, and whether its integrity holds.
//!
//! Everything here is fed by strangers: bounded, no allocation, never a panic.

use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;

/// Bytes before the first attribute.
const HEADER: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const USERNAME: u16 = 0x0006;
const MESSAGE_INTEGRITY: u16 = 0x0008;
/// Attributes looked at in one message; a connectivity check has six.
const MAX_ATTRIBUTES: usize = 32;

/// Names one request and its response: 96 random bits.
pub(super) type Transaction = [u8; 12];

/// The class of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Request,
    Indication,
    Response,
}

/// A datagram that has the form of a STUN message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message<'a>(&'a [u8]);

impl<'a> Message<'a> {
    /// Takes a datagram, if its header is STUN's and its length is what the header says.
    pub(super) fn parse(datagram: &'a [u8]) -> Option<Self> {
        let stun = datagram.len() >= HEADER
            && datagram[0] < 0x40
            && datagram[4..8] == MAGIC_COOKIE
            && HEADER + usize::from(u16::from_be_bytes([datagram[2], datagram[3]]))
                == datagram.len();
        stun.then_some(Self(datagram))
    }

    pub(super) fn class(self) -> Class {
        match (self.0[0] & 0x01, self.0[1] & 0x10) {
            (0, 0) => Class::Request,
            (0, _) => Class::Indication,
            _ => Class::Response,
        }
    }

    /// Whether it is of the Binding method, the only one that ICE itself uses.
    pub(super) fn is_binding(self) -> bool {
        (self.0[0] & 0x3e, self.0[1] & 0xef) == (0, 1)
    }

    pub(super) fn transaction(self) -> Transaction {
        let mut id = [0; 12];
        id.copy_from_slice(&self.0[8..HEADER]);
        id
    }

    /// The receiver's half of the user name in a connectivity check (`receiver:sender`).
    pub(super) fn local_ufrag(self) -> Option<&'a str> {
        let (_, value) = self
            .attributes()
            .find(|&(at, _)| self.kind(at) == USERNAME)?;
        std::str::from_utf8(value).ok()?.split(':').next()
    }

    /// Whether the message proves that its sender knows `password`.
    pub(super) fn integrity_holds(self, password: &[u8]) -> bool {
        let Some((at, digest)) = self
            .attributes()
            .find(|&(at, _)| self.kind(at) == MESSAGE_INTEGRITY)
        else {
            return false;
        };
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(password) else {
            return false;
        };
        // The digest was made when the message ended with this attribute (24 bytes with its head).
        let Ok(length) = u16::try_from(at + 24 - HEADER) else {
            return false;
        };
        mac.update(&self.0[..2]);
        mac.update(&length.to_be_bytes());
        mac.update(&self.0[4..at]);
        mac.verify_slice(digest).is_ok()
    }

    /// Type of the attribute that starts at `at`.
    fn kind(self, at: usize) -> u16 {
        u16::from_be_bytes([self.0[at], self.0[at + 1]])
    }

    /// Start and value of each attribute that lies wholly inside the message.
    fn attributes(self) -> impl Iterator<Item = (usize, &'a [u8])> {
        let mut at = HEADER;
        std::iter::from_fn(move || {
            let head = self.0.get(at..at + 4)?;
            let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let value = self.0.get(at + 4..at + 4 + length)?;
            let start = at;
            at += 4 + length.next_multiple_of(4);
            Some((start, value))
        })
        .take(MAX_ATTRIBUTES)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A connectivity check from somebody who knows this name and password.
    pub(in super::super) fn check(ufrag: &str, password: &str) -> Vec<u8> {
        let name = format!("{ufrag}:other");
        let mut bytes = vec![
            0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
        ];
        bytes.extend_from_slice(&[0, 6, 0, name.len() as u8]);
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes[3] = (bytes.len() + 24 - HEADER) as u8;
        let mut mac = Hmac::<Sha1>::new_from_slice(password.as_bytes()).expect("any length");
        mac.update(&bytes);
        bytes.extend_from_slice(&[0, 8, 0, 20]);
        bytes.extend_from_slice(&mac.finalize().into_bytes());
        bytes
    }

    /// RFC 5769 §2.1: a connectivity check with user name `evtj:h6vY`.
    const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e2074657374\
        20636c69656e74002400046e0001ff80290008932ff9b151263b36000600096576746a3a68367659202020\
        000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
    const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";

    fn request() -> Vec<u8> {
        hex::decode(REQUEST.replace(char::is_whitespace, "")).expect("hexadecimal")
    }

    #[test]
    fn the_check_of_rfc_5769_is_read_and_its_integrity_holds() {
        let bytes = request();
        let message = Message::parse(&bytes).expect("a STUN message");
        assert_eq!(message.class(), Class::Request);
        assert!(message.is_binding());
        assert_eq!(message.local_ufrag(), Some("evtj"));
        assert!(message.integrity_holds(PASSWORD));
    }

    #[test]
    fn a_check_with_another_password_or_a_changed_bit_does_not_hold() {
        let mut bytes = request();
        assert!(
            !Message::parse(&bytes)
                .expect("STUN")
                .integrity_holds(b"another")
        );
        bytes[62] ^= 1; // in the user name
        assert!(
            !Message::parse(&bytes)
                .expect("STUN")
                .integrity_holds(PASSWORD)
        );
    }

    #[test]
    fn a_check_cut_or_garbled_anywhere_never_panics() {
        let whole = request();
        for cut in 0..whole.len() {
            assert!(
                Message::parse(&whole[..cut]).is_none(),
                "the header states the length"
            );
            for value in [0x00, 0x7f, 0xff] {
                let mut bytes = whole.clone();
                bytes[cut] = value;
                if let Some(message) = Message::parse(&bytes) {
                    let _ = (message.class(), message.is_binding(), message.local_ufrag());
                    let _ = message.integrity_holds(PASSWORD);
                }
            }
        }
    }
}
