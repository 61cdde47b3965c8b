//! What a player must know of H.264 before it says whether it can play it: profile and level, out of the encoder's
//! configuration record.
//!
//! Nothing else is read here: pictures stay as the encoder made them.

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest configuration record, bytes. Guess: two parameter sets are some 50, and it travels in the descriptor.
pub const MAX_RECORD: usize = 1024;

/// Profile, constraints and level, as they stand in the sequence parameter set (ITU-T H.264 §7.3.2.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AvcProfile {
    /// 66 is baseline, 77 main, 100 high.
    pub profile: u8,
    /// A bit for each further profile it keeps to.
    pub constraints: u8,
    /// Ten times the level: 31 is level 3.1.
    pub level: u8,
}

/// Why bytes are not a configuration record that can be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AvcError {
    /// Longer than [`MAX_RECORD`].
    #[error("a configuration record of {0} bytes, but at most {MAX_RECORD} are allowed")]
    TooLong(usize),
    /// Ends too soon, or is of another version.
    #[error("the configuration record cannot be read")]
    Malformed,
    /// Not the four bytes that `mp4` writes for.
    #[error("lengths before NAL units have {0} bytes and not 4")]
    LengthSize(u8),
    /// No sequence parameter set, or no picture parameter set.
    #[error("the configuration record lacks a parameter set")]
    NoParameters,
    /// The text is not `avc1.` and six hexadecimal digits.
    #[error("no codec string of H.264, which is avc1. and six hexadecimal digits")]
    Text,
}

impl AvcProfile {
    /// Reads an `AVCDecoderConfigurationRecord` (ISO/IEC 14496-15 §5.3.3.1): what GStreamer calls `codec_data`.
    /// What follows the parameter sets is for higher profiles and is left alone.
    pub fn of_record(record: &[u8]) -> Result<Self, AvcError> {
        if record.len() > MAX_RECORD {
            return Err(AvcError::TooLong(record.len()));
        }
        let &[1, _, _, _, lengths, sequence_sets, ref rest @ ..] = record else {
            return Err(AvcError::Malformed);
        };
        if lengths & 3 != 3 {
            return Err(AvcError::LengthSize((lengths & 3) + 1));
        }
        let (first, rest) = sets(sequence_sets & 0x1f, rest)?;
        let (&picture_sets, rest) = rest.split_first().ok_or(AvcError::Malformed)?;
        sets(picture_sets, rest)?;
        match *first {
            [header, profile, constraints, level, ..] if header & 0x1f == 7 => Ok(Self {
                profile,
                constraints,
                level,
            }),
            _ => Err(AvcError::Malformed),
        }
    }
}

/// Whether decoding can start with these NAL units, each behind its length of four bytes: one is a slice of an IDR
/// picture. (Not every picture without a reference to others is one: what follows may refer to what was before it.)
pub fn is_idr(units: &[u8]) -> bool {
    has_unit(units, |kind| kind == 5)
}

/// Whether there is a slice of a picture among these NAL units, and not parameter sets and the like alone.
pub fn is_picture(units: &[u8]) -> bool {
    has_unit(units, |kind| (1..=5).contains(&kind))
}

fn has_unit(mut units: &[u8], is_it: impl Fn(u8) -> bool) -> bool {
    while let Some((length, rest)) = units.split_first_chunk() {
        let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
        match rest.first() {
            Some(header) if is_it(header & 0x1f) => return true,
            _ => units = rest.get(length..).unwrap_or_default(),
        }
    }
    false
}

/// The first of so many parameter sets, and what follows them.
fn sets(count: u8, mut rest: &[u8]) -> Result<(&[u8], &[u8]), AvcError> {
    let mut first = None;
    for _ in 0..count {
        let (length, after) = rest.split_first_chunk().ok_or(AvcError::Malformed)?;
        let (set, after) = after
            .split_at_checked(u16::from_be_bytes(*length).into())
            .ok_or(AvcError::Malformed)?;
        first = first.or(Some(set));
        rest = after;
    }
    Ok((first.ok_or(AvcError::NoParameters)?, rest))
}

impl fmt::Display for AvcProfile {
    /// As `MediaSource.isTypeSupported` takes it (RFC 6381 §3.3).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            profile,
            constraints,
            level,
        } = self;
        write!(f, "avc1.{profile:02X}{constraints:02X}{level:02X}")
    }
}

impl FromStr for AvcProfile {
    type Err = AvcError;

    fn from_str(text: &str) -> Result<Self, AvcError> {
        let digits = text.strip_prefix("avc1.").ok_or(AvcError::Text)?;
        if digits.len() != 6 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(AvcError::Text);
        }
        let number = u32::from_str_radix(digits, 16).map_err(|_| AvcError::Text)?;
        let [_, profile, constraints, level] = number.to_be_bytes();
        Ok(Self {
            profile,
            constraints,
            level,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    /// OpenH264's own, for 640x360 at 30 frames per second.
    pub(crate) const RECORD: &str = "0142c01effe1000f6742c01e8c8d405017fcb00f08846a01000468ce3c80";

    pub(crate) fn record() -> Vec<u8> {
        hex::decode(RECORD).expect("hex")
    }

    #[test]
    fn an_encoders_record_gives_the_codec_string() {
        let profile = AvcProfile::of_record(&record()).expect("readable");
        assert_eq!(profile.to_string(), "avc1.42C01E");
        assert_eq!("avc1.42c01e".parse(), Ok(profile));
    }

    #[test]
    fn a_record_cut_anywhere_is_refused() {
        let record = record();
        for end in 0..record.len() {
            assert!(AvcProfile::of_record(&record[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn a_record_that_mp4_cannot_be_written_for_is_refused_with_the_reason() {
        let with = |at: usize, byte: u8| {
            let mut record = record();
            record[at] = byte;
            AvcProfile::of_record(&record)
        };
        assert_eq!(with(0, 2), Err(AvcError::Malformed));
        assert_eq!(with(4, 0xfd), Err(AvcError::LengthSize(2)));
        assert_eq!(with(5, 0xe0), Err(AvcError::NoParameters));
        let long = vec![1; MAX_RECORD + 1];
        assert_eq!(
            AvcProfile::of_record(&long),
            Err(AvcError::TooLong(MAX_RECORD + 1))
        );
    }

    #[test]
    fn decoding_starts_at_an_idr_picture_wherever_it_stands_and_at_no_other() {
        let (delimiter, slice, idr) = (
            [0, 0, 0, 2, 9, 0x10],
            [0, 0, 0, 1, 0x41],
            [0, 0, 0, 1, 0x65],
        );
        assert!(is_idr(&[&delimiter[..], &idr].concat()));
        assert!(!is_idr(&[&delimiter[..], &slice].concat()));
        assert!(!is_idr(&[0xff, 0xff, 0xff, 0xff, 0x41, 0, 0, 0, 1, 0x65])); // a length beyond the end
        assert!(!is_idr(&[0, 0, 0]));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = AvcProfile::of_record(&bytes);
            let _ = is_idr(&bytes);
        }

        #[test]
        fn any_profile_is_read_back_from_its_text(profile: u8, constraints: u8, level: u8) {
            let profile = AvcProfile { profile, constraints, level };
            prop_assert_eq!(profile.to_string().parse(), Ok(profile));
        }

        #[test]
        fn any_text_is_read_or_refused_and_never_panics(text in "(avc1\\.)?\\PC{0,8}") {
            let _ = AvcProfile::from_str(&text);
        }
    }
}
