//! What each value of the configuration may be that only a broadcaster has; `peer::limits` has the others. Each check
//! is on its own field, so that an error points at the line.

use std::fmt::Display;
use std::ops::RangeInclusive;

use protocol::security::token::JoinToken;
use serde::de::{Deserialize, Deserializer, Error};

/// The test picture's clock needs 288 pixels (see `capture::picture`); beyond 4K no board encodes VP8
/// live.
const WIDTH: RangeInclusive<u32> = 320..=4096;
const HEIGHT: RangeInclusive<u32> = 180..=2304;
/// Guess: no camera at hand gives more.
const FPS: RangeInclusive<u32> = 1..=120;
/// Below, VP8 is mush at any size; above, no home uplink carries it to one child.
const VIDEO_KBPS: RangeInclusive<u32> = 50..=50_000;
/// Opus' own range (RFC 6716 §2.1.1).
const AUDIO_KBPS: RangeInclusive<u32> = 6..=510;
/// Guess: beyond, a microphone is broken, or a hand covers it.
const GAIN_DB: RangeInclusive<i8> = -40..=40;
/// Shorter wastes the rate on key frames; longer makes joining wait.
const KEY_FRAME_INTERVAL_MS: RangeInclusive<u32> = 200..=10_000;

fn within<'de, D: Deserializer<'de>>(
    from: D,
    range: RangeInclusive<u32>,
    unit: impl Display,
) -> Result<u32, D::Error> {
    let value = i64::deserialize(from)?;
    u32::try_from(value)
        .ok()
        .filter(|value| range.contains(value))
        .ok_or_else(|| {
            let (least, most) = range.into_inner();
            D::Error::custom(format!("{value} is not from {least} to {most} {unit}"))
        })
}

fn even<'de, D: Deserializer<'de>>(from: D, range: RangeInclusive<u32>) -> Result<u32, D::Error> {
    let value = within(from, range, "pixels")?;
    if value % 2 == 0 {
        Ok(value)
    } else {
        Err(D::Error::custom(format!(
            "{value} is odd, but sizes must be even: colour is sampled at every second pixel"
        )))
    }
}

pub(super) fn width<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    even(from, WIDTH)
}

pub(super) fn height<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    even(from, HEIGHT)
}

pub(super) fn fps<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, FPS, "frames per second")
}

pub(super) fn video_kbps<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, VIDEO_KBPS, "kbit/s")
}

pub(super) fn audio_kbps<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, AUDIO_KBPS, "kbit/s")
}

pub(super) fn gain_db<'de, D: Deserializer<'de>>(from: D) -> Result<i8, D::Error> {
    let value = i64::deserialize(from)?;
    let fits = i8::try_from(value).ok().filter(|v| GAIN_DB.contains(v));
    fits.ok_or_else(|| {
        let (least, most) = GAIN_DB.into_inner();
        D::Error::custom(format!("{value} is not from {least} to {most} decibels"))
    })
}

pub(super) fn key_frame_interval_ms<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    within(from, KEY_FRAME_INTERVAL_MS, "ms")
}

pub(super) fn websocket<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let address = String::deserialize(from)?;
    let rest = address
        .strip_prefix("ws://")
        .or_else(|| address.strip_prefix("wss://"));
    match rest {
        Some(rest) if !rest.is_empty() && !rest.starts_with('/') => Ok(address),
        _ => Err(D::Error::custom(format!(
            "{address:?} must begin with ws:// or wss:// and a host, as in ws://192.168.1.2:8080/peer"
        ))),
    }
}

pub(super) fn join_token<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<JoinToken>, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map(Some).map_err(D::Error::custom)
}
