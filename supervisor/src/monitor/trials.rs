//! Trials of failures: begun, watched, stopped. One at a time in each stream; the last one is kept to be looked at.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use log::info;
use protocol::id::StreamId;
use protocol::stream_manager::{Wish, WishError};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::actions::status;
use super::looks::{no_stream, stream_id};
use super::trial::{LAST_REPORTS, Phase, Plan, Shown, Trial};
use super::{Monitor, ending};
use crate::operator::now_s;
use crate::operator::routes::{Asked, complaint};

/// How often viewers are looked at while a trial goes on: they report every two seconds.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Streams whose last trial is kept. Guess: more than one runs trials in.
const KEPT: usize = 64;

/// The last trial of each stream. Clones are the same ones.
#[derive(Clone, Default)]
pub(super) struct Trials {
    of: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// Counts changes: whoever watches asks for what is newer than what it has.
    version: u64,
    trials: BTreeMap<StreamId, (u64, Trial)>,
}

impl Trials {
    /// The stream's trial, if it changed since `seen`.
    pub(super) fn newer(&self, stream: StreamId, seen: u64) -> Option<(u64, Trial)> {
        self.with(|kept| {
            kept.trials
                .get(&stream)
                .filter(|(version, _)| *version > seen)
                .cloned()
        })
    }

    fn get(&self, stream: StreamId) -> Option<Trial> {
        self.newer(stream, 0).map(|(_, trial)| trial)
    }

    /// Changes the trial; gives what `change` gives, or none if there is no trial.
    fn change<T>(&self, stream: StreamId, change: impl FnOnce(&mut Trial) -> T) -> Option<T> {
        self.with(|kept| {
            kept.version += 1;
            let (version, trial) = kept.trials.get_mut(&stream)?;
            *version = kept.version;
            Some(change(trial))
        })
    }

    /// Keeps a new trial, if none goes on in the stream.
    fn begin(&self, stream: StreamId, trial: Trial) -> bool {
        self.with(|kept| {
            if kept
                .trials
                .get(&stream)
                .is_some_and(|(_, trial)| trial.is_going_on())
            {
                return false;
            }
            while kept.trials.len() >= KEPT {
                let over = kept
                    .trials
                    .iter()
                    .filter(|(_, (_, trial))| !trial.is_going_on());
                let oldest = over
                    .min_by_key(|(_, (version, _))| *version)
                    .map(|(&id, _)| id);
                match oldest {
                    Some(oldest) => kept.trials.remove(&oldest),
                    None => return false,
                };
            }
            kept.version += 1;
            kept.trials.insert(stream, (kept.version, trial));
            true
        })
    }

    fn with<T>(&self, work: impl FnOnce(&mut Kept) -> T) -> T {
        // Each step leaves it whole, whatever panicked between.
        work(&mut self.of.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

pub(super) async fn show(State(monitor): State<Monitor>, Path(stream): Path<String>) -> Response {
    match stream_id(&stream) {
        Err(wrong) => wrong,
        Ok(stream) => monitor.shown(stream),
    }
}

pub(super) async fn begin(
    State(monitor): State<Monitor>,
    Path(stream): Path<String>,
    asked: Asked<Plan>,
) -> Response {
    let (stream, plan) = match (stream_id(&stream), asked) {
        (Err(wrong), _) => return wrong,
        (_, Err(wrong)) => return complaint(wrong.status(), wrong.body_text()),
        (Ok(stream), Ok(Json(plan))) => (stream, plan),
    };
    if let Err(words) = plan.check() {
        return complaint(StatusCode::BAD_REQUEST, words);
    }
    match monitor
        .look(move |machine| machine.view_stream(stream))
        .await
    {
        None => return ending(),
        Some(None) => return no_stream(),
        Some(Some(view)) if !view.allow_failures => {
            let forbidden = WishError::FailuresForbidden;
            return complaint(status(&forbidden), forbidden.to_string());
        }
        Some(Some(_)) => {}
    }
    if let Err(refused) = monitor.check_name(stream, &plan.name).await {
        return refused;
    }
    let seed = plan.seed.unwrap_or_else(rand::random);
    if !monitor
        .trials
        .begin(stream, Trial::new(plan, seed, now_s()))
    {
        return complaint(
            StatusCode::CONFLICT,
            "a trial goes on already: stop it first".into(),
        );
    }
    info!(stream:%, event = "trial-begun"; "a trial of failures begins");
    tokio::spawn(monitor.clone().run(stream));
    monitor.shown(stream)
}

pub(super) async fn stop(State(monitor): State<Monitor>, Path(stream): Path<String>) -> Response {
    let stream = match stream_id(&stream) {
        Err(wrong) => return wrong,
        Ok(stream) => stream,
    };
    let stopped = monitor.trials.change(stream, |trial| {
        if trial.is_going_on() {
            trial.phase = Phase::Stopped;
        }
    });
    if stopped.is_some() {
        info!(stream:%, event = "trial-stopped"; "the trial of failures is stopped");
    }
    monitor.shown(stream)
}

impl Monitor {
    fn shown(&self, stream: StreamId) -> Response {
        match self.trials.get(stream) {
            Some(trial) => Json(Shown::from(&trial)).into_response(),
            None => complaint(
                StatusCode::NOT_FOUND,
                "no trial was run in this stream".into(),
            ),
        }
    }

    async fn run(self, stream: StreamId) {
        if let Some(phase) = self.go_through(stream).await {
            self.trials.change(stream, |trial| trial.phase = phase);
            info!(stream:%, event = "trial-over"; "the trial of failures is over");
        }
    }

    /// Runs the trial; gives how it ended, or none if it was stopped.
    async fn go_through(&self, stream: StreamId) -> Option<Phase> {
        let trial = self.trials.get(stream)?;
        let mut random = StdRng::seed_from_u64(trial.seed.into());
        let pause = Duration::from_secs_f64(1.0 / trial.plan.rate);
        let began = Instant::now();
        let end = began + Duration::from_secs(trial.plan.seconds.into());
        let (mut next_failure, mut next_look) = (began + pause, began);
        loop {
            let at = next_failure.min(next_look);
            tokio::time::sleep_until(at.min(end + LAST_REPORTS)).await;
            let now = Instant::now();
            let Some(Some(members)) = self.look(move |machine| machine.view_members(stream)).await
            else {
                return Some(Phase::Interrupted);
            };
            let mut over = None;
            let victim = self.trials.change(stream, |trial| {
                if !trial.is_going_on() {
                    return Err(());
                }
                if now >= next_look {
                    trial.look(now - began, &members);
                }
                if now >= end {
                    trial.phase = Phase::Settling;
                    over = (now >= end + LAST_REPORTS).then_some(Phase::Done);
                    return Ok(None);
                }
                if now < next_failure {
                    return Ok(None);
                }
                let candidates = trial.candidates(&members);
                let drawn = trial.plan.distribution.draw(&mut random, candidates.len());
                Ok(drawn.map(|at| (candidates[at], trial.plan.how)))
            })?;
            let Ok(victim) = victim else { return None };
            if over.is_some() {
                return over;
            }
            if let Some((peer, how)) = victim {
                // Stream and victim may have gone just now.
                if let Ok(()) = self.wish(Wish::Fail { stream, peer, how }).await? {
                    self.trials.change(stream, |trial| trial.failed(peer));
                }
            }
            while next_look <= now {
                next_look += LOOK_EVERY;
            }
            if next_failure <= now {
                next_failure += pause;
            }
            if next_failure >= end {
                next_failure = end + LAST_REPORTS;
            }
        }
    }
}
