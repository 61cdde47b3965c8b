//! The only centre: registers peers and streams, decides the topology, serves the pages. Never sees media; a
//! stream that runs goes on running while this program is down.

mod assets;
mod ca_store;
mod config;
mod ice;
mod manager;
mod server;
mod session;
mod store;

use std::process::ExitCode;

use config::Config;
use ice::IceServers;
use log::warn;
use manager::{Clock, Manager};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use protocol::stream_manager::{self, StreamManager};

const SOFTWARE: &str = concat!("supervisor ", env!("CARGO_PKG_VERSION"));

fn main() -> ExitCode {
    daemon::run("supervisor", supervisor)
}

async fn supervisor(mut service: daemon::Service) -> anyhow::Result<()> {
    let config: Config = daemon::config::from_args()?;
    allow_many_sockets();
    let ice = IceServers::new(&config)?;
    let listener = server::listen(config.listen).await?;
    let address = listener.local_addr()?;

    let clock = Clock::start();
    let machine = StreamManager::new(machine_config(&config, ice, clock), clock.now());
    let (manager, inbox) = Manager::new(machine, clock);

    service.spawn(
        "manager",
        manager.run(service.shutdown(), service.watchdog()),
    );
    service.spawn("server", server::serve(listener, inbox, service.shutdown()));
    service.ready(&format!("serving pages and peers on http://{address}"));
    service.run().await
}

fn machine_config(config: &Config, ice: IceServers, clock: Clock) -> stream_manager::Config {
    stream_manager::Config {
        term: clock.term(),
        software: SOFTWARE.into(),
        wall: clock.wall(),
        ice: Box::new(move |peer, now_us| ice.for_peer(peer, now_us)),
        external_address: config.external_address.map(|address| address.to_string()),
        topology: config.default_topology.0,
        limits: config.limits.resolve(),
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
