//! What the broadcaster does when it is not asked to check or dump: one peer, one task a stream.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use daemon::Service;
use daemon::metrics::Sheet;
use log::{error, info, warn};
use peer::board::Board;
use peer::identity::{self, Identity, LinkChoice};
use peer::keystore;
use peer::signalling::Supervisor;
use protocol::id::StreamId;
use protocol::node::Event;
use protocol::security::secret::Seed;
use protocol::signal::{Component, MAX_ENCODINGS};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::broadcast::{Broadcast, Verdict};
use crate::clock::Clock;
use crate::config::Config;
use crate::tally::{Lost, Tally};

/// Verdicts of the supervisor that may wait for a stream's task.
const VERDICTS: usize = 8;

/// Sends all streams of `config` until the service is told to stop, or the last stream is over.
pub async fn send(mut service: Service, mut config: Config) -> anyhow::Result<()> {
    if config.join_token.is_none() {
        config.join_token = daemon::credential("join-token")?;
    }
    let clock = Clock::start();
    let names = config.streams.iter().map(|s| s.name.as_str());
    let ids = stream_ids(&config.state_dir, names).context("reading the streams' identities")?;
    let signing = keystore::seed(
        &config.state_dir.join("signing.key"),
        Seed::from_bytes(rand::random()),
    )
    .context("reading the key that signs the streams")?;
    let (node, news) = identity::start(
        who(&config, signing.clone()),
        Supervisor {
            url: config.supervisor.clone(),
            certificate: config.supervisor_certificate,
        },
        peer::Clock::new(),
    )
    .context("starting the broadcaster")?;
    let board = Board::here(&config.state_dir);
    let encoded: Arc<[Encoded]> = config
        .streams
        .iter()
        .map(|stream| Encoded {
            id: ids[&stream.name],
            name: stream.name.clone(),
            target_kbps: stream.video.bitrate_kbps,
            tally: Tally::default(),
        })
        .collect();
    let (peer, at, of) = (node.clone(), board.clone(), encoded.clone());
    let sheet = move || figures(peer.clone(), at.clone(), of.clone());
    service.spawn(
        "metrics",
        daemon::metrics::serve(config.metrics, service.shutdown(), sheet),
    );
    let of = encoded.clone();
    tokio::spawn(board.keep_telling(node.clone(), move |health| {
        let all = of.iter().map(|of| of.tally.encoding(&of.name));
        health.encodings = all.take(MAX_ENCODINGS).collect();
    }));
    let (mut to_streams, mut streams) = (BTreeMap::new(), JoinSet::new());
    for (stream, of) in config.streams.into_iter().zip(&*encoded) {
        let (to, verdicts) = mpsc::channel(VERDICTS);
        let id = ids[&stream.name];
        to_streams.insert(id, to);
        let watchdog = service.watchdog();
        let broadcast = Broadcast {
            stream: id,
            config: stream,
            clock,
            node: node.clone(),
            verdicts,
            signing: signing.clone(),
            key: None,
            tally: of.tally.clone(),
            watchdog,
        };
        streams.spawn(broadcast.run(service.shutdown()));
    }
    service.spawn("streams", all(streams));
    let mut shutdown = service.shutdown();
    service.spawn("peer", async move {
        tokio::select! {
            biased; // what ends with the service is no failure
            () = shutdown.wait() => {}
            () = tell(news, to_streams) => anyhow::bail!("the peer's task has ended"),
        }
        node.end().await; // that the last stream is over may still have to be said
        Ok(())
    });
    service.ready("streams begin when the supervisor takes them");
    service.run().await
}

/// A stream, and what its encoding comes to.
struct Encoded {
    id: StreamId,
    name: String,
    target_kbps: u32,
    tally: Tally,
}

/// What `/metrics` shows.
async fn figures(node: peer::Handle, board: Board, encoded: Arc<[Encoded]>) -> Sheet {
    let mut sheet = Sheet::default();
    for figure in peer::figures::gather(&node, board).await {
        let (counts, value) = (figure.counts, figure.value);
        sheet.figure(counts, figure.name, figure.help, &figure.labels(), value);
    }
    for of in &*encoded {
        of.add_to(&mut sheet);
    }
    sheet
}

