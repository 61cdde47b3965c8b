//! Processor time and memory of this process, and percentiles.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{BufMut, Bytes, BytesMut};
use peer::transport::MAX_MESSAGE;

use super::{CHUNKS_PER_SECOND, Plan};

/// Seconds of processor time used so far, in steps of 10 ms.
pub(crate) fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // After the name, which may hold spaces: user time is the 12th word, system time the 13th.
    let words = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks: f64 = words
        .skip(11)
        .take(2)
        .filter_map(|word| word.parse::<f64>().ok())
        .sum();
    ticks / 100.0
}

/// Resident memory, MiB.
pub(crate) fn resident_mib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<f64> = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
    kib.unwrap_or(f64::NAN) / 1024.0
}

pub(crate) fn percentile(mut values: Vec<f64>, percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * percent / 100).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or(f64::NAN)
}

/// Microseconds on a clock that both processes share.
pub(crate) fn now_micros() -> u64 {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

/// The messages of one chunk. Each begins with when it was made; the last says that it is.
pub(crate) fn chunk(plan: &Plan) -> Vec<Bytes> {
    let bytes = vec![0x5a; plan.chunk_bytes().max(9)];
    let parts = bytes.chunks(MAX_MESSAGE).count();
    let mut messages = Vec::with_capacity(parts);
    for (i, part) in bytes.chunks(MAX_MESSAGE).enumerate() {
        let mut message = BytesMut::from(&part[..part.len().saturating_sub(9)]);
        message.put_u8(u8::from(i + 1 == parts));
        message.put_u64(now_micros());
        messages.push(message.freeze());
    }
    messages
}

/// When a message was made, and whether it ends its chunk.
pub(crate) fn stamp(message: &[u8]) -> Option<(u64, bool)> {
    let (_, stamp) = message.split_last_chunk::<9>()?;
    let micros = u64::from_be_bytes(*stamp.last_chunk::<8>()?);
    Some((micros, stamp[0] == 1))
}

/// Calls `send` for each chunk as a camera would, then says what this process used meanwhile.
pub(crate) async fn stream(plan: &Plan, mut send: impl AsyncFnMut(&[Bytes])) {
    tokio::time::sleep(Duration::from_secs(1)).await; // let the set-up settle
    let before = cpu_seconds();
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / CHUNKS_PER_SECOND);
    let end = tokio::time::Instant::now() + plan.duration();
    while ticks.tick().await < end {
        send(&chunk(plan)).await;
    }
    let used = cpu_seconds() - before;
    println!(
        "{}",
        serde_json::json!({ "cpu_s": used, "rss_mib": resident_mib() })
    );
    tokio::time::sleep(Duration::from_secs(1)).await; // the last chunks are under way
}
