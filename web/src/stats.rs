//! The figures of peer and player, as one plain object for the overlay and the tests.

use core::time::Duration;

use protocol::node::{Node, StreamStats};
use protocol::playback;
use protocol::time::Time;
use protocol::viewer::Viewer;
use wasm_bindgen::prelude::*;

use crate::orders::Plain;

#[wasm_bindgen(typescript_custom_section)]
const TYPES: &str = r#"
/** How this peer and its player are doing; times in milliseconds. Empty fields of the player while nothing is watched. */
export interface Stats {
  peer: string;
  links: number;
  stream: string | null;
  parent: string | null;
  depth: number;
  children: number;
  bytesDown: number;
  bytesUp: number;
  windowBytes: number;
  skips: number;
  started: boolean;
  positionMs: number;
  latencyMs: number | null;
  holdMs: number;
  aheadMs: number;
  rate: number;
  stalled: boolean;
  stalls: number;
  stalledMs: number;
  longestStallMs: number;
  jumps: number;
  rebuilds: number;
  silentPackets: number;
}
"#;

pub(crate) fn object(node: &Node, viewer: Option<&Viewer>, now: Time) -> JsValue {
    let stream = viewer.map(Viewer::stream);
    let peer = stream.and_then(|id| node.stats(&id)).unwrap_or_default();
    let player = viewer.map(|v| v.stats(now)).unwrap_or_default();
    let plain = Plain::new()
        .with("peer", node.config().peer.to_string())
        .with("links", node.link_count() as u32)
        .with("stream", or_null(stream.map(|id| id.to_string())));
    with_player(with_peer(plain, peer), player).into()
}

fn with_peer(plain: Plain, peer: StreamStats) -> Plain {
    plain
        .with("parent", or_null(peer.parent.map(|p| p.to_string())))
        .with("depth", peer.depth)
        .with("children", peer.children)
        .with("bytesDown", peer.bytes_down as f64)
        .with("bytesUp", peer.bytes_up as f64)
        .with("windowBytes", peer.window_bytes as f64)
        .with("skips", peer.skips as f64)
}

fn with_player(plain: Plain, player: playback::Stats) -> Plain {
    plain
        .with("started", player.started)
        .with("positionMs", player.position_us as f64 / 1000.0)
        .with("latencyMs", or_null(player.latency.map(millis)))
        .with("holdMs", millis(player.hold))
        .with("aheadMs", millis(player.ahead))
        .with("rate", player.rate)
        .with("stalled", player.is_stalled)
        .with("stalls", player.stalls)
        .with("stalledMs", millis(player.stalled))
        .with("longestStallMs", millis(player.longest_stall))
        .with("jumps", player.jumps)
        .with("rebuilds", player.rebuilds)
        .with("silentPackets", player.silent_packets as f64)
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// JavaScript's `null` for what there is none of.
fn or_null(value: Option<impl Into<JsValue>>) -> JsValue {
    value.map_or(JsValue::NULL, Into::into)
}
