//! Logging: to the journal with its fields when systemd started us, else to stderr for a reader.
//!
//! Levels come from `OWNSTREAM_LOG`, else `RUST_LOG` (`debug`, or `info,peer=trace`). The words of
//! the levels: error, a person must act; warn, degraded and recovering; info, life cycle; debug,
//! per link; trace, per chunk. Keys, nonces and tokens are never logged, at any level.

use std::fmt::{self, Write as _};
use std::io::{IsTerminal, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use env_filter::Filter;
use log::kv::{self, Key, Value, VisitSource};
use log::{Level, Log, Metadata, Record};
use systemd_journal_logger::{JournalLog, connected_to_journal};

use crate::limit::{Limit, Talker};

/// Ours at info; the WebRTC stack only its errors, because it warns of every peer that leaves.
const DEFAULT_LEVELS: &str = "info,webrtc=error,rtc=error";

/// Starts logging under a service's name. To be called once, before anything else.
pub fn init(service: &'static str) -> anyhow::Result<()> {
    let filter = filter(&levels())?;
    let sink = Sink::new(service).context("opening the journal")?;
    log::set_max_level(filter.filter());
    let logger = Logger {
        filter,
        sink,
        limit: Mutex::default(),
    };
    log::set_boxed_logger(Box::new(logger)).context("logging was started twice")
}

fn levels() -> String {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    variable("OWNSTREAM_LOG")
        .or_else(|| variable("RUST_LOG"))
        .unwrap_or_else(|| DEFAULT_LEVELS.to_owned())
}

fn filter(levels: &str) -> anyhow::Result<Filter> {
    let mut builder = env_filter::Builder::new();
    builder
        .try_parse(levels)
        .with_context(|| format!("log levels \"{levels}\" (OWNSTREAM_LOG or RUST_LOG)"))?;
    Ok(builder.build())
}

struct Logger {
    filter: Filter,
    sink: Sink,
    limit: Mutex<Limit>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.filter.matches(record) {
            return;
        }
        // Whoever asks for debug wants every line.
        let admitted = record.level() > Level::Info || self.admit(record);
        if admitted {
            self.sink.write(record);
        }
    }

    fn flush(&self) {}
}

impl Logger {
    fn admit(&self, record: &Record<'_>) -> bool {
        let now = Instant::now();
        let mut limit = self.limit.lock().unwrap_or_else(PoisonError::into_inner);
        let overdue = limit.overdue(now);
        let admitted = limit.admit(talker(record), now);
        drop(limit);
        for (talker, held) in overdue {
            self.sink.held_back(&talker, held);
        }
        admitted
    }
}

/// With whose lines it is counted.
fn talker(record: &Record<'_>) -> Talker {
    let text = |key: &str| {
        record
            .key_values()
            .get(Key::from(key))
            .map(|v| v.to_string())
    };
    let event = text("event");
    let whom = event
        .as_ref()
        .and_then(|_| text("peer").or_else(|| text("stream")));
    Talker {
        site: (record.file().map(str::to_owned), record.line()),
        event,
        whom,
    }
}

enum Sink {
    Journal(JournalLog),
    Stderr {
        service: &'static str,
        colours: bool,
    },
}

impl Sink {
    fn new(service: &'static str) -> std::io::Result<Self> {
        if connected_to_journal() {
            let journal = JournalLog::empty()?.with_syslog_identifier(service.to_owned());
            return Ok(Self::Journal(journal));
        }
        let colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Ok(Self::Stderr { service, colours })
    }

    fn write(&self, record: &Record<'_>) {
        match self {
            Self::Journal(journal) => journal.log(record),
            Self::Stderr { service, colours } => {
                let line = line(service, *colours, SystemTime::now(), record);
                // Nobody can be told that stderr is gone.
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
        }
    }

    fn held_back(&self, talker: &Talker, count: u32) {
        let (file, line) = &talker.site;
        let file = file.as_deref().unwrap_or("?");
        let about = match (&talker.event, &talker.whom) {
            (None, _) => String::new(),
            (Some(event), None) => format!(" ({event})"),
            (Some(event), Some(whom)) => format!(" ({event}, of {whom})"),
        };
        self.write(
            &Record::builder()
                .level(Level::Warn)
                .target(module_path!())
                .file(Some(file))
                .line(*line)
                .args(format_args!(
                    "{count} more lines like those from {file}:{}{about} were not shown",
                    line.unwrap_or_default()
                ))
                .build(),
        );
    }
}

fn line(service: &str, colours: bool, time: SystemTime, record: &Record<'_>) -> String {
    let (on, off) = if colours {
        (colour(record.level()), "\x1b[0m")
    } else {
        ("", "")
    };
    let mut line = format!("{} {service} {on}{:<5}{off} ", clock(time), record.level());
    if record.level() > Level::Info {
        let _ = write!(line, "{}: ", record.target()); // writing to a String cannot fail
    }
    let mut plain = Plain(&mut line);
    let _ = write!(plain, "{}", record.args());
    let _ = record.key_values().visit(&mut KeyValues(plain)); // nor can this
    line.push('\n');
    line
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::Error => "\x1b[31m",
        Level::Warn => "\x1b[33m",
        Level::Info => "\x1b[32m",
        Level::Debug | Level::Trace => "\x1b[2m",
    }
}