impl Encoded {
    fn add_to(&self, sheet: &mut Sheet) {
        let (id, tally) = (self.id.to_string(), &self.tally);
        let of = [("stream", id.as_str())];
        sheet.gauge(
            "ownstream_stream_epoch",
            "The stream's epoch: a higher one is a source or an encoder that began anew",
            &of,
            tally.epoch().into(),
        );
        if let Some(away) = tally.camera_away() {
            let help = "Whether viewers see a slate in place of the camera";
            sheet.gauge("ownstream_camera_away", help, &of, u8::from(away).into());
        }
        let Some((encoder, codec)) = tally.encoder() else {
            return;
        };
        let labels = [of[0], ("encoder", encoder), ("codec", codec)];
        let help = "The encoder at work; always 1";
        sheet.gauge("ownstream_encoder_info", help, &labels, 1.0);
        sheet.gauge(
            "ownstream_encoder_target_bits_per_second",
            "The bit rate that is asked of the encoder",
            &of,
            f64::from(self.target_kbps) * 1_000.0,
        );
        let count =
            |sheet: &mut Sheet, name, help, value: f64| sheet.counter(name, help, &of, value);
        let (pictures, bytes) = (tally.pictures() as f64, tally.bytes() as f64);
        count(
            sheet,
            "ownstream_encoder_frames",
            "Pictures that were encoded",
            pictures,
        );
        count(
            sheet,
            "ownstream_encoder_bytes",
            "Bytes of encoded pictures",
            bytes,
        );
        count(
            sheet,
            "ownstream_encoder_busy_seconds",
            "Time that the encoder was at work on pictures; of hardware, which takes several at once, less than it was",
            tally.busy().as_secs_f64(),
        );
        for why in Lost::ALL {
            sheet.counter(
                "ownstream_encoder_dropped_frames",
                "Pictures lost before the encoder, because it was behind or the board is too slow for all, or behind it, unsent",
                &[of[0], ("reason", why.name())],
                tally.losses(why) as f64,
            );
        }
    }
}

fn who(config: &Config, signing: Seed) -> Identity {
    Identity {
        component: Component::Broadcaster,
        name: None,
        uplink_kbps: config.uplink_kbps,
        relays: true,
        signing: Some(signing),
        join_token: config.join_token.clone(),
        suites: config.suites.clone(),
        rsa_bits: config.rsa_bits,
        threshold: 1.0,
        state_dir: config.state_dir.clone(),
        udp_port: config.udp_port,
        udp_address: config.udp_address,
        loopback: config.loopback,
        software: concat!("edge-broadcaster ", env!("CARGO_PKG_VERSION")).into(),
        links: LinkChoice::default(),
    }
}

/// The streams' ids, kept by name so that a stream stays the same from run to run.
fn stream_ids<'a>(
    state_dir: &Path,
    names: impl Iterator<Item = &'a str>,
) -> anyhow::Result<BTreeMap<String, StreamId>> {
    let path = state_dir.join("streams.toml");
    let kept = keystore::load(&path)?.unwrap_or_default();
    let mut ids: BTreeMap<String, StreamId> = toml::from_str(&kept)
        .with_context(|| format!("{} is damaged: remove it", path.display()))?;
    let before = ids.len();
    for name in names {
        ids.entry(name.to_owned())
            .or_insert_with(|| StreamId::from_bytes(rand::random()));
    }
    if ids.len() > before {
        keystore::save(
            &path,
            &toml::to_string(&ids).context("writing the streams' identities")?,
        )?;
    }
    Ok(ids)
}

/// Waits until the last stream is over. One that cannot go on leaves the others alone; what stopped it is the
/// outcome when all have ended.
async fn all(mut streams: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    let mut outcome = Ok(());
    while let Some(ended) = streams.join_next().await {
        if let Err(reason) = ended.context("a stream's task panicked")? {
            if !streams.is_empty() {
                error!("{reason:#}; the other streams go on");
            }
            outcome = outcome.and(Err(reason));
        }
    }
    outcome
}

/// Passes the supervisor's verdicts to the streams, and what else happens to the log.
async fn tell(mut news: mpsc::Receiver<Event>, streams: BTreeMap<StreamId, mpsc::Sender<Verdict>>) {
    while let Some(event) = news.recv().await {
        let (stream, verdict) = match event {
            Event::Registered(stream, epoch, grant) => (stream, Verdict::Epoch(epoch, grant)),
            Event::StreamKey(stream, id, key) => (stream, Verdict::Key(id, key)),
            Event::StreamRefused(stream, _, words) => (stream, Verdict::Refused(words)),
            Event::Ended(stream) => (stream, Verdict::Ended),
            Event::Accepted => {
                info!(event = "accepted"; "the supervisor took this broadcaster in");
                continue;
            }
            Event::Refused(_, words) => {
                warn!(event = "refused"; "the supervisor refuses this broadcaster: {words}");
                continue;
            }
            Event::LinkLost(peer, reason) => {
                info!(peer:% = peer, event = "link-lost"; "link lost: {reason}");
                continue;
            }
            _ => continue,
        };
        if let Some(to) = streams.get(&stream) {
            let _ = to.send(verdict).await; // its task may be over
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_keeps_its_id_from_run_to_run_and_a_new_one_gets_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let ids = |names: &[&str]| stream_ids(folder.path(), names.iter().copied()).expect("ids");
        let first = ids(&["garden"]);
        let second = ids(&["garden", "door"]);
        assert_eq!(first["garden"], second["garden"]);
        assert_ne!(second["garden"], second["door"]);
    }
}
