//! `/metrics`, for Prometheus: a sheet of figures, filled anew whenever somebody asks, on an address of its own.
//!
//! Text of OpenMetrics 1.0, written by `prometheus-client`. Nothing is counted here: services keep their own counts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use log::{debug, info, warn};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::{MetricType, TypedMetric};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Deserializer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::Shutdown;

/// Bytes of a request's head. Guess: Prometheus sends 400.
const HEAD_BYTES: usize = 8 * 1024;
/// Time one visit may take in all. Guess.
const VISIT_LIMIT: Duration = Duration::from_secs(5);
/// Visits at once. Guess: one Prometheus, and somebody with curl.
const VISITS: usize = 4;

/// Where figures are served: an address, or nowhere. In a file: `metrics = "127.0.0.1:9461"`, or `"off"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub Option<SocketAddr>);

impl Address {
    /// That port, for this machine alone.
    pub const fn loopback(port: u16) -> Self {
        Self(Some(SocketAddr::new(
            std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
            port,
        )))
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        if text == "off" {
            return Ok(Self(None));
        }
        let wrong = |_| {
            let words =
                format!("metrics is {text:?}, but must be like \"127.0.0.1:9461\", or \"off\"");
            serde::de::Error::custom(words)
        };
        text.parse().map(Some).map(Self).map_err(wrong)
    }
}

type Labels = Vec<(&'static str, String)>;

/// Figures by name, each with its labels.
#[derive(Debug, Default)]
pub struct Sheet {
    registry: Registry,
    gauges: BTreeMap<&'static str, Family<Labels, Gauge<f64, AtomicU64>>>,
    counters: BTreeMap<&'static str, Family<Labels, Counter<f64, AtomicU64>>>,
    histograms: BTreeMap<&'static str, Family<Labels, Tally>>,
}

impl Sheet {
    /// How much there is of something now.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        let registry = &mut self.registry;
        let family = self.gauges.entry(name).or_insert_with(|| {
            let family = Family::default();
            registry.register(name, help.trim_end_matches('.'), family.clone());
            family
        });
        family.get_or_create(&owned(labels)).set(value);
    }

    /// How much there was of it in all, up to now. The name is without the `_total` that is shown.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        let registry = &mut self.registry;
        let family = self.counters.entry(name).or_insert_with(|| {
            let family = Family::default();
            registry.register(name, help.trim_end_matches('.'), family.clone());
            family
        });
        family.get_or_create(&owned(labels)).inc_by(value);
    }

    /// How much there is of something now, or was in all up to now if it `counts`.
    pub fn figure(
        &mut self,
        counts: bool,
        name: &'static str,
        help: &str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        match counts {
            true => self.counter(name, help, labels, value),
            false => self.gauge(name, help, labels, value),
        }
    }

    /// How often a value was within which bounds.
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &str,
        labels: &[(&'static str, &str)],
        tally: Tally,
    ) {
        let registry = &mut self.registry;
        let family = self.histograms.entry(name).or_insert_with(|| {
            let family = Family::new_with_constructor(Tally::default as fn() -> Tally);
            registry.register(name, help.trim_end_matches('.'), family.clone());
            family
        });
        family.get_or_create(&owned(labels)).set(tally);
    }

    fn text(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail.
        let _ = encode(&mut text, &self.registry);
        text
    }
}

