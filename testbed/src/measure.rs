//! Measurements of the real programs, each beside something that does the same in the same run: machines
//! differ, ratios less so.

pub mod camera;
pub mod churn;
pub mod day;
pub mod encoder;
pub mod engine;
pub mod lies;
pub mod loss;
pub mod monitor;
pub mod picture;
pub mod relay_cost;
pub mod revocation;
pub mod security;
pub mod setup;
pub mod siege;
pub mod timing;
