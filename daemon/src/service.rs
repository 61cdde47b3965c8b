//! The life of a service: it starts, says that it is ready, and ends as a whole.
//!
//! SIGTERM, SIGINT and the end of any of its tasks are one and the same event, [`Shutdown`]. A
//! service that lives on with a part of it dead is absent: systemd starts the whole again.

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use log::{error, info, warn};
use sd_notify::NotifyState;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};

use crate::config::ConfigError;
use crate::watchdog::{Kennel, Watchdog};

/// How long the tasks may take to end by themselves [guess: time to tell every peer goodbye;
/// well below the units' `TimeoutStopSec`].
const GRACE: Duration = Duration::from_secs(3);

/// `EX_CONFIG` of sysexits.h: the units have `RestartPreventExitStatus=78`.
const EXIT_CONFIG: u8 = 78;

/// What a running service has in hand.
pub struct Service {
    tasks: JoinSet<(&'static str, anyhow::Result<()>)>,
    stop: watch::Sender<bool>,
    kennel: Kennel,
}

/// Comes true when the service is to end. Clones wait for the same moment.
#[derive(Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Runs a service from its first line to its exit code: logging, the tokio runtime, signals, and
/// the words about why it ended. The command line is one configuration file, read with
/// [`crate::config::from_args`]; `--help` answers with `about`, too.
pub fn run<F, Fut>(name: &'static str, about: &str, main: F) -> ExitCode
where
    F: FnOnce(Service) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    if let Some(answer) = answer(name, about, std::env::args().skip(1)) {
        println!("{answer}");
        return ExitCode::SUCCESS;
    }
    run_parsed(name, main)
}

/// [`run`] for a program that has read its command line itself.
pub fn run_parsed<F, Fut>(name: &'static str, main: F) -> ExitCode
where
    F: FnOnce(Service) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    if let Err(error) = crate::logging::init(name) {
        eprintln!("{name}: {error:#}");
        return ExitCode::FAILURE;
    }
    let result = on_runtime(main);
    if let Err(error) = &result {
        let words = format!("{error:#}");
        match words.split_once('\n') {
            // The line of a configuration, and a mark below the place: nobody else's words, so they may have lines.
            Some((first, rest)) if error.is::<ConfigError>() => {
                error!("{first}");
                eprintln!("{rest}");
            }
            _ => error!("{words}"),
        }
        notify(&[NotifyState::Status(&words.replace('\n', " "))]);
    }
    exit_code(&result)
}

fn answer(name: &str, about: &str, mut args: impl Iterator<Item = String>) -> Option<String> {
    match args.next()?.as_str() {
        "--version" | "-V" => Some(format!("{name} {}", env!("CARGO_PKG_VERSION"))),
        "--help" | "-h" => Some(format!(
            "{about}\n\nUsage: {name} CONFIG.toml\n\nOWNSTREAM_LOG=debug in the environment shows more."
        )),
        _ => None,
    }
}

fn on_runtime<F, Fut>(main: F) -> anyhow::Result<()>
where
    F: FnOnce(Service) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("starting the async runtime")?;
    let result = runtime.block_on(async {
        let service = Service::new()?;
        let late = service.shutdown().and_then_grace();
        tokio::select! {
            result = main(service) => result,
            // Its own end did not come: a main that is stuck, or never listened.
            () = late => Err(anyhow!("did not end within {GRACE:?} of being told to")),
        }
    });
    // A thread that waits for a device must not keep the process alive.
    runtime.shutdown_timeout(Duration::from_secs(1));
    result
}

fn exit_code(result: &anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref::<ConfigError>().is_some() => EXIT_CONFIG.into(),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Tells systemd, when there is one. That nobody listens is no failure of ours.
fn notify(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        warn!(error:% = error; "cannot tell systemd");
    }
}

impl Service {
    fn new() -> anyhow::Result<Self> {
        let stop = watch::Sender::new(false);
        let signals = Signals::new().context("listening for SIGTERM and SIGINT")?;
        tokio::spawn(signals.watch(stop.clone()));
        let limit = sd_notify::watchdog_enabled();
        Ok(Self {
            tasks: JoinSet::new(),
            stop,
            kennel: Kennel::new(limit, || notify(&[NotifyState::Watchdog])),
        })
    }

    /// Starts a task that the service cannot do without: its end is the service's end.
    pub fn spawn<F>(&mut self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.spawn(async move { (name, task.await) });
    }

