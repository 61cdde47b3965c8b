//! `edge-broadcaster check`: what this machine could capture and encode.

use crate::config::Config;
use crate::{elements, encode};

/// What there is, and whether it is enough.
#[derive(Debug)]
pub struct Report {
    /// For people, line by line.
    pub text: String,
    /// Everything needed is there.
    pub ready: bool,
}

/// Looks at this machine, and at the streams of the configuration if there is one.
pub fn report(_config: Option<&Config>) -> anyhow::Result<Report> {
    elements::init()?;
    let mut text = String::new();
    let mut ready = true;
    for element in encode::ELEMENTS {
        if let Err(missing) = elements::exists(element) {
            text.push_str(&format!("{missing}\n"));
            ready = false;
        }
    }
    Ok(Report { text, ready })
}
