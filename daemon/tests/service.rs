//! A service as systemd sees it: a process with a notification socket, a watchdog and signals.
//!
//! The process is this test program itself, run again for the one test `child_process`.

use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use daemon::Service;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    greeting: String,
}

/// Not a test when run with the others: only the body of the processes that they start.
#[test]
fn child_process() {
    let Some(path) = std::env::var_os("DAEMON_TEST_CONFIG") else {
        return;
    };
    let code = daemon::run_parsed("sample", |service| main(PathBuf::from(path), service));
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}

async fn main(path: PathBuf, mut service: Service) -> anyhow::Result<()> {
    let config: Config = daemon::config::load(path)?;
    let mut watchdog = service.watchdog();
    let mut shutdown = service.shutdown();
    service.spawn("loop", async move {
        loop {
            watchdog.feed();
            tokio::select! {
                () = watchdog.due() => {}
                () = shutdown.wait() => return Ok(()),
            }
        }
    });
    service.ready(&config.greeting);
    service.run().await
}

/// A process of the sample service, and the socket on which it speaks to "systemd".
struct Sample {
    child: Child,
    systemd: UnixDatagram,
    _dir: tempfile::TempDir,
}

impl Sample {
    fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (socket, file) = (dir.path().join("notify"), dir.path().join("sample.toml"));
        std::fs::write(&file, config).expect("the configuration is written");
        let systemd = UnixDatagram::bind(&socket).expect("the socket is free");
        let timeout = Some(Duration::from_secs(20));
        systemd.set_read_timeout(timeout).expect("a timeout");
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "child_process", "--nocapture"])
            .env("DAEMON_TEST_CONFIG", file)
            .env("NOTIFY_SOCKET", &socket)
            .env("WATCHDOG_USEC", "300000")
            .stderr(Stdio::piped())
            .spawn()
            .expect("this program runs");
        Self {
            child,
            systemd,
            _dir: dir,
        }
    }

    /// Reads notifications until one holds the text.
    fn await_notice(&self, text: &str) -> String {
        let mut buffer = [0; 4096];
        loop {
            let size = self.systemd.recv(&mut buffer).expect(text);
            let notice = String::from_utf8_lossy(&buffer[..size]).into_owned();
            if notice.contains(text) {
                return notice;
            }
        }
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let kill = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(kill.is_ok_and(|status| status.success()));
    }

    fn end(self) -> (ExitStatus, String) {
        let output = self.child.wait_with_output().expect("the process ends");
        (
            output.status,
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    }
}

#[test]
fn ready_watchdog_and_stopping_reach_systemd() {
    let sample = Sample::start("greeting = \"all is well\"\n");
    assert!(
        sample
            .await_notice("READY=1")
            .contains("STATUS=all is well")
    );
    sample.await_notice("WATCHDOG=1");
    sample.await_notice("WATCHDOG=1");
    sample.signal("TERM");
    sample.await_notice("STOPPING=1");
    let (status, stderr) = sample.end();
    assert!(status.success(), "{stderr}");
    assert!(
        stderr.contains("sample INFO  ready: all is well"),
        "{stderr}"
    );
    assert!(stderr.contains("ending on SIGTERM"), "{stderr}");
}

#[test]
fn wrong_config_ends_with_its_place_in_words() {
    let sample = Sample::start("greeting = \"hello\"\nvolume = 11\n");
    sample.await_notice("STATUS=");
    let (status, stderr) = sample.end();
    assert!(!status.success());
    assert!(
        stderr.contains("sample.toml:2:1: unknown field `volume`"),
        "{stderr}"
    );
    assert!(stderr.ends_with("\n  volume = 11\n  ^\n"), "{stderr}");
}
