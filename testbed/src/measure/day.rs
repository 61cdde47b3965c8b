//! A long run in virtual time: whether what viewers see grows older, and what is kept for it larger.

use std::time::Duration;

use crate::sim::{self, Look, Plan};

/// What a long run came to.
#[derive(Debug, Clone, Copy)]
pub struct Day {
    /// By how much live latency grows an hour, milliseconds: the straight line nearest to all that was seen.
    pub slope_ms_per_h: f64,
    /// Its mean, milliseconds.
    pub latency_ms: f64,
    /// Media that all peers keep, bytes: after the first hour (or tenth), and at the end.
    pub kept: (usize, usize),
    /// Memory of this process, KiB, likewise.
    pub resident_kib: (u64, u64),
    /// Stalls of all viewers.
    pub stalls: u64,
}

/// How often to look, in virtual time.
const LOOK: Duration = Duration::from_secs(20);

/// Simulates a broadcaster, a relay and so many viewers for so long.
pub fn day(hours: f64, viewers: u32) -> Day {
    let length = Duration::from_secs_f64(hours * 3_600.0);
    let plan = Plan {
        viewers,
        length,
        ..Plan::default()
    };
    let warm = Duration::from_secs(3_600).min(length / 10);
    let (mut seen, mut first, mut last) = (Vec::new(), None, (0, 0));
    let outcome = sim::run_watched(&plan, LOOK, |look: Look| {
        if look.at < warm {
            return;
        }
        last = (look.kept, resident_kib());
        first.get_or_insert(last);
        if let Some(latency) = look.latency {
            let hour = look.at.as_secs_f64() / 3_600.0;
            seen.push((hour, latency.as_secs_f64() * 1_000.0));
        }
    });
    let first = first.unwrap_or(last);
    let (slope_ms_per_h, latency_ms) = line(&seen);
    Day {
        slope_ms_per_h,
        latency_ms,
        kept: (first.0, last.0),
        resident_kib: (first.1, last.1),
        stalls: outcome.stalls,
    }
}

/// Slope and mean of points, by least squares.
fn line(points: &[(f64, f64)]) -> (f64, f64) {
    let count = points.len().max(1) as f64;
    let x = points.iter().map(|p| p.0).sum::<f64>() / count;
    let y = points.iter().map(|p| p.1).sum::<f64>() / count;
    let both = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>();
    let square = points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    (if square > 0.0 { both / square } else { 0.0 }, y)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slope_of_points_on_a_line_is_the_lines() {
        let points: Vec<_> = (0..10)
            .map(|n| (f64::from(n), 3.0 + 0.5 * f64::from(n)))
            .collect();
        let (slope, mean) = line(&points);
        assert!((slope - 0.5).abs() < 1e-9 && (mean - 5.25).abs() < 1e-9);
    }

    #[test]
    fn in_ten_minutes_of_virtual_time_nothing_grows() {
        let seen = day(1.0 / 6.0, 2);
        assert_eq!(seen.stalls, 0);
        assert!(seen.latency_ms > 100.0, "{seen:?}");
        // Kept is a window that is between one key frame and the next: it varies by one group of pictures a peer.
        let (first, last) = seen.kept;
        assert!(first > 0 && last < first + 4 * 25 * 6_000, "{seen:?}");
    }
}
