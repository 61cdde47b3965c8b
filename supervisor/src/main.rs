//! The only centre: registers peers and streams, decides the topology, serves the pages. Never sees media; a
//! stream that runs goes on running while this program is down.

mod assets;
mod ca_store;
mod clerk;
mod cli;
mod commands;
mod config;
mod control;
mod door;
mod headers;
mod host;
mod ice;
mod lifetime;
mod manager;
mod metrics;
mod monitor;
mod news;
mod operator;
mod redirect;
mod refusals;
mod server;
mod session;
mod store;
mod tls;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use clerk::Clerk;
use cli::Cli;
use config::Config;
use config::door::Mode;
use door::{Crowd, Door};
use ice::IceServers;
use log::warn;
use manager::{Clock, Manager};
use metrics::Metrics;
use monitor::Monitor;
use news::News;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use operator::guard::Guard;
use operator::{Office, Running};
use protocol::id::StreamId;
use protocol::stream_manager::{self, StreamManager};
use server::Server;
use store::Store;

const SOFTWARE: &str = concat!("supervisor ", env!("CARGO_PKG_VERSION"));

fn main() -> ExitCode {
    let cli = Cli::parse();
    match (cli.command, cli.config) {
        (Some(command), _) => commands::run(&command),
        (None, config) => {
            let path = config.expect("clap shows its help when there is no argument");
            daemon::run_parsed("supervisor", |service| supervisor(service, path))
        }
    }
}

async fn supervisor(mut service: daemon::Service, path: PathBuf) -> anyhow::Result<()> {
    let config: Config = daemon::config::load(path)?;
    allow_many_sockets();
    let ice = IceServers::new(&config)?;
    let store = Store::open(&config.state_dir)?;
    let (tls, renewal) = tls::prepare(&config.tls.mode, &config.state_dir)?;
    let listener = server::listen(config.listen).await?;
    let address = listener.local_addr()?;
    let control = control::listen(&config.state_dir)?;

    let clock = Clock::start();
    let term = store.next_term(clock.began_s())?;
    let (clerk, security) = Clerk::new(store.clone(), &config.security, SOFTWARE, term)?;
    let streams = store.streams()?.into_iter();
    let epochs = streams.map(|(id, stream)| (id, stream.last_epoch));
    let issued = (term, epochs.collect());
    let machine_config = machine_config(&config, ice, clock, security, issued);
    let machine = StreamManager::new(machine_config, clock.now());
    let news = News::new();
    let (manager, inbox) = Manager::new(machine, clock, clerk, news.clone());
    let running = Running {
        inbox: inbox.clone(),
        pages: pages(&config, address),
        clock,
    };
    let office = Office::new(store, Some(running))?;

    let guard = Guard::new(office.clone());
    let secure = is_reached_by_https(&config);
    let metrics = Metrics {
        inbox: inbox.clone(),
        news: news.clone(),
    };
    let monitor = Monitor::new(inbox.clone(), news, (guard.clone(), office.clone()), secure);
    let routes = Server::new(inbox, config.allowed_origins.clone()).routes(
        operator::routes::guarded(office.clone(), guard).merge(monitor.routes()),
        matches!(config.tls.mode, Mode::Files { .. }),
    );
    let (each, all) = config.limits.connections();
    let door = Door {
        listener,
        tls,
        crowd: Crowd::new(each, all),
        proxies: config.trusted_proxies.clone(),
        routes,
    };
    service.spawn(
        "manager",
        manager.run(service.shutdown(), service.watchdog()),
    );
    let sheet = move || metrics.clone().sheet();
    service.spawn(
        "metrics",
        daemon::metrics::serve(config.metrics, service.shutdown(), sheet),
    );
    if let Some(from) = config.tls.redirect_http {
        let redirect = redirect(&config, from, address, &door).await?;
        service.spawn("redirect", redirect.keep(service.shutdown()));
    }
    if let Some(renewal) = renewal {
        service.spawn("certificate", renewal.run(service.shutdown()));
    }
    office.say_what_is_missing().await?;
    let unguarded = operator::routes::unguarded(office);
    service.spawn(
        "control",
        door::keep_unix(control, unguarded, service.shutdown()),
    );
    service.spawn("server", door.keep(service.shutdown()));
    let scheme = scheme(&config);
    service.ready(&format!("serving pages and peers on {scheme}://{address}"));
    service.run().await
}

/// The listener that sends browsers on to https; who comes there is counted with all others.
async fn redirect(
    config: &Config,
    from: SocketAddr,
    to: SocketAddr,
    door: &Door,
) -> anyhow::Result<Door> {
    let target = redirect::Target {
        public: config.public_url.clone(),
        port: to.port(),
    };
    Ok(Door {
        listener: server::listen(from).await?,
        tls: None,
        crowd: door.crowd.clone(),
        proxies: Vec::new(),
        routes: redirect::routes(target),
    })
}

const fn scheme(config: &Config) -> &'static str {
    match config.tls.mode {
        Mode::Off => "http",
        Mode::Made { .. } | Mode::Files { .. } => "https",
    }
}

/// Whether browsers come by https: the TLS may be ours, or that of a proxy before us.
fn is_reached_by_https(config: &Config) -> bool {
    let public = config.public_url.as_ref().map(ToString::to_string);
    scheme(config) == "https" || public.is_some_and(|url| url.starts_with("https://"))
}

/// What stands in front of the links that are handed out.
fn pages(config: &Config, address: SocketAddr) -> String {
    if let Some(url) = &config.public_url {
        return url.to_string();
    }
    let ip = match address.ip().is_unspecified() {
        true => host::likely_address(),
        false => address.ip(),
    };
    let address = SocketAddr::new(ip, address.port());
    format!("{}://{address}", scheme(config))
}

fn machine_config(
    config: &Config,
    ice: IceServers,
    clock: Clock,
    security: stream_manager::Security,
    (term, epochs): (u64, BTreeMap<StreamId, u32>),
) -> stream_manager::Config {
    stream_manager::Config {
        term,
        epochs,
        software: SOFTWARE.into(),
        wall: clock.wall(),
        ice: Box::new(move |peer, now_us| ice.for_peer(peer, now_us)),
        ice_lifetime: config
            .turn
            .as_ref()
            .map(|turn| Duration::from_secs(turn.lifetime_s.into())),
        external_address: config.external_address,
        topology: config.default_topology.0,
        backups: config.backups,
        limits: config.limits.resolve(),
        security: Some(security),
    }
}

/// Each peer is a socket: the usual limit of 1024 open files is raised to what the system allows.
fn allow_many_sockets() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, allowed)| setrlimit(Resource::RLIMIT_NOFILE, allowed, allowed));
    if let Err(error) = raised {
        warn!("cannot raise the number of open files: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_come_by_https_when_we_or_a_proxy_speak_it() {
        for (text, https) in [
            ("", false),
            ("public_url = \"http://tv.lan\"", false),
            ("public_url = \"https://tv.example.org\"", true),
            ("public_url = \"HTTPS://tv.example.org:8443\"", true),
            ("[tls]\nmode = \"made\"", true),
            ("public_url = \"http://a\"\n[tls]\nmode = \"made\"", true),
        ] {
            let config: Config = toml::from_str(text).expect("valid");
            assert_eq!(is_reached_by_https(&config), https, "{text}");
        }
    }
}