/// The time of day in UTC, to the millisecond.
fn clock(time: SystemTime) -> String {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs() % 86_400;
    format!(
        "{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        since.subsec_millis()
    )
}

/// Strangers' words are among what is logged: they get no line of their own, and no say over the terminal.
struct Plain<'a>(&'a mut String);

impl fmt::Write for Plain<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c.is_control() {
                self.0.extend(c.escape_default());
            } else {
                self.0.push(c);
            }
        }
        Ok(())
    }
}

struct KeyValues<'a>(Plain<'a>);

impl<'kvs> VisitSource<'kvs> for KeyValues<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), kv::Error> {
        let _ = write!(self.0, " {key}={value}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn at_noon(record: &Record<'_>) -> String {
        let noon = UNIX_EPOCH + Duration::from_millis(12 * 3_600_000 + 34_567);
        line("relay", false, noon, record)
    }

    #[test]
    fn line_has_time_name_level_and_key_values() {
        let pairs: &[(&str, u32)] = &[("peer", 7), ("depth", 2)];
        let record = Record::builder()
            .level(Level::Info)
            .target("edge_relay::relay")
            .args(format_args!("linked to parent"))
            .key_values(&pairs)
            .build();
        let expected = "12:00:34.567Z relay INFO  linked to parent peer=7 depth=2\n";
        assert_eq!(at_noon(&record), expected);
    }

    #[test]
    fn a_strangers_words_stay_in_their_line() {
        let line = at_noon(
            &Record::builder()
                .level(Level::Info)
                .args(format_args!("bad: \"\n12:00 relay ERROR \u{1b}[31m\""))
                .build(),
        );
        assert!(line.ends_with("ERROR \\u{1b}[31m\"\n"), "{line}");
        assert_eq!(line.lines().count(), 1);
    }

    #[test]
    fn debug_lines_name_their_module() {
        let record = Record::builder()
            .level(Level::Debug)
            .target("peer::node")
            .args(format_args!("tick"))
            .build();
        assert_eq!(
            at_noon(&record),
            "12:00:34.567Z relay DEBUG peer::node: tick\n"
        );
    }

    #[test]
    fn default_levels_quiet_the_webrtc_stack_only() {
        let filter = filter(DEFAULT_LEVELS).expect("the default is right");
        let enabled = |target, level| {
            filter.enabled(&Metadata::builder().target(target).level(level).build())
        };
        assert!(enabled("edge_relay", Level::Info));
        assert!(!enabled("edge_relay", Level::Debug));
        assert!(!enabled("webrtc::peer_connection", Level::Warn));
        assert!(enabled("rtc_sctp", Level::Error));
    }

    #[test]
    fn lines_about_somebody_are_counted_by_what_happened_and_to_whom() {
        let of = |pairs: &[(&str, &str)]| {
            let record = Record::builder().line(Some(7)).key_values(&pairs).build();
            let Talker { site, event, whom } = talker(&record);
            assert_eq!(site, (None, Some(7)));
            (event, whom)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(
            of(&[("peer", "a"), ("stream", "s"), ("event", "joined")]),
            (some("joined"), some("a"))
        );
        assert_eq!(
            of(&[("stream", "s"), ("event", "on-air")]),
            (some("on-air"), some("s"))
        );
        assert_eq!(of(&[("event", "refused")]), (some("refused"), None));
        assert_eq!(of(&[("peer", "a")]), (None, None));
    }

    #[test]
    fn wrong_levels_are_named() {
        let error = filter("peer=loud").expect_err("loud is no level");
        assert!(format!("{error:#}").contains("OWNSTREAM_LOG"), "{error:#}");
    }
}
