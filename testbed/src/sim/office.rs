//! The supervisor of a run, and what is on its way to it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use protocol::node;
use protocol::stream_manager::{self, Limits, SocketId, StreamManager};
use protocol::time::{ClockMap, Time};

use super::Plan;
use super::queue::Queue;
use super::shard::{Happening, Name, Security, Sent, TO_SUPERVISOR, open};

/// What comes to the supervisor.
pub(super) enum Arrival {
    Connected(Name),
    Disconnected(Name),
    Text(Name, String),
    Wake,
}

/// See the module's own words.
pub(super) struct Office {
    plan: Arc<Plan>,
    now: Time,
    queue: Queue<Arrival>,
    manager: StreamManager,
    wakes_at: Time,
    sealed: Security,
    /// When the supervisor is back, while it is away.
    pub(super) away: Option<Time>,
    /// Those who are no more: they may have died while they waited for the supervisor.
    dead: BTreeSet<Name>,
    pub(super) sent: Vec<Sent>,
}

impl Office {
    pub(super) fn new(plan: &Arc<Plan>, sealed: Security, now: Time) -> Self {
        Self {
            plan: Arc::clone(plan),
            now,
            queue: Queue::new(),
            manager: supervisor(plan, &sealed, 1, now),
            wakes_at: Time::NEVER,
            sealed,
            away: None,
            dead: BTreeSet::new(),
            sent: Vec::new(),
        }
    }

    /// When something happens next.
    pub(super) fn next(&self) -> Option<Time> {
        self.queue.next()
    }

    pub(super) fn put(&mut self, at: Time, arrival: Arrival) {
        debug_assert!(at >= self.now, "nothing happens in the past");
        self.queue.put(at, arrival);
    }

    pub(super) fn forget(&mut self, name: Name) {
        self.dead.insert(name);
    }

    /// How long until there is a supervisor.
    pub(super) fn is_there_in(&self, now: Time) -> Duration {
        self.away.map_or(Duration::ZERO, |back| back.since(now))
    }

    /// It is back, and knows nobody.
    pub(super) fn comes_back(&mut self, now: Time) {
        self.away = None;
        self.manager = supervisor(&self.plan, &self.sealed, 2, now);
        self.wakes_at = Time::NEVER;
    }

    /// Lets happen what happens before `end`.
    pub(super) fn run(&mut self, end: Time) {
        while let Some((at, arrival)) = self.queue.pop_before(end) {
            self.now = at;
            self.arrive(arrival);
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        match arrival {
            Arrival::Connected(name) if self.dead.contains(&name) => {}
            Arrival::Connected(name) => {
                self.manage(stream_manager::Input::Connected(SocketId(name), None));
            }
            Arrival::Disconnected(name) => {
                self.manage(stream_manager::Input::Disconnected(SocketId(name)));
            }
            Arrival::Text(name, text) => {
                self.manage(stream_manager::Input::Text(SocketId(name), &text));
            }
            Arrival::Wake if self.wakes_at != self.now => {}
            Arrival::Wake => {
                self.wakes_at = Time::NEVER;
                self.manage(stream_manager::Input::Tick);
            }
        }
    }

    fn manage(&mut self, input: stream_manager::Input<'_>) {
        if self.away.is_some() {
            return;
        }
        let mut out = Vec::new();
        self.manager.handle(self.now, input, &mut out);
        for output in out {
            match output {
                stream_manager::Output::Send(SocketId(name), message) => {
                    self.tell(name, node::Input::SupervisorText(message.to_text()));
                }
                stream_manager::Output::Text(SocketId(name), text) => {
                    self.tell(name, node::Input::SupervisorText(text));
                }
                stream_manager::Output::Task(task, what) => {
                    let sealed = self.sealed.as_ref();
                    let answer = sealed.and_then(|sealed| open(sealed).answer_supervisor(&what));
                    self.manage(stream_manager::Input::TaskDone(task, answer));
                }
                stream_manager::Output::Admit(socket, _) => {
                    self.manage(stream_manager::Input::Admitted(socket, Ok(())));
                }
                stream_manager::Output::KeepKey(..) | stream_manager::Output::Own { .. } => {
                    if let Some(sealed) = &self.sealed {
                        open(sealed).keep(&output);
                    }
                }
                stream_manager::Output::KeepEpoch(..) => {} // no clock goes back
                stream_manager::Output::PutOut(_) => {}     // nobody cheats
                stream_manager::Output::Close(SocketId(name), ..) => {
                    self.tell(name, node::Input::SupervisorDown);
                }
            }
        }
        let wakeup = self.manager.next_wakeup();
        if wakeup < self.wakes_at {
            self.wakes_at = wakeup.max(self.now);
            self.put(self.wakes_at, Arrival::Wake);
        }
    }

    fn tell(&mut self, name: Name, input: node::Input) {
        let at = self.now + TO_SUPERVISOR;
        self.sent
            .push(Sent::ToPeer(at, name, Happening::Input(input)));
    }
}

fn supervisor(plan: &Plan, sealed: &Security, term: u64, now: Time) -> StreamManager {
    let config = stream_manager::Config {
        term,
        epochs: BTreeMap::new(),
        software: "simulated".into(),
        wall: ClockMap::default(),
        ice: Box::new(|_, _| Vec::new()),
        ice_lifetime: None,
        external_address: None,
        topology: plan.topology,
        backups: plan.backups,
        limits: Limits {
            peers: usize::MAX,
            ..Limits::default()
        },
        security: sealed
            .as_ref()
            .map(|sealed| open(sealed).of_supervisor(term)),
    };
    StreamManager::new(config, now)
}
