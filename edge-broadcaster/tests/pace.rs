//! Software encoders that are really too slow: large and frequent pictures, and one processor that does much else.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use edge_broadcaster::source::SourceEvent;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use protocol::container::{Shape, TrackFormat, Writer};
use protocol::media::{EncodedFrame, Track};
use tokio::sync::Mutex;

const WIDTH: u32 = 2560;
const HEIGHT: u32 = 1440;
/// Three fourths of it, and half.
const SMALLER: [(u32, u32); 2] = [(1920, 1080), (1280, 720)];

/// One after the other: each takes all of a processor.
static IN_TURN: Mutex<()> = Mutex::const_new(());

fn settings(encoder: &str) -> String {
    format!(
        "width = {WIDTH}\nheight = {HEIGHT}\nfps = 120\nbitrate_kbps = 4000\nkey_frame_interval_ms = 10000\n\
         encoders = [\"{encoder}\"]"
    )
}

/// A board of one core that does much else besides. A quick machine with nothing else to do encodes 120 of these pictures
/// in a second.
struct Busy(Arc<AtomicBool>);

impl Busy {
    /// As many threads as this share the processor with the encoder, which is some four times as slow for it.
    const OTHERS: usize = 3;

    /// Leaves this thread, and those it starts, the first of its processors alone, and starts the others.
    fn start() -> Self {
        let own = Pid::from_raw(0);
        let given = sched_getaffinity(own).expect("Linux says where a thread may run");
        let first = (0..CpuSet::count()).find(|&n| given.is_set(n) == Ok(true));
        let mut one = CpuSet::new();
        one.set(first.expect("it runs somewhere"))
            .expect("it is one of them");
        sched_setaffinity(own, &one).expect("a thread may give up processors");
        let ended = Arc::new(AtomicBool::new(false));
        for _ in 0..Self::OTHERS {
            let ended = Arc::clone(&ended);
            std::thread::spawn(move || {
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
        }
        Self(ended)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The size that a key frame of VP8 says (RFC 6386 §9.1).
fn size(frame: &EncodedFrame) -> (u32, u32) {
    let side = |at: usize| {
        let bytes = [frame.data[at], frame.data[at + 1]];
        u32::from(u16::from_le_bytes(bytes) & 0x3fff)
    };
    (side(6), side(8))
}

#[tokio::test]
async fn a_machine_too_slow_for_vp8_goes_on_in_a_smaller_size_in_the_same_epoch() {
    let _turn = IN_TURN.lock().await;
    let _busy = Busy::start();
    let running = support::start("\"test\"", &settings("vp8enc")).await;
    let mut running = running.expect("it runs");
    let (mut frames, mut sizes) = (Vec::new(), Vec::new());
    let mut after = 0;
    // A machine that does much else besides may encode too few pictures before the second key frame to see how slow it is.
    while after < 10 && sizes.len() < 4 {
        match running.frames.recv().await {
            Some(SourceEvent::Frame(Track::Video, frame)) => {
                if frame.key {
                    sizes.push(size(&frame));
                }
                after += usize::from(sizes.last().is_some_and(|size| *size != (WIDTH, HEIGHT)));
                frames.push(frame);
            }
            Some(SourceEvent::Frame(..)) => {}
            other => panic!("{other:?}"),
        }
    }
    let format = running.tracks[0].clone();
    running.stop().await;
    assert_eq!(sizes[0], (WIDTH, HEIGHT));
    assert!(
        sizes.last().is_some_and(|size| SMALLER.contains(size)),
        "{sizes:?}"
    );
    assert!(frames.windows(2).all(|w| w[0].media_us < w[1].media_us));
    // A decoder that begins at the start makes a picture of every frame, whatever its size.
    let mut writer = Writer::new(format);
    let mut webm = writer.init().to_vec();
    for frame in &frames {
        webm.extend_from_slice(&writer.write(frame).container);
    }
    assert_eq!(support::decode_luma(&webm).len(), frames.len());
}

#[tokio::test]
async fn a_machine_too_slow_for_h264_goes_on_in_a_smaller_size_in_a_new_epoch() {
    let _turn = IN_TURN.lock().await;
    let _busy = Busy::start();
    let running = support::start("\"test\"", &settings("x264enc")).await;
    let mut running = running.expect("it runs");
    let shape = |format: &TrackFormat| match format.shape {
        Shape::Video { width, height, .. } => (width, height),
        Shape::Audio { .. } => panic!("{format:?}"),
    };
    assert_eq!(shape(&running.tracks[0]), (WIDTH, HEIGHT));
    let format = loop {
        match running.frames.recv().await {
            Some(SourceEvent::Anew(format)) => break format,
            Some(SourceEvent::Frame(..)) => {}
            other => panic!("{other:?}"),
        }
    };
    assert!(SMALLER.contains(&shape(&format)), "{format:?}");
    let mut writer = Writer::new(format);
    let (mut mp4, mut count) = (writer.init().to_vec(), 0);
    while count < 10 {
        match running.frames.recv().await {
            Some(SourceEvent::Frame(Track::Video, frame)) => {
                assert!(count > 0 || frame.key);
                mp4.extend_from_slice(&writer.write(&frame).container);
                count += 1;
            }
            Some(SourceEvent::Frame(..)) => {}
            other => panic!("{other:?}"),
        }
    }
    running.stop().await;
    assert_eq!(support::decode_mp4_luma(&mp4).len(), count);
}
