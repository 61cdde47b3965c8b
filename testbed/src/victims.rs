//! Which viewer fails next: the paper's five distributions (§IV.B), and how a number out of one becomes a viewer.
//!
//! Viewers are numbered breadth first from the broadcaster, beginning with 1. The paper gives the distributions'
//! parameters for its 80 viewers, and its words where the failures fall: next to the root for beta, in the middle of
//! the tree for binomial. Both come out right if a number is a viewer's number, and a share of one a share of all.

use clap::ValueEnum;
use rand::rngs::StdRng;
use rand::{Rng, RngExt as _};
use rand_distr::{Beta, Binomial, ChiSquared, Distribution as _, Poisson};

/// How victims are spread over the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Distribution {
    /// Anybody.
    Uniform,
    /// 20 trials of probability 0.80: about the 16th.
    Binomial,
    /// α = 0.5, β = 3, as a share of all: near the root.
    Beta,
    /// Five degrees of freedom: about the 4th.
    ChiSquared,
    /// Mean half of all.
    Poisson,
}

/// Trials and probability of the paper's binomial distribution.
const TRIALS: (u64, f64) = (20, 0.80);
/// α and β of its beta distribution.
const SHAPE: (f64, f64) = (0.5, 3.0);
/// Degrees of freedom of its chi-squared one.
const FREEDOM: f64 = 5.0;

impl Distribution {
    /// All, in the order of the paper's figures 6 to 10.
    pub const ALL: [Self; 5] = [
        Self::Uniform,
        Self::Binomial,
        Self::Poisson,
        Self::Beta,
        Self::ChiSquared,
    ];

    /// Its name on the command line, in files and in pictures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Binomial => "binomial",
            Self::Beta => "beta",
            Self::ChiSquared => "chi-squared",
            Self::Poisson => "poisson",
        }
    }

    /// The next victim among so many viewers: its place in breadth-first order, from 0.
    ///
    /// # Panics
    /// If there is no viewer.
    pub fn draw(self, random: &mut StdRng, viewers: usize) -> usize {
        assert!(viewers > 0, "nobody can fail");
        let number = self.number(random, viewers);
        (number.max(1.0) as usize).min(viewers) - 1
    }

    fn number(self, random: &mut impl Rng, viewers: usize) -> f64 {
        const FITS: &str = "the paper's parameters are within the distribution's bounds";
        let all = viewers as f64;
        match self {
            Self::Uniform => random.random_range(1..=viewers) as f64,
            Self::Binomial => {
                let (trials, probability) = TRIALS;
                Binomial::new(trials, probability)
                    .expect(FITS)
                    .sample(random) as f64
            }
            Self::Beta => (Beta::new(SHAPE.0, SHAPE.1).expect(FITS).sample(random) * all).ceil(),
            Self::ChiSquared => ChiSquared::new(FREEDOM).expect(FITS).sample(random).ceil(),
            Self::Poisson => Poisson::new((all / 2.0).max(1.0))
                .expect(FITS)
                .sample(random),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng as _;

    fn mean(distribution: Distribution, viewers: usize) -> f64 {
        let mut random = StdRng::seed_from_u64(1);
        let drawn = (0..10_000).map(|_| distribution.draw(&mut random, viewers));
        drawn.map(|at| (at + 1) as f64).sum::<f64>() / 10_000.0
    }

    #[test]
    fn failures_fall_where_the_paper_says_they_do() {
        let expected = [
            (Distribution::Uniform, 40.5),
            (Distribution::Binomial, 16.0),
            (Distribution::Poisson, 40.0),
            (Distribution::Beta, 80.0 / 7.0),
            (Distribution::ChiSquared, 5.5),
        ];
        for (distribution, number) in expected {
            let mean = mean(distribution, 80);
            assert!((mean - number).abs() < 1.0, "{distribution:?}: {mean}");
        }
    }

    #[test]
    fn with_three_viewers_left_the_victim_is_one_of_them() {
        for distribution in Distribution::ALL {
            let mut random = StdRng::seed_from_u64(1);
            assert!((0..1_000).all(|_| distribution.draw(&mut random, 3) < 3));
        }
    }
}
