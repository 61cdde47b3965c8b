//! The real programs as processes of their own, on free ports, in a folder that goes with them.
//!
//! For end-to-end tests and experiments: nothing here is a stand-in. Every process is ended by its own id when
//! its handle is dropped.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::Value;

/// A broadcaster's one stream, "test": small enough for many viewers on a small machine.
pub const TEST_PICTURE: &str = r#"
[[stream]]
name = "test"
source = { kind = "test" }
video = { width = 320, height = 240, fps = 25, bitrate_kbps = 400 }
"#;
/// How long anything is waited for that must come some time. Nothing is measured by it.
pub const PATIENCE: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Makes a film of so many pictures at this rate, by GStreamer.
pub fn make_film(
    path: &Path,
    (count, rate): (u32, &str),
    encoder_and_muxer: &str,
) -> anyhow::Result<()> {
    let pipeline = format!(
        "videotestsrc num-buffers={count} ! video/x-raw,width=320,height=180,framerate={rate} ! {encoder_and_muxer} ! filesink"
    );
    let made = Command::new("gst-launch-1.0")
        .arg("-q")
        .args(pipeline.split_whitespace())
        .arg(format!("location={}", path.display()))
        .status()
        .context("running gst-launch-1.0")?;
    anyhow::ensure!(made.success(), "gst-launch-1.0 made no film");
    Ok(())
}

/// A signal, by the name people know it under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Ends at once, without a word.
    Kill,
    /// Stands still.
    Stop,
    /// Goes on.
    Continue,
    /// Asks to end, as Ctrl-C does.
    Interrupt,
    /// Asks to end, as systemd does.
    Terminate,
    /// Means what the program says it does (SIGUSR1).
    User,
}

/// A process of ours.
#[derive(Debug)]
pub struct Process {
    child: Child,
    name: String,
    log: PathBuf,
    lines: Arc<Mutex<Vec<Value>>>,
}

impl Process {
    fn start(
        program: &Path,
        name: &str,
        arguments: &[&str],
        environment: &[(&str, String)],
        folder: &Path,
    ) -> anyhow::Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let to_log = File::create(&log).context("making a log file")?;
        let mut child = Command::new(program)
            .args(arguments)
            .env("TMPDIR", folder) // what it leaves behind when it is killed goes with the stage
            .envs(environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(to_log)
            .spawn()
            .with_context(|| {
                format!(
                    "starting {} (is it built? cargo build --workspace)",
                    program.display()
                )
            })?;
        let lines = Arc::new(Mutex::new(Vec::new()));
        if let Some(stdout) = child.stdout.take() {
            let lines = lines.clone();
            thread::spawn(move || {
                let read = BufReader::new(stdout).lines().map_while(Result::ok);
                for value in read.filter_map(|line| serde_json::from_str(&line).ok()) {
                    lines
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .push(value);
                }
            });
        }
        Ok(Self {
            child,
            name: name.to_owned(),
            log,
            lines,
        })
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The JSON lines it has printed so far.
    pub fn lines(&self) -> Vec<Value> {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Its last JSON line.
    pub fn last_line(&self) -> Value {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .last()
            .cloned()
            .unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        use nix::sys::signal::{self, Signal as Unix};
        let unix = match signal {
            Signal::Kill => Unix::SIGKILL,
            Signal::Stop => Unix::SIGSTOP,
            Signal::Continue => Unix::SIGCONT,
            Signal::Interrupt => Unix::SIGINT,
            Signal::Terminate => Unix::SIGTERM,
            Signal::User => Unix::SIGUSR1,
        };
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.id()).context("a process id")?);
        signal::kill(pid, unix).with_context(|| format!("signalling {}", self.name))
    }

