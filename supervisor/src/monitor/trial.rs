//! One trial of failures, as the paper runs them (§IV.B): viewers are told to fail, one after another, and what the
//! others suffer is counted, viewer by viewer.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::id::PeerId;
use protocol::signal::{Component, Failure};
use protocol::stream_manager::{MemberView, State};
use protocol::victims::Distribution;
use serde::{Deserialize, Serialize};

/// Most failures a second: twice the paper's most.
const MOST_A_SECOND: f64 = 10.0;
/// Fewest: one in a hundred seconds. Guess: with fewer one ends viewers by hand.
const FEWEST_A_SECOND: f64 = 0.01;
/// Longest trial. Guess: the paper's took a minute.
const LONGEST_S: u32 = 3600;
/// After the last failure viewers have this long to report what came of it: they do every two seconds.
pub(super) const LAST_REPORTS: Duration = Duration::from_secs(5);

/// `POST streams/{stream}/failures`
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// The stream's name, typed: nobody does this to a live show by a slip.
    pub(super) name: String,
    pub(super) distribution: Distribution,
    /// Failures a second.
    pub(super) rate: f64,
    pub(super) seconds: u32,
    pub(super) how: Failure,
    /// Who is drawn; another one each time if left out.
    #[serde(default)]
    pub(super) seed: Option<u32>,
}

impl Plan {
    /// That it is possible, or in words why not.
    pub(super) fn check(&self) -> Result<(), String> {
        self.distribution.check()?;
        if !(FEWEST_A_SECOND..=MOST_A_SECOND).contains(&self.rate) {
            return Err(format!(
                "rate is {}, but must be from {FEWEST_A_SECOND} to {MOST_A_SECOND} failures a second",
                self.rate
            ));
        }
        match (1..=LONGEST_S).contains(&self.seconds) {
            true => Ok(()),
            false => Err(format!(
                "seconds is {}, but must be from 1 to {LONGEST_S}",
                self.seconds
            )),
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Phase {
    /// Viewers fail.
    Running,
    /// Nobody fails any more; the last reports come in.
    Settling,
    /// It went to its end.
    Done,
    /// The operator ended it before that.
    Stopped,
    /// The stream ended.
    Interrupted,
}

/// One viewer's life, as far as it was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(super) struct Life {
    pub(super) peer: PeerId,
    /// Whether it was told to fail: what it suffers from then on is not counted.
    pub(super) failed: bool,
    pub(super) stalls: u32,
    pub(super) stalled_ms: u64,
    #[serde(skip)]
    before: (u32, u64),
}

/// A moment of it.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Sample {
    at_ms: u64,
    viewers: usize,
    failures: usize,
    stalls: u32,
    stalled_ms: u64,
}

/// See the module's own words.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) plan: Plan,
    pub(super) seed: u32,
    pub(super) began_s: u64,
    pub(super) phase: Phase,
    lives: BTreeMap<PeerId, Life>,
    samples: Vec<Sample>,
    failures: usize,
    begun: bool,
}

/// What the operator is shown of it.
#[derive(Serialize)]
pub(super) struct Shown<'a> {
    plan: &'a Plan,
    seed: u32,
    began_s: u64,
    phase: Phase,
    failures: usize,
    /// The paper's *Stalled*.
    stalls: u32,
    /// The paper's *Total Stalled Time*.
    stalled_ms: u64,
    /// The paper's *Average Stalled Time*: of one stall.
    average_ms: Option<u64>,
    samples: &'a [Sample],
    lives: Vec<Life>,
}

impl<'a> From<&'a Trial> for Shown<'a> {
    fn from(trial: &'a Trial) -> Self {
        let (stalls, stalled_ms) = trial.suffered();
        Self {
            plan: &trial.plan,
            seed: trial.seed,
            began_s: trial.began_s,
            phase: trial.phase,
            failures: trial.failures,
            stalls,
            stalled_ms,
            average_ms: stalled_ms.checked_div(stalls.into()),
            samples: &trial.samples,
            lives: trial.lives.values().copied().collect(),
        }
    }
}

impl Trial {
    pub(super) fn new(plan: Plan, seed: u32, began_s: u64) -> Self {
        Self {
            plan,
            seed,
            began_s,
            phase: Phase::Running,
            lives: BTreeMap::new(),
            samples: Vec::new(),
            failures: 0,
            begun: false,
        }
    }

    /// Whether viewers fail, or what came of it is awaited.
    pub(super) const fn is_going_on(&self) -> bool {
        matches!(self.phase, Phase::Running | Phase::Settling)
    }

