//! Which viewer fails next, when failures are induced as a test: the paper's five distributions (§IV.B), and how a
//! number out of one becomes a viewer.
//!
//! Viewers are numbered breadth first from the broadcaster, beginning with 1. The paper gives the distributions'
//! parameters for its 80 viewers, and its words where the failures fall: next to the root for beta, in the middle of
//! the tree for binomial. Both come out right if a number is a viewer's number, and a share of one a share of all.

use rand::{Rng, RngExt as _};
use rand_distr::{Beta, Binomial, ChiSquared, Distribution as _, Poisson};
use serde::{Deserialize, Serialize};

/// How victims are spread over the tree, with its parameters; those left out are the paper's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Distribution {
    /// Anybody.
    Uniform {},
    /// So many trials of that probability: the number of those that succeed.
    Binomial {
        /// Trials, at most [`MOST_TRIALS`].
        #[serde(default = "trials")]
        trials: u64,
        /// From 0 to 1.
        #[serde(default = "probability")]
        probability: f64,
    },
    /// A share of all.
    Beta {
        /// Its first shape, above 0.
        #[serde(default = "alpha")]
        alpha: f64,
        /// Its second.
        #[serde(default = "beta")]
        beta: f64,
    },
    /// A sum of squares.
    ChiSquared {
        /// Degrees of freedom, above 0.
        #[serde(default = "freedom")]
        freedom: f64,
    },
    /// A count of events.
    Poisson {
        /// Its mean, as a share of all viewers, above 0.
        #[serde(default = "mean_share")]
        mean_share: f64,
    },
}

/// Most trials of a binomial distribution: as many as peers may be connected by default.
pub const MOST_TRIALS: u64 = 10_000;
/// Largest of the other parameters. Guess: beyond it all victims are the same one.
const LARGEST: f64 = 1_000.0;

/// Trials of the paper's binomial distribution.
const fn trials() -> u64 {
    20
}

/// The probability of each.
const fn probability() -> f64 {
    0.80
}

/// α of its beta distribution.
const fn alpha() -> f64 {
    0.5
}

/// β of it.
const fn beta() -> f64 {
    3.0
}

/// Degrees of freedom of its chi-squared one.
const fn freedom() -> f64 {
    5.0
}

/// Mean of its Poisson one: half of all.
const fn mean_share() -> f64 {
    0.5
}

impl Distribution {
    /// All of them with the paper's parameters, in the order of its figures 6 to 10.
    pub const PAPERS: [Self; 5] = [
        Self::Uniform {},
        Self::Binomial {
            trials: trials(),
            probability: probability(),
        },
        Self::Poisson {
            mean_share: mean_share(),
        },
        Self::Beta {
            alpha: alpha(),
            beta: beta(),
        },
        Self::ChiSquared { freedom: freedom() },
    ];

    /// That the parameters are possible, or in words why not.
    pub fn check(self) -> Result<(), String> {
        let within = |name: &str, value: f64| match value > 0.0 && value <= LARGEST {
            true => Ok(()),
            false => Err(format!(
                "{name} is {value}, but must be above 0 and at most {LARGEST}"
            )),
        };
        match self {
            Self::Uniform {} => Ok(()),
            Self::Binomial {
                trials,
                probability,
            } => match (
                (1..=MOST_TRIALS).contains(&trials),
                (0.0..=1.0).contains(&probability),
            ) {
                (false, _) => Err(format!(
                    "trials is {trials}, but must be from 1 to {MOST_TRIALS}"
                )),
                (_, false) => Err(format!(
                    "probability is {probability}, but must be from 0 to 1"
                )),
                _ => Ok(()),
            },
            Self::Beta { alpha, beta } => {
                within("alpha", alpha).and_then(|()| within("beta", beta))
            }
            Self::ChiSquared { freedom } => within("freedom", freedom),
            Self::Poisson { mean_share } => within("mean_share", mean_share),
        }
    }

    /// The next victim among so many viewers: its place in breadth-first order, from 0. None if there is nobody, or if
    /// [`Self::check`] does not pass.
    pub fn draw(self, random: &mut impl Rng, viewers: usize) -> Option<usize> {
        let number = self.number(random, viewers)?;
        (viewers > 0).then(|| (number.max(1.0) as usize).min(viewers) - 1)
    }

    fn number(self, random: &mut impl Rng, viewers: usize) -> Option<f64> {
        let all = viewers as f64;
        self.check().ok()?;
        Some(match self {
            Self::Uniform {} => random.random_range(1..=viewers.max(1)) as f64,
            Self::Binomial {
                trials,
                probability,
            } => Binomial::new(trials, probability).ok()?.sample(random) as f64,
            Self::Beta { alpha, beta } => {
                (Beta::new(alpha, beta).ok()?.sample(random) * all).ceil()
            }
            Self::ChiSquared { freedom } => ChiSquared::new(freedom).ok()?.sample(random).ceil(),
            Self::Poisson { mean_share } => Poisson::new((all * mean_share).max(1.0))
                .ok()?
                .sample(random),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    fn mean(distribution: Distribution, viewers: usize) -> f64 {
        let mut random = StdRng::seed_from_u64(1);
        let drawn = (0..10_000).filter_map(|_| distribution.draw(&mut random, viewers));
        drawn.map(|at| (at + 1) as f64).sum::<f64>() / 10_000.0
    }

    #[test]
    fn failures_fall_where_the_paper_says_they_do() {
        for (distribution, number) in
            Distribution::PAPERS
                .into_iter()
                .zip([40.5, 16.0, 40.0, 80.0 / 7.0, 5.5])
        {
            let mean = mean(distribution, 80);
            assert!((mean - number).abs() < 1.0, "{distribution:?}: {mean}");
        }
    }

    #[test]
    fn with_three_viewers_left_the_victim_is_one_of_them_and_with_none_nobody() {
        for distribution in Distribution::PAPERS {
            let mut random = StdRng::seed_from_u64(1);
            assert!((0..1_000).all(|_| distribution.draw(&mut random, 3).is_some_and(|at| at < 3)));
            assert_eq!(distribution.draw(&mut random, 0), None);
        }
    }

    #[test]
    fn parameters_left_out_are_the_papers_and_impossible_ones_are_named() {
        let read = |text| serde_json::from_str::<Distribution>(text).expect("a distribution");
        assert_eq!(read(r#"{"kind":"binomial"}"#), Distribution::PAPERS[1]);
        assert_eq!(
            read(r#"{"kind":"chi-squared","freedom":2}"#),
            Distribution::ChiSquared { freedom: 2.0 }
        );
        let wrong = [
            (r#"{"kind":"beta","alpha":0}"#, "alpha is 0"),
            (r#"{"kind":"binomial","probability":1.5}"#, "from 0 to 1"),
            (r#"{"kind":"binomial","trials":99999}"#, "from 1 to 10000"),
            (r#"{"kind":"poisson","mean_share":-1}"#, "mean_share is -1"),
        ];
        for (text, words) in wrong {
            let error = read(text).check().expect_err("impossible");
            assert!(error.contains(words), "{error}");
        }
    }
}