    /// Ends it at once, and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill(); // it may have ended by itself
        let _ = self.child.wait();
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for it to end by itself; gives whether it said that all was well.
    pub fn wait_for_end(&mut self) -> anyhow::Result<bool> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status.success());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!("{} did not end; its log:\n{}", self.name, self.log())
    }

    /// Waits until its newest JSON line is as wanted.
    pub fn wait_for_line(
        &self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            let line = self.last_line();
            if wanted(&line) {
                return Ok(line);
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!(
            "{}: never came to this: {what}; its last line: {}; its log:\n{}",
            self.name,
            self.last_line(),
            self.log()
        )
    }

    /// Waits until any of its JSON lines is as wanted.
    pub fn wait_for_any_line(
        &self,
        what: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.lines().iter().rev().any(&wanted) {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!(
            "{}: no line says this: {what}; its log:\n{}",
            self.name,
            self.log()
        )
    }

    /// Processor time it has used, seconds, in steps of 10 ms.
    pub fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // After the name, which may hold spaces: user time is the 12th word, system time the 13th.
        let words = stat
            .rsplit(')')
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(11)
            .take(2);
        words
            .filter_map(|word| word.parse::<f64>().ok())
            .sum::<f64>()
            / 100.0
    }

    /// Waits until its log says this.
    pub fn wait_for_log(&self, words: &str) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until {
            if self.log().contains(words) {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
        bail!(
            "{} never said {words:?}; its log:\n{}",
            self.name,
            self.log()
        )
    }

    /// Memory it has in RAM, KiB.
    pub fn resident_kib(&self) -> u64 {
        self.memory_kib("VmRSS:")
    }

    /// What of that it made itself, without the parts of its program that were read from the file, KiB.
    pub fn own_kib(&self) -> u64 {
        self.memory_kib("RssAnon:")
    }

    fn memory_kib(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok())
            .unwrap_or(0)
    }

    /// File descriptors it has open.
    pub fn descriptors(&self) -> usize {
        self.open_files().len()
    }

    /// What they are.
    pub fn open_files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(format!("/proc/{}/fd", self.id()));
        let entries = entries.into_iter().flatten().flatten();
        entries
            .map(|entry| fs::read_link(entry.path()).unwrap_or_default())
            .collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
        // A task of its own may panic while the program goes on.
        let panicked = self.log().contains("panicked at");
        if panicked && cfg!(debug_assertions) && !thread::panicking() {
            panic!("{} panicked:\n{}", self.name, self.log());
        } else if panicked {
            eprintln!("{} panicked:\n{}", self.name, self.log()); // what is measured goes on
        }
    }
}

/// A folder and a port for one supervisor and whoever talks to it.
#[derive(Debug)]
pub struct Stage {
    folder: PathBuf,
    programs: PathBuf,
    port: u16,
    guard: Guard,
    /// How long a peer's certificate is good, seconds, if not as long as by default.
    certificate_lifetime_s: Option<u32>,
    /// More of the supervisor's configuration, as TOML before its tables.
    supervisor_lines: String,
    /// The supervisor's certificate on a guarded stage, once it runs: its fingerprint.
    certificate: OnceLock<String>,
}

/// How the supervisor is approached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Guard {
    /// Plain sockets, elliptic keys: what costs least.
    Light,
    /// Plain sockets, and RSA alone.
    Rsa,
    /// TLS with a certificate that the supervisor made itself, and RSA alone.
    TlsAndRsa,
}

static STAGES: AtomicU32 = AtomicU32::new(0);

impl Stage {
    /// An empty stage.
    pub fn new() -> anyhow::Result<Self> {
        Self::with(Guard::Light)
    }

    /// An empty stage whose supervisor speaks TLS, with a certificate that it made itself, and takes RSA keys alone.
    pub fn guarded() -> anyhow::Result<Self> {
        Self::with(Guard::TlsAndRsa)
    }

    /// An empty stage whose supervisor takes RSA keys alone.
    pub fn with_rsa() -> anyhow::Result<Self> {
        Self::with(Guard::Rsa)
    }

    /// An empty stage whose supervisor certifies peers for so many seconds only.
    pub fn with_certificates_of(seconds: u32) -> anyhow::Result<Self> {
        let mut stage = Self::with(Guard::Light)?;
        stage.certificate_lifetime_s = Some(seconds);
        Ok(stage)
    }

    /// An empty stage with more of the supervisor's configuration, as TOML that comes before its tables.
    pub fn with_supervisor(lines: &str) -> anyhow::Result<Self> {
        let mut stage = Self::with(Guard::Light)?;
        stage.supervisor_lines = lines.to_owned();
        Ok(stage)
    }

