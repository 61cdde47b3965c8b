//! What the security layer costs: the paper's Fig. 12 and 13, and what they did not measure.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use protocol::security::boxes::{self, KeyTask, Sealing, purpose};
use protocol::security::local::{EllipticKey, RsaKey, rsa_seal};
use protocol::security::secret::Seed;
use serde_json::Value;

use super::camera::{camera, check, seal};
use super::relay_cost::{Plan, relay_run};
use crate::stage::{PATIENCE, Stage};

/// One line of the report.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// What was done.
    pub what: String,
    /// How long it takes once, the median.
    pub took: Duration,
    /// What the paper says of the same, milliseconds and in words, where its text does (§V).
    pub paper: Option<(f64, &'static str)>,
}

fn line(what: impl Into<String>, took: Duration) -> Line {
    Line {
        what: what.into(),
        took,
        paper: None,
    }
}

/// Median of `times` goes, each of `each` repetitions.
fn median(times: usize, each: u32, mut go: impl FnMut()) -> Duration {
    let mut took: Vec<Duration> = (0..times)
        .map(|_| {
            let begin = Instant::now();
            (0..each).for_each(|_| go());
            begin.elapsed() / each
        })
        .collect();
    took.sort_unstable();
    took[times / 2]
}

/// Fig. 12: the time to make an RSA key pair, by its length. `goes` for each.
pub fn key_pairs(goes: usize) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for bits in [512, 1024, 2048, 3072, 4096] {
        let mut failed = None;
        let took = median(goes, 1, || {
            if let Err(error) = RsaKey::generate_for_measurement(&mut rand::rng(), bits) {
                failed = Some(error);
            }
        });
        if let Some(error) = failed {
            return Err(error).context("making an RSA key");
        }
        lines.push(line(format!("RSA key pair, {bits} bits"), took));
    }
    let took = median(goes, 100, || {
        black_box(EllipticKey::new(Seed::from_bytes(rand::random())));
    });
    lines.push(line("X25519 key pair", took));
    Ok(lines)
}

/// Fig. 13: nonce, challenge and its answer, digest and its check.
pub fn operations() -> anyhow::Result<Vec<Line>> {
    let mut lines = vec![Line {
        paper: Some((0.020, "20 us or less")),
        ..line(
            "nonce, 32 random bytes",
            median(9, 1_000, || {
                black_box(rand::random::<[u8; 32]>());
            }),
        )
    }];
    lines.extend(challenges()?);
    lines.extend(chunks());
    Ok(lines)
}

fn challenges() -> anyhow::Result<Vec<Line>> {
    let numbers = [7; 32];
    let rsa = RsaKey::generate(&mut rand::rng(), 2048)?;
    let sealing = boxes::seal(&rsa.public_key(), purpose::NONCE, &numbers, &[0; 32])?;
    let Sealing::Task(task) = sealing else {
        anyhow::bail!("RSA seals outside");
    };
    let ciphertext = rsa_seal(&task, &mut rand::rng()).context("sealing by RSA")?;
    let open = KeyTask::RsaOpen {
        ciphertext,
        label: purpose::NONCE,
    };
    let elliptic = EllipticKey::new(Seed::from_bytes(rand::random()));
    let public = elliptic.public_key();
    let seal = || boxes::seal(&public, purpose::NONCE, &numbers, &rand::random());
    let Sealing::Done(sealed) = seal()? else {
        anyhow::bail!("the elliptic suite seals here");
    };
    let unseal = || -> Option<()> {
        let task = boxes::open(&public, purpose::NONCE, &sealed).ok()?;
        let answer = elliptic.answer(&task)?;
        boxes::finish_open(&public, purpose::NONCE, &sealed, &answer).ok()?;
        Some(())
    };
    unseal().context("opening what was sealed")?;
    Ok(vec![
        line(
            "challenge sealed, RSA 2048",
            median(9, 50, || drop(black_box(rsa_seal(&task, &mut rand::rng())))),
        ),
        line(
            "challenge opened, RSA 2048",
            median(9, 10, || {
                drop(black_box(rsa.answer(&open, &mut rand::rng())))
            }),
        ),
        line(
            "challenge sealed, elliptic",
            median(9, 100, || drop(black_box(seal()))),
        ),
        line(
            "challenge opened, elliptic",
            median(9, 100, || {
                black_box(unseal());
            }),
        ),
    ])
}

fn chunks() -> Vec<Line> {
    let frames = camera(2);
    let sealed = seal(&frames);
    let count = u32::try_from(sealed.len()).expect("two seconds of chunks");
    assert_eq!(check(&sealed), sealed.len(), "all of them may be shown");
    let whole = sealed.iter().max_by_key(|chunk| chunk.message().len());
    let message = whole.map_or_else(Bytes::new, |chunk| chunk.message().clone());
    let paper = Some((9.436, "9.436 ms a side, for the integrity check of a chunk"));
    vec![
        line(
            format!("SHA-256 of a chunk of {} bytes", message.len()),
            median(9, 200, || {
                use sha2::Digest as _;
                black_box(sha2::Sha256::digest(&message));
            }),
        ),
        Line {
            paper,
            ..line(
                "a chunk sealed: HMAC, and its share of a signature",
                median(9, 1, || drop(black_box(seal(&frames)))) / count,
            )
        },
        Line {
            paper,
            ..line(
                "a chunk checked: HMAC, and its share of a signature",
                median(9, 1, || {
                    black_box(check(&sealed));
                }) / count,
            )
        },
    ]
}

/// The share that checking has in what a relay's processor does, and for how many children: the time of the check
/// alone, and the processor time of the real relay at the same rate.
pub fn share_of_a_relay() -> anyhow::Result<(f64, u32)> {
    let plan = Plan {
        children: 32,
        kbps: 3_000,
        length: Duration::from_secs(10),
        rounds: 1,
    };
    let relay = relay_run(&plan)?.cpu_s / plan.length.as_secs_f64();
    let chunks_a_second = camera(1).len();
    let checked = chunks().last().map_or(Duration::ZERO, |line| line.took);
    let checking = checked.as_secs_f64() * chunks_a_second as f64;
    Ok((checking / relay, plan.children))
}

/// What one authentication costs the real supervisor: processor time, from the socket to the certificate, `peers` times; by
/// RSA, or by the elliptic suite.
pub fn authentication(peers: u32, rsa: bool) -> anyhow::Result<Duration> {
    let stage = if rsa {
        Stage::with_rsa()?
    } else {
        Stage::new()?
    };
    let supervisor = stage.supervisor()?;
    let before = supervisor.cpu_seconds();
    let count = peers.to_string();
    let words = ["--stream", "nothing", "--leaf", "--viewers", &count];
    let words = words.into_iter().chain(rsa.then_some("--rsa"));
    let _viewers = stage.receiver("viewers", &words.collect::<Vec<_>>())?;
    let until = Instant::now() + PATIENCE;
    let here = |health: &Value| health["peers"].as_u64().unwrap_or(0);
    loop {
        let count = here(&stage.health()?);
        if count >= u64::from(peers) {
            break;
        }
        anyhow::ensure!(Instant::now() < until, "only {count} of {peers} came in");
        std::thread::sleep(Duration::from_millis(20));
    }
    let used = supervisor.cpu_seconds() - before;
    Ok(Duration::from_secs_f64(used / f64::from(peers)))
}
