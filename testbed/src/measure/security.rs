//! What the security layer costs: the paper's Fig. 12 and 13, and what they did not measure.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use protocol::security::boxes::{self, KeyTask, Sealing, purpose};
use protocol::security::local::{EllipticKey, RsaKey, rsa_seal};
use protocol::security::secret::Seed;
use rtc::crypto;
use rtc::dtls::content::ContentType;
use rtc::dtls::crypto::crypto_gcm::CryptoGcm;
use rtc::dtls::record_layer::record_layer_header::{PROTOCOL_VERSION1_2, RecordLayerHeader};
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
        line(
            "HMAC-SHA-256 of the same",
            median(9, 200, || {
                use hmac::{KeyInit as _, Mac as _};
                let keyed = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[7; 32]);
                let mut keyed = keyed.expect("any length");
                keyed.update(&message);
                black_box(keyed.finalize());
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

/// What security has of a relay's processor time while it forwards.
#[derive(Debug, Clone, Copy)]
pub struct Shares {
    /// How many children it feeds, 3 Mbit/s each.
    pub children: u32,
    /// Checking what it gets: HMAC and signatures.
    pub checking: f64,
    /// Encrypting what it sends and decrypting what acknowledges it, for all children.
    pub records: f64,
}

/// The times of the checks and of DTLS records alone, as shares of the processor time of the real relay at the same rate.
pub fn shares_of_a_relay() -> anyhow::Result<Shares> {
    let plan = Plan {
        children: 32,
        kbps: 3_000,
        length: Duration::from_secs(10),
        rounds: 1,
    };
    let relay = relay_run(&plan)?.cpu_s / plan.length.as_secs_f64();
    let frames = camera(1);
    let checked = chunks().last().map_or(Duration::ZERO, |line| line.took);
    let checking = checked.as_secs_f64() * frames.len() as f64;
    let packets: usize = frames
        .iter()
        .map(|(_, length)| length.div_ceil(PACKET))
        .sum();
    let (sealed, opened) = records()?;
    let a_child =
        sealed.as_secs_f64() * packets as f64 + opened.as_secs_f64() * frames.len() as f64;
    Ok(Shares {
        children: plan.children,
        checking: checking / relay,
        records: a_child * f64::from(plan.children) / relay,
    })
}

/// Bytes of a chunk in one SCTP packet, as `rtc-sctp` cuts them.
const PACKET: usize = 1_160;
/// Bytes of an SCTP packet that only acknowledges.
const ACKNOWLEDGEMENT: usize = 28;

/// How long the WebRTC library takes to encrypt a record that is full of a chunk, and to decrypt an acknowledgement, by the
/// cipher suite that browsers choose on machines with instructions for it (AES-128-GCM).
fn records() -> anyhow::Result<(Duration, Duration)> {
    let provider = crypto::default_provider().context("a provider of ciphers")?;
    let (key, salt) = ([1; 16], [2; 4]);
    let mut cipher = CryptoGcm::new(provider, &key, &salt, &key, &salt)?;
    let full = record(PACKET)?;
    let acknowledgement = record(ACKNOWLEDGEMENT)?;
    let sealed = cipher.encrypt(&acknowledgement.0, &acknowledgement.1)?;
    cipher.decrypt(&sealed)?;
    let sealing = median(9, 2_000, || {
        drop(black_box(cipher.encrypt(&full.0, black_box(&full.1))))
    });
    let opening = median(9, 2_000, || {
        drop(black_box(cipher.decrypt(black_box(&sealed))))
    });
    Ok((sealing, opening))
}

/// A DTLS record (RFC 6347 §4.1) of application data, with its header beside it.
fn record(length: usize) -> anyhow::Result<(RecordLayerHeader, Vec<u8>)> {
    let header = RecordLayerHeader {
        content_type: ContentType::ApplicationData,
        protocol_version: PROTOCOL_VERSION1_2,
        epoch: 1,
        sequence_number: 1,
        content_len: u16::try_from(length)?,
    };
    let mut bytes = Vec::new();
    header.marshal(&mut bytes)?;
    bytes.resize(bytes.len() + length, 0x5a);
    Ok((header, bytes))
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