    /// Takes in how everybody fares. What viewers had suffered before the trial is not counted.
    pub(super) fn look(&mut self, at: Duration, members: &[MemberView]) {
        let viewers = members
            .iter()
            .filter(|m| m.component == Component::Receiver);
        for member in viewers.clone() {
            let now = member
                .report
                .as_ref()
                .map_or((0, 0), |r| (r.stalls, r.stalled_ms));
            let before = if self.begun { (0, 0) } else { now };
            let life = self.lives.entry(member.peer).or_insert(Life {
                peer: member.peer,
                failed: false,
                stalls: 0,
                stalled_ms: 0,
                before,
            });
            if !life.failed {
                life.stalls = now.0.saturating_sub(life.before.0);
                life.stalled_ms = now.1.saturating_sub(life.before.1);
            }
        }
        self.begun = true;
        let (stalls, stalled_ms) = self.suffered();
        self.samples.push(Sample {
            at_ms: at.as_millis() as u64,
            viewers: viewers.filter(|m| m.state == State::Well).count(),
            failures: self.failures,
            stalls,
            stalled_ms,
        });
    }

    /// Who can fail, those next to the broadcaster first: `members` are in that order.
    pub(super) fn candidates(&self, members: &[MemberView]) -> Vec<PeerId> {
        let failed = |peer| self.lives.get(&peer).is_some_and(|life| life.failed);
        let can = |m: &&MemberView| {
            m.component == Component::Receiver && m.state == State::Well && !failed(m.peer)
        };
        let mut found: Vec<(usize, PeerId)> = Vec::new();
        let mut depths = BTreeMap::new();
        for member in members {
            let above = member
                .parent
                .and_then(|parent| depths.get(&parent).copied());
            let depth = above.map_or(0, |above: usize| above + 1);
            depths.insert(member.peer, depth);
            if can(&member) {
                found.push((depth, member.peer));
            }
        }
        found.sort_by_key(|&(depth, _)| depth); // stable
        found.into_iter().map(|(_, peer)| peer).collect()
    }

    /// That viewer was told to fail.
    pub(super) fn failed(&mut self, victim: PeerId) {
        self.failures += 1;
        if let Some(life) = self.lives.get_mut(&victim) {
            life.failed = true;
        }
    }

    fn suffered(&self) -> (u32, u64) {
        let lives = self.lives.values();
        lives.fold((0, 0), |(stalls, ms), life| {
            (stalls + life.stalls, ms + life.stalled_ms)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::signal::Report;

    fn id(n: u8) -> PeerId {
        PeerId::from_bytes([n; 16])
    }

    fn viewer(n: u8, parent: u8, stalls: u32, stalled_ms: u64) -> MemberView {
        MemberView {
            peer: id(n),
            component: Component::Receiver,
            name: None,
            software: String::new(),
            parent: Some(id(parent)),
            backup: None,
            state: State::Well,
            since_us: 0,
            report: Some(Report {
                stalls,
                stalled_ms,
                ..Report::default()
            }),
            health: None,
        }
    }

    fn plan() -> Plan {
        Plan {
            name: "garden".into(),
            distribution: Distribution::Uniform {},
            rate: 1.0,
            seconds: 60,
            how: Failure::Kill,
            seed: Some(1),
        }
    }

    #[test]
    fn only_what_is_suffered_in_the_trial_counts_and_a_victims_own_end_does_not() {
        let mut trial = Trial::new(plan(), 1, 0);
        trial.look(Duration::ZERO, &[viewer(1, 9, 5, 900), viewer(2, 9, 0, 0)]);
        trial.look(
            Duration::from_secs(2),
            &[viewer(1, 9, 6, 1_300), viewer(2, 9, 1, 200)],
        );
        trial.failed(id(2));
        // Victim 2 stalls as it goes; viewer 3 is new, so all it suffered was in here.
        let later = [
            viewer(1, 9, 6, 1_300),
            viewer(2, 9, 9, 9_000),
            viewer(3, 1, 1, 100),
        ];
        trial.look(Duration::from_secs(4), &later);
        let shown = Shown::from(&trial);
        assert_eq!((shown.stalls, shown.stalled_ms), (3, 700));
        assert_eq!((shown.average_ms, shown.failures), (Some(233), 1));
    }

    #[test]
    fn those_next_to_the_broadcaster_come_first_and_nobody_fails_twice() {
        let members = [viewer(1, 9, 0, 0), viewer(3, 1, 0, 0), viewer(2, 9, 0, 0)];
        let mut trial = Trial::new(plan(), 1, 0);
        trial.look(Duration::ZERO, &members);
        assert_eq!(trial.candidates(&members), [id(1), id(2), id(3)]);
        trial.failed(id(1));
        assert_eq!(trial.candidates(&members), [id(2), id(3)]);
    }

    #[test]
    fn an_impossible_plan_is_refused_in_words() {
        let rate = Plan {
            rate: 11.0,
            ..plan()
        };
        assert!(
            rate.check()
                .expect_err("too many")
                .contains("failures a second")
        );
        let rate = Plan {
            rate: f64::NAN,
            ..plan()
        };
        assert!(rate.check().is_err());
        let seconds = Plan {
            seconds: 0,
            ..plan()
        };
        assert!(seconds.check().expect_err("none").contains("seconds is 0"));
        assert_eq!(plan().check(), Ok(()));
    }
}