    fn with(guard: Guard) -> anyhow::Result<Self> {
        let number = STAGES.fetch_add(1, Ordering::Relaxed);
        let folder =
            std::env::temp_dir().join(format!("ownstream-stage-{}-{number}", std::process::id()));
        let _ = fs::remove_dir_all(&folder); // of an earlier process of this number; mostly there is none
        fs::create_dir_all(&folder).context("making the stage's folder")?;
        let port = TcpListener::bind(("127.0.0.1", 0))
            .context("finding a free port")?
            .local_addr()?
            .port();
        Ok(Self {
            folder,
            programs: programs()?,
            port,
            guard,
            certificate_lifetime_s: None,
            supervisor_lines: String::new(),
            certificate: OnceLock::new(),
        })
    }

    /// Where peers find the supervisor.
    pub fn url(&self) -> String {
        let scheme = match self.guard {
            Guard::Light | Guard::Rsa => "ws",
            Guard::TlsAndRsa => "wss",
        };
        format!("{scheme}://127.0.0.1:{}/peer", self.port)
    }

    /// The port of pages and peers.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The stage's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn write(&self, name: &str, text: &str) -> anyhow::Result<String> {
        let path = self.folder.join(format!("{name}.toml"));
        // Stages share this machine, and its ports.
        let text = match text.contains("metrics = ") {
            true => text.to_owned(),
            false => format!("metrics = \"off\"\n{text}"),
        };
        fs::write(&path, text).context("writing a configuration")?;
        Ok(path.to_string_lossy().into_owned())
    }

    fn start(&self, program: &str, name: &str, config: &str) -> anyhow::Result<Process> {
        self.start_in(&[], program, name, config)
    }

    fn start_in(
        &self,
        environment: &[(&str, String)],
        program: &str,
        name: &str,
        config: &str,
    ) -> anyhow::Result<Process> {
        let path = self.write(name, config)?;
        let program = self.programs.join(program);
        Process::start(&program, name, &[&path], environment, &self.folder)
    }

    fn supervisor_config(&self) -> String {
        let state = self.folder.join("supervisor");
        let mut guard = match self.guard {
            Guard::Light => String::new(),
            Guard::Rsa => "[security]\nsuites = [\"rsa\"]\n".to_owned(),
            Guard::TlsAndRsa => {
                "[tls]\nmode = \"made\"\n[security]\nsuites = [\"rsa\"]\n".to_owned()
            }
        };
        if let Some(seconds) = self.certificate_lifetime_s {
            guard += &format!("[security]\ncertificate_lifetime_s = {seconds}\n");
        }
        format!(
            "listen = \"127.0.0.1:{}\"\nstate_dir = {state:?}\n{}[limits]\nconnections_per_address = 2000\n{guard}",
            self.port, self.supervisor_lines
        )
    }

    /// What a service's configuration says of the supervisor.
    fn approach(&self, role: &str) -> anyhow::Result<String> {
        self.approach_at(&self.url(), role)
    }

    fn approach_at(&self, url: &str, role: &str) -> anyhow::Result<String> {
        let mut lines = format!(
            "supervisor = {url:?}\njoin_token = {:?}\n",
            self.token(role)?
        );
        if let Some(certificate) = self.certificate.get() {
            lines += &format!("supervisor_certificate = {certificate:?}\nsuites = [\"rsa\"]\n");
        }
        Ok(lines)
    }

    /// A join token, as an operator makes one: whether the supervisor runs or not.
    pub fn token(&self, role: &str) -> anyhow::Result<String> {
        self.command(&["token", "create", "--role", role])
    }

    /// One of the supervisor's commands; gives what it prints.
    pub fn command(&self, words: &[&str]) -> anyhow::Result<String> {
        let config = self.write("supervisor", &self.supervisor_config())?;
        let ended = Command::new(self.programs.join("supervisor"))
            .args(words)
            .args(["--config", &config])
            .output()
            .with_context(|| format!("supervisor {words:?}"))?;
        if !ended.status.success() {
            bail!(
                "supervisor {words:?}: {}",
                String::from_utf8_lossy(&ended.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&ended.stdout).trim().to_owned())
    }

    /// Revokes the key of the service of this name, by the operator's command.
    pub fn revoke(&self, name: &str) -> anyhow::Result<()> {
        let peers = self.command(&["peers", "list"])?;
        let row = peers.lines().find(|line| line.contains(name));
        let fingerprint = row.and_then(|row| row.split_whitespace().next());
        let fingerprint = fingerprint.with_context(|| format!("{name} is not enrolled"))?;
        self.command(&["peers", "revoke", fingerprint])?;
        Ok(())
    }

    /// Starts the supervisor (again), and waits until it listens.
    pub fn supervisor(&self) -> anyhow::Result<Process> {
        let config = self.supervisor_config();
        let process = self.start("supervisor", "supervisor", &config)?;
        let until = Instant::now() + PATIENCE;
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            if Instant::now() > until {
                bail!(
                    "the supervisor does not listen; its log:\n{}",
                    process.log()
                );
            }
            thread::sleep(LOOK_EVERY);
        }
        let log = process.log();
        if let Some((_, after)) = log.split_once("SHA-256 fingerprint is ") {
            let fingerprint = after.split_whitespace().next().unwrap_or_default();
            let _ = self.certificate.set(fingerprint.to_owned()); // the same at its next start
        }
        Ok(process)
    }

    /// What the supervisor answers to somebody who shows the operator's token.
    pub fn ask_as_operator(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: &str,
    ) -> anyhow::Result<Value> {
        let length = body.len();
        let request = format!(
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n\
             Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
        );
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.write_all(request.as_bytes())?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let succeeded = head
            .split(' ')
            .nth(1)
            .is_some_and(|code| code.starts_with('2'));
        anyhow::ensure!(succeeded, "{method} {path}: {answer}");
        Ok(serde_json::from_str(body).unwrap_or_default())
    }

    /// How large the supervisor's tables are, as it says itself under `/health`.
    pub fn health(&self) -> anyhow::Result<Value> {
        let mut socket = TcpStream::connect(("127.0.0.1", self.port))?;
        socket.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        serde_json::from_str(body).with_context(|| format!("health: {answer}"))
    }

    /// Starts a relay.
    pub fn relay(&self, name: &str, uplink_kbps: u32) -> anyhow::Result<Process> {
        let process = self.relay_alone(name, &format!("uplink_kbps = {uplink_kbps}\n"))?;
        process.wait_for_log("took this relay in")?;
        Ok(process)
    }

    /// Starts a relay again that was there before, with the configuration it had; waits for nothing.
    pub fn relay_again(&self, name: &str) -> anyhow::Result<Process> {
        let config = fs::read_to_string(self.folder.join(format!("{name}.toml")))?;
        self.start("edge-relay", name, &config)
    }

    /// Starts a relay with more TOML, and waits for nothing.
    pub fn relay_alone(&self, name: &str, more: &str) -> anyhow::Result<Process> {
        let state = self.folder.join(name);
        let config = format!(
            "{}name = {name:?}\nstate_dir = {state:?}\nloopback = true\n{more}",
            self.approach("relay")?
        );
        self.start("edge-relay", name, &config)
    }

    /// Starts a relay that has a token, and of this approach only what `lines` say; waits for nothing.
    pub fn relay_that_says(&self, name: &str, lines: &str) -> anyhow::Result<Process> {
        self.relay_with(name, &self.token("relay")?, lines)
    }

    /// Starts a relay with a token that may be another supervisor's; waits for nothing.
    pub fn relay_with_token(&self, name: &str, token: &str) -> anyhow::Result<Process> {
        self.relay_with(name, token, "")
    }

    fn relay_with(&self, name: &str, token: &str, lines: &str) -> anyhow::Result<Process> {
        let state = self.folder.join(name);
        let config = format!(
            "supervisor = {:?}\njoin_token = {token:?}\nname = {name:?}\nstate_dir = {state:?}\n{lines}",
            self.url(),
        );
        self.start("edge-relay", name, &config)
    }

    /// The line by which a service knows the supervisor's certificate.
    pub fn certificate_line(&self) -> String {
        let known = self.certificate.get();
        known.map_or_else(String::new, |fingerprint| {
            format!("supervisor_certificate = {fingerprint:?}\n")
        })
    }

    /// Starts a broadcaster with streams as TOML (`[[stream]]` tables), and what else it is to be told before them.
    pub fn broadcaster(&self, streams: &str) -> anyhow::Result<Process> {
        let process = self.broadcaster_in(&[], streams)?;
        process.wait_for_log("sending \"")?;
        Ok(process)
    }

    /// Starts a broadcaster with further environment variables, and waits for nothing.
    pub fn broadcaster_in(
        &self,
        environment: &[(&str, String)],
        streams: &str,
    ) -> anyhow::Result<Process> {
        self.any_broadcaster(&self.url(), environment, "edge-broadcaster", streams)
    }

    /// Starts a broadcaster that finds the supervisor elsewhere: behind somebody in the middle. As [`Self::broadcaster`].
    pub fn broadcaster_at(&self, url: &str, streams: &str) -> anyhow::Result<Process> {
        let process = self.any_broadcaster(url, &[], "edge-broadcaster", streams)?;
        process.wait_for_log("sending \"")?;
        Ok(process)
    }

    fn any_broadcaster(
        &self,
        url: &str,
        environment: &[(&str, String)],
        program: &str,
        streams: &str,
    ) -> anyhow::Result<Process> {
        let state = self.folder.join("broadcaster");
        let approach = self.approach_at(url, "broadcaster")?;
        let uplink = if streams.contains("uplink_kbps") {
            ""
        } else {
            "uplink_kbps = 20000\n"
        };
        let config =
            format!("{approach}state_dir = {state:?}\nloopback = true\n{uplink}{streams}\n");
        self.start_in(environment, program, "broadcaster", &config)
    }

    /// Starts a broadcaster whose first encoder, `vavp8enc`, fails once there is a file of this name; `streams` as for
    /// [`Self::broadcaster`].
    pub fn frail_broadcaster(&self, told: &Path, streams: &str) -> anyhow::Result<Process> {
        let told = [("FAILS_WHEN", told.to_string_lossy().into_owned())];
        let program = "examples/frail";
        let process = self.any_broadcaster(&self.url(), &told, program, streams)?;
        process.wait_for_log("sending \"")?;
        Ok(process)
    }

    /// Starts a source of frames that mean nothing, at this rate.
    pub fn source(&self, kbps: u32) -> anyhow::Result<Process> {
        let (url, kbps) = (self.url(), kbps.to_string());
        let token = self.token("broadcaster")?;
        let arguments = [
            "--supervisor",
            &url,
            "--kbps",
            &kbps,
            "--join-token",
            &token,
        ];
        let process = Process::start(
            &self.programs.join("source"),
            "source",
            &arguments,
            &[],
            &self.folder,
        )?;
        process.wait_for_log("sending")?;
        Ok(process)
    }

    /// Starts a relay that lies to its children (`bin/liar.rs`), and waits until it was let in.
    pub fn liar(&self, trick: &str, uplink_kbps: u32) -> anyhow::Result<Process> {
        let (url, token, uplink) = (self.url(), self.token("relay")?, uplink_kbps.to_string());
        let state = self.folder.join("liar").to_string_lossy().into_owned();
        let arguments = [
            "--supervisor",
            &url,
            "--join-token",
            &token,
            "--state-dir",
            &state,
            "--uplink-kbps",
            &uplink,
            "--trick",
            trick,
        ];
        let program = self.programs.join("liar");
        let process = Process::start(&program, "liar", &arguments, &[], &self.folder)?;
        process.wait_for_log("Accepted")?;
        Ok(process)
    }

    /// Starts headless receivers.
    pub fn receiver(&self, name: &str, arguments: &[&str]) -> anyhow::Result<Process> {
        self.receiver_at(&self.url(), name, arguments)
    }

    /// Starts headless receivers that find the supervisor elsewhere: behind somebody in the middle.
    pub fn receiver_at(
        &self,
        url: &str,
        name: &str,
        arguments: &[&str],
    ) -> anyhow::Result<Process> {
        let guarded = self.certificate.get();
        let approach = guarded.map(|fingerprint| ["--rsa", "--certificate", fingerprint]);
        let arguments: Vec<&str> = ["--supervisor", url, "--interval-ms", "200"]
            .into_iter()
            .chain(approach.into_iter().flatten())
            .chain(arguments.iter().copied())
            .collect();
        Process::start(
            &self.programs.join("receiver"),
            name,
            &arguments,
            &[],
            &self.folder,
        )
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("logs are kept in {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder); // a process of a failed test may still write
        }
    }
}

/// The folder of the programs that were built together with this one.
pub fn programs() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding the built programs")?;
    let mut folder = own.parent().context("a program is in a folder")?.to_owned();
    if folder.ends_with("deps") || folder.ends_with("examples") {
        folder.pop();
    }
    Ok(folder)
}
