//! The paper's five distributions by their names, with its parameters: see [`protocol::victims`].

use clap::ValueEnum;
use rand::rngs::StdRng;

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
        let [uniform, binomial, poisson, beta, chi_squared] =
            protocol::victims::Distribution::PAPERS;
        let distribution = match self {
            Self::Uniform => uniform,
            Self::Binomial => binomial,
            Self::Beta => beta,
            Self::ChiSquared => chi_squared,
            Self::Poisson => poisson,
        };
        distribution
            .draw(random, viewers)
            .expect("the paper's parameters are possible, and somebody watches")
    }
}
