//! How long a relay that was revoked still feeds anybody: the worst of them, that hears of nothing and keeps its links open.

use std::time::Duration;

use anyhow::Context as _;
use peer::Clock;
use serde_json::Value;

use crate::audience::Audience;
use crate::stage::{Stage, TEST_PICTURE};

/// Revokes a relay that feeds so many viewers, with another one beside it. Gives the time from before the operator's command until the
/// last of them is fed by another, the command's own start included.
pub fn revocation(viewers: u32) -> anyhow::Result<Duration> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _broadcaster = stage.broadcaster(TEST_PICTURE)?;
    let deaf = stage.liar("deaf", 1_000_000)?;
    let name = deaf.wait_for_line("its name", |line| line["peer"].is_string())?["peer"].clone();
    let audience = Audience::new(&stage, viewers)?;
    audience.until("below the relay", |line| line["parent"] == name)?;
    let _second = stage.relay("second", 1_000_000)?;
    let clock = Clock::new();
    let begin = clock.now().as_micros() / 1_000;
    stage.revoke("liar")?;
    audience.until("another parent", |line: &Value| {
        line["parent"].is_string() && line["parent"] != name
    })?;
    let log = audience.log();
    let fed = log.lines().filter_map(|line| {
        let (at, _) = line.split_once(" ms: fed by Some(")?;
        at.parse::<u64>().ok().filter(|at| *at >= begin)
    });
    let last = fed.max().context("nobody says who feeds it")?;
    Ok(Duration::from_millis(last - begin))
}