    /// The moment at which the service is to end.
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.stop.subscribe())
    }

    /// A watchdog's handle for one more loop that matters.
    #[must_use]
    pub fn watchdog(&self) -> Watchdog {
        self.kennel.watchdog()
    }

    /// Says that the service is up. The status shows in `systemctl status`.
    pub fn ready(&self, status: &str) {
        info!("ready: {status}");
        notify(&[NotifyState::Ready, NotifyState::Status(status)]);
    }

    /// Waits for the end: a signal, or the first task that ends. Then all end, within a grace.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let mut shutdown = self.shutdown();
        let first = tokio::select! {
            () = shutdown.wait() => Ok(()),
            Some(ended) = self.tasks.join_next() => outcome(ended),
        };
        notify(&[NotifyState::Stopping]);
        self.stop.send_replace(true);
        if tokio::time::timeout(GRACE, self.drain()).await.is_err() {
            warn!("{} tasks did not end within {GRACE:?}", self.tasks.len());
        }
        first
    }

    /// Waits for all tasks. What fails now fails because the others end: the answer is the first's.
    async fn drain(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = outcome(ended) {
                warn!("while ending: {error:#}");
            }
        }
    }
}

fn outcome(ended: Result<(&'static str, anyhow::Result<()>), JoinError>) -> anyhow::Result<()> {
    let (name, result) = ended.map_err(panic_words)?;
    info!("{name} has ended");
    result.context(name)
}

fn panic_words(error: JoinError) -> anyhow::Error {
    let Ok(panic) = error.try_into_panic() else {
        return anyhow!("a task was cancelled");
    };
    let words = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
    anyhow!("a task panicked: {}", words.unwrap_or_default())
}

impl Shutdown {
    /// Returns when the service is to end, at once when that was earlier.
    pub async fn wait(&mut self) {
        // An error means that the service itself is gone, which is an end as well.
        let _ = self.0.wait_for(|stop| *stop).await;
    }

    /// Whether the service is to end.
    #[must_use]
    pub fn is_now(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    async fn and_then_grace(mut self) {
        self.wait().await;
        tokio::time::sleep(GRACE + Duration::from_secs(1)).await;
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn watch(mut self, stop: watch::Sender<bool>) {
        let name = tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "Ctrl-C",
        };
        info!("ending on {name}");
        stop.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service() -> Service {
        Service::new().expect("signals can be listened for")
    }

    #[tokio::test]
    async fn one_task_dies_and_all_end() {
        let mut service = service();
        let mut shutdown = service.shutdown();
        let (told, mut hears) = watch::channel(false);
        service.spawn("listener", async move {
            shutdown.wait().await;
            told.send_replace(true);
            Ok(())
        });
        service.spawn("camera", async { Err(anyhow!("no such device")) });
        let error = service.run().await.expect_err("the camera died");
        assert_eq!(format!("{error:#}"), "camera: no such device");
        assert!(
            *hears.borrow_and_update(),
            "the listener was not told to end"
        );
    }

    #[tokio::test]
    async fn panic_is_an_error_with_its_words() {
        let mut service = service();
        service.spawn("encoder", async { panic!("frame of no size") });
        let error = service.run().await.expect_err("the encoder panicked");
        assert_eq!(error.to_string(), "a task panicked: frame of no size");
    }

    #[tokio::test(start_paused = true)]
    async fn deaf_task_is_given_up() {
        let mut service = service();
        service.spawn("deaf", std::future::pending());
        service.spawn("done", async { Ok(()) });
        service
            .run()
            .await
            .expect("the end itself was in good order");
    }

    #[tokio::test]
    async fn shutdown_is_remembered() {
        let service = service();
        let mut early = service.shutdown();
        assert!(!early.is_now());
        service.stop.send_replace(true);
        early.wait().await;
        early.wait().await;
        assert!(early.is_now() && service.shutdown().is_now());
    }

    #[test]
    fn config_errors_have_their_own_exit_code() {
        let usage = ConfigError::Usage {
            program: "relay".into(),
        };
        let wrapped = Err(anyhow::Error::from(usage).context("starting"));
        assert_eq!(
            format!("{:?}", exit_code(&wrapped)),
            format!("{:?}", ExitCode::from(78))
        );
        assert_eq!(exit_code(&Ok(())), ExitCode::SUCCESS);
    }

    #[test]
    fn version_and_help_are_answered() {
        let ask = |word: &str| {
            let words = std::iter::once(word.to_owned());
            answer("edge-relay", "Passes streams on.", words)
        };
        assert!(ask("--version").is_some_and(|text| text.starts_with("edge-relay 0.")));
        let help = ask("--help").expect("help");
        assert!(help.starts_with("Passes streams on.") && help.contains("CONFIG.toml"));
        assert_eq!(ask("relay.toml"), None);
    }
}
