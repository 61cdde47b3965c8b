//! What a peer has done and how its board is, as figures with names: for `/metrics` of relays and broadcasters.

use protocol::signal::BoxHealth;

use crate::board::Board;
use crate::{Handle, Snapshot};

/// One figure.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its name, without the `_total` that a counter is shown with.
    pub name: &'static str,
    /// What it is, in words.
    pub help: &'static str,
    /// Of which stream, by its id.
    pub stream: Option<String>,
    /// Its value.
    pub value: f64,
    /// Whether it counts up for ever.
    pub counts: bool,
}

impl Figure {
    /// What it is of, by name and value.
    pub fn labels(&self) -> Vec<(&'static str, &str)> {
        let stream = self.stream.as_deref();
        stream
            .map(|stream| ("stream", stream))
            .into_iter()
            .collect()
    }
}

const fn gauge(name: &'static str, help: &'static str, value: f64) -> Figure {
    Figure {
        name,
        help,
        stream: None,
        value,
        counts: false,
    }
}

/// What a board may tell, all of it.
pub const NAMES_OF_A_BOARD: [&str; 8] = [
    "ownstream_board_temperature_celsius",
    "ownstream_board_throttled",
    "ownstream_board_under_voltage",
    "ownstream_board_memory_free_bytes",
    "ownstream_board_disk_free_bytes",
    "ownstream_board_load_ratio",
    "ownstream_board_wifi_signal_dbm",
    "ownstream_board_uptime_seconds",
];

/// All of a peer's and its board's, as they are now.
pub async fn gather(node: &Handle, board: Board) -> Vec<Figure> {
    let snapshot = node.snapshot().await.unwrap_or_default();
    // It reads files that may be slow.
    let health = tokio::task::spawn_blocking(move || board.health()).await;
    figures(&snapshot, &health.unwrap_or_default())
}

/// All of them; of a board only what it tells.
pub fn figures(snapshot: &Snapshot, health: &BoxHealth) -> Vec<Figure> {
    let mut figures = of_board(health);
    figures.push(gauge(
        "ownstream_peer_links",
        "Links to neighbours, in whatever phase",
        snapshot.links as f64,
    ));
    for (id, stats) in &snapshot.streams {
        let of = |name, help, value: u64, counts| Figure {
            stream: Some(id.to_string()),
            counts,
            ..gauge(name, help, value as f64)
        };
        figures.extend([
            of(
                "ownstream_peer_children",
                "Children that are fed",
                stats.children.into(),
                false,
            ),
            of(
                "ownstream_peer_depth",
                "Peers from the broadcaster down to this one",
                stats.depth.into(),
                false,
            ),
            of(
                "ownstream_peer_window_bytes",
                "Media that is kept",
                stats.window_bytes as u64,
                false,
            ),
            of(
                "ownstream_peer_received_bytes",
                "Media received",
                stats.bytes_down,
                true,
            ),
            of(
                "ownstream_peer_sent_bytes",
                "Media sent",
                stats.bytes_up,
                true,
            ),
            of(
                "ownstream_peer_forwarded_chunks",
                "Chunks sent to children",
                stats.chunks_up,
                true,
            ),
            of(
                "ownstream_peer_repaired_chunks",
                "Chunks sent again to neighbours that lacked them",
                stats.repairs,
                true,
            ),
            of(
                "ownstream_peer_skips",
                "How often a child was too slow and skipped",
                stats.skips,
                true,
            ),
            of(
                "ownstream_peer_takeovers",
                "How often this peer went on at its backup parent by itself",
                stats.takeovers,
                true,
            ),
        ]);
    }
    figures
}

fn of_board(health: &BoxHealth) -> Vec<Figure> {
    let flag = |set: bool| f64::from(u8::from(set));
    let told = [
        (
            "ownstream_board_temperature_celsius",
            "The hottest sensor",
            health.temperature_c.map(f64::from),
        ),
        (
            "ownstream_board_throttled",
            "Whether the processor is slowed down because of heat",
            health.throttled.map(flag),
        ),
        (
            "ownstream_board_under_voltage",
            "Whether the power supply is too weak now",
            health.under_voltage.map(flag),
        ),
        (
            "ownstream_board_memory_free_bytes",
            "Memory that could be used",
            health.memory_free.map(|bytes| bytes as f64),
        ),
        (
            "ownstream_board_disk_free_bytes",
            "Free on the disk of the state directory",
            health.disk_free.map(|bytes| bytes as f64),
        ),
        (
            "ownstream_board_load_ratio",
            "Processes that want to run, as a share of the processors",
            health.load.map(f64::from),
        ),
        (
            "ownstream_board_wifi_signal_dbm",
            "Wi-Fi signal",
            health.wifi_dbm.map(f64::from),
        ),
        (
            "ownstream_board_uptime_seconds",
            "Since the board started",
            health.uptime_s.map(|seconds| seconds as f64),
        ),
    ];
    let told = told.into_iter();
    told.filter_map(|(name, help, value)| Some(gauge(name, help, value?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_that_tells_all_tells_it_under_the_names_that_are_promised() {
        let health = BoxHealth {
            board: None,
            temperature_c: Some(50.0),
            throttled: Some(false),
            under_voltage: Some(false),
            under_voltage_once: None,
            memory_free: Some(1),
            memory_total: None,
            disk_free: Some(1),
            disk_total: None,
            load: Some(0.5),
            wifi_dbm: Some(-60),
            uptime_s: Some(1),
            encodings: Vec::new(),
        };
        let names: Vec<_> = of_board(&health).iter().map(|figure| figure.name).collect();
        assert_eq!(names, NAMES_OF_A_BOARD);
    }

    #[test]
    fn a_weak_power_supply_is_a_one_and_what_is_not_known_is_nothing() {
        let health = BoxHealth {
            under_voltage: Some(true),
            ..BoxHealth::default()
        };
        let figures = figures(&Snapshot::default(), &health);
        let named = |name: &str| figures.iter().find(|figure| figure.name == name);
        let weak = named("ownstream_board_under_voltage").expect("it is known");
        assert_eq!(weak.value, 1.0);
        assert_eq!(named("ownstream_board_temperature_celsius"), None);
    }
}
