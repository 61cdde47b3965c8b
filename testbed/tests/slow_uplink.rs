//! A broadcaster whose uplink carries less than its stream, with real programs.

use std::time::Duration;

use testbed::narrows::Narrows;
use testbed::stage::Stage;

/// The test picture is easy: some 330 kbit/s of the rate it may have.
const STREAMS: &str = r#"
[[stream]]
name = "test"
source = { kind = "test" }
video = { width = 640, height = 360, fps = 25, bitrate_kbps = 1000, min_bitrate_kbps = 50 }
"#;
/// Much, and two thirds of what is sent, kbit/s.
const CARRIES: (u32, u32) = (20_000, 300);

/// Seconds of each.
const WIDE: u64 = 3;
const SLOW: u64 = 15;

#[test]
fn who_watches_plays_on_at_a_lower_rate_where_the_uplink_becomes_slow() -> anyhow::Result<()> {
    let stage = Stage::new()?;
    let _supervisor = stage.supervisor()?;
    let _relay = stage.relay("relay", 50_000)?;
    let narrows = Narrows::start(&stage.url(), CARRIES.0)?;
    let broadcaster = stage.broadcaster_at(&narrows.url(), STREAMS)?;
    let viewer = stage.receiver("viewer", &["--stream", "test"])?;
    viewer.wait_for_line("it plays", |line| line["playing"] == true)?;
    let mut before = narrows.carried();
    for second in 0..WIDE + SLOW {
        if second == WIDE {
            narrows.carries(CARRIES.1);
        }
        std::thread::sleep(Duration::from_secs(1));
        let (line, carried) = (viewer.last_line(), narrows.carried());
        println!(
            "{second} s: {} kbit/s, {} datagrams lost, latency {} ms, {} stalls of {} ms",
            (carried - before) * 8 / 1_000,
            narrows.lost(),
            line["latency_ms"],
            line["stalls"],
            line["stalled_ms"]
        );
        before = carried;
    }
    println!("{}", broadcaster.log());
    broadcaster.wait_for_log("media waits for 1 of 1 children")?;
    broadcaster.wait_for_log("nothing waits for any child")?;
    // One while the rate comes down (measured: 0.3 s), and one more on a machine that does much else.
    let line = viewer.last_line();
    assert!(line["stalls"].as_u64() <= Some(2), "{line}");
    assert!(line["stalled_ms"].as_u64() <= Some(2_000), "{line}");
    assert_eq!(line["playing"], true, "{line}");
    Ok(())
}