fn owned(labels: &[(&'static str, &str)]) -> Labels {
    labels
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect()
}

/// A histogram that was counted elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    inner: Arc<std::sync::Mutex<Counts>>,
}

#[derive(Debug, Clone, Default)]
struct Counts {
    sum: f64,
    /// Upper bound, and how many values were within it and above the one before.
    classes: Vec<(f64, u64)>,
}

impl Tally {
    /// Of values that sum up to `sum`; each class with its upper bound, the last one's is infinite.
    pub fn new(sum: f64, classes: impl IntoIterator<Item = (f64, u64)>) -> Self {
        let classes = classes.into_iter().collect();
        Self {
            inner: Arc::new(std::sync::Mutex::new(Counts { sum, classes })),
        }
    }

    fn set(&self, to: Self) {
        let counts = to.counts();
        *self
            .inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = counts;
    }

    fn counts(&self) -> Counts {
        let counts = self.inner.lock();
        counts
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl TypedMetric for Tally {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Tally {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), std::fmt::Error> {
        let Counts { sum, classes } = self.counts();
        let count = classes.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<Labels>(sum, count, &classes, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}

/// Serves what `fill` writes until the service ends. A port that is taken is said, and is no reason to do without the
/// service: whoever needs the figures misses them soon enough.
pub async fn serve<F, Fut>(address: Address, mut shutdown: Shutdown, fill: F) -> anyhow::Result<()>
where
    F: Fn() -> Fut + Clone + Send + 'static,
    Fut: Future<Output = Sheet> + Send,
{
    let Some(address) = address.0 else {
        shutdown.wait().await;
        return Ok(());
    };
    let listener = match TcpListener::bind(address).await {
        Ok(listener) => listener,
        Err(error) => {
            warn!(
                "no metrics: cannot listen on {address} ({error}); name another address as metrics, or \"off\""
            );
            shutdown.wait().await;
            return Ok(());
        }
    };
    info!(
        "metrics on http://{}/metrics",
        listener.local_addr().unwrap_or(address)
    );
    let room = Arc::new(Semaphore::new(VISITS));
    loop {
        tokio::select! {
            () = shutdown.wait() => return Ok(()),
            accepted = listener.accept() => match (accepted, room.clone().try_acquire_owned()) {
                (Ok((stream, _)), Ok(permit)) => {
                    let fill = fill.clone();
                    tokio::spawn(async move {
                        let visit = tokio::time::timeout(VISIT_LIMIT, receive(stream, fill)).await;
                        if let Ok(Err(error)) = visit {
                            debug!("a visitor of the metrics went away: {error}");
                        }
                        drop(permit);
                    });
                }
                (Ok(_), Err(_)) => {} // too many: it may come again
                // Out of files, say: a moment until there is one again.
                (Err(_), _) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

async fn receive<F, Fut>(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    fill: F,
) -> std::io::Result<()>
where
    F: Fn() -> Fut,
    Fut: Future<Output = Sheet>,
{
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > HEAD_BYTES || stream.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let answer = match line {
        b"GET /metrics HTTP/1.1" | b"GET /metrics HTTP/1.0" => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            answer("200 OK", kind, &fill().await.text())
        }
        _ => answer(
            "404 Not Found",
            "text/plain",
            "only GET /metrics is answered here\n",
        ),
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn answer(status: &str, kind: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[test]
    fn a_sheet_is_written_as_prometheus_reads_it() {
        let mut sheet = Sheet::default();
        for (stream, viewers) in [("garden", 3.0), ("do\"or", 0.0)] {
            sheet.gauge("viewers", "Who watches.", &[("stream", stream)], viewers);
        }
        sheet.counter("stalls", "Stalls.", &[], 7.0);
        let tally = Tally::new(1.25, [(0.3, 2), (0.5, 1), (f64::INFINITY, 1)]);
        sheet.histogram("latency_seconds", "Capture to picture.", &[], tally);
        let text = sheet.text();
        for line in [
            "# HELP viewers Who watches.",
            "# TYPE viewers gauge",
            "viewers{stream=\"garden\"} 3.0",
            "viewers{stream=\"do\\\"or\"} 0.0",
            "stalls_total 7.0",
            "latency_seconds_bucket{le=\"0.3\"} 2",
            "latency_seconds_bucket{le=\"0.5\"} 3",
            "latency_seconds_bucket{le=\"+Inf\"} 4",
            "latency_seconds_count 4",
            "latency_seconds_sum 1.25",
            "# EOF",
        ] {
            assert!(text.lines().any(|l| l == line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn an_address_is_an_address_or_off() {
        #[derive(Deserialize)]
        struct Config {
            metrics: Address,
        }
        let read = |text: &str| toml::from_str::<Config>(text).map(|config| config.metrics);
        assert_eq!(
            read("metrics = \"127.0.0.1:9461\"").expect("valid"),
            Address::loopback(9461)
        );
        assert_eq!(read("metrics = \"off\"").expect("valid"), Address(None));
        let error = read("metrics = \"9461\"")
            .expect_err("no address")
            .to_string();
        assert!(error.contains("or \"off\""), "{error}");
    }

    #[tokio::test]
    async fn whoever_asks_for_metrics_gets_them_and_for_anything_else_words() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("one");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fill = async || {
                    let mut sheet = Sheet::default();
                    sheet.gauge("here", "Here.", &[], 1.0);
                    sheet
                };
                receive(stream, fill).await.expect("it reads to the end");
            }
        });
        let ask = async |line: &str| {
            let mut stream = TcpStream::connect(address).await.expect("it listens");
            let request = format!("{line}\r\nHost: x\r\n\r\n");
            stream
                .write_all(request.as_bytes())
                .await
                .expect("it reads");
            let mut answer = String::new();
            stream
                .read_to_string(&mut answer)
                .await
                .expect("it answers");
            answer
        };
        let figures = ask("GET /metrics HTTP/1.1").await;
        assert!(
            figures.contains("200 OK") && figures.contains("here 1.0"),
            "{figures}"
        );
        assert!(ask("GET / HTTP/1.1").await.contains("404 Not Found"));
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_to_the_metrics_is_answered_in_bounds_or_hung_up_on(
            line in "GET /metrics HTTP/1\\.[01]|.{0,40}",
            pieces in proptest::collection::vec(proptest::collection::vec(0_u8..=255, 0..3_000), 0..4),
            ends in proptest::bool::ANY,
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let answer = runtime.block_on(async {
                let (mut visitor, service) = tokio::io::duplex(1_000);
                let sheet = async || Sheet::default();
                let visit = tokio::spawn(async move { receive(service, sheet).await });
                let end = if ends { "\r\n\r\n" } else { "" };
                let (mut reads, mut writes) = tokio::io::split(&mut visitor);
                let asks = async {
                    let pieces = pieces.iter().map(Vec::as_slice);
                    for piece in [line.as_bytes(), b"\r\n"].into_iter().chain(pieces).chain([end.as_bytes()]) {
                        if writes.write_all(piece).await.is_err() {
                            return; // it has hung up
                        }
                    }
                    let _ = writes.shutdown().await;
                };
                let mut answer = Vec::new();
                let (_, read) = tokio::join!(asks, reads.read_to_end(&mut answer));
                read.expect("it is heard to the end");
                let _ = visit.await.expect("no panic"); // an error is the visitor's
                answer
            });
            let asked = line.starts_with("GET /metrics HTTP/1.");
            let figures = answer.starts_with(b"HTTP/1.1 200 OK\r\n");
            proptest::prop_assert!(!figures || asked);
            proptest::prop_assert!(figures || answer.is_empty() || answer.starts_with(b"HTTP/1.1 404 Not Found\r\n"));
            proptest::prop_assert!(!ends || pieces.concat().len() > 1_000 || !answer.is_empty());
        }
    }
}
