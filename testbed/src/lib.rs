//! Sees all parts and is seen by none: the headless receiver, the simulator, and what the end-to-end tests and
//! experiments share.

pub mod attacks;
pub mod audience;
pub mod delays;
pub mod intruder;
pub mod liar;
pub mod live;
pub mod measure;
pub mod narrows;
pub mod recorder;
pub mod script;
pub mod sim;
pub mod stage;
pub mod tap;
pub mod victims;
pub mod viewer;
