//! Which encoders may be used, in which order.

use serde::Deserialize;

use crate::encode::rungs::{Coding, RUNGS, Rung};

/// Encoders by GStreamer's names, the best first; each is known, and at least one is there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub struct Encoders(Vec<&'static str>);

impl Default for Encoders {
    /// All that are known: VP8 in hardware, the camera's own H.264, H.264 in hardware, VP8 in software, H.264 in software.
    fn default() -> Self {
        Self(RUNGS.iter().map(|rung| rung.element).collect())
    }
}

impl Encoders {
    /// The encoders, the best first: those of what is preferred, if something is, before the others.
    pub(super) fn in_order(&self, preferred: Option<Coding>) -> Vec<&'static Rung> {
        let mut all: Vec<_> = self.0.iter().filter_map(|name| Rung::named(name)).collect();
        all.sort_by_key(|rung| preferred.is_some_and(|coding| rung.coding != coding));
        all
    }
}

impl TryFrom<Vec<String>> for Encoders {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let known = || {
            let all: Vec<_> = RUNGS.iter().map(|r| format!("{:?}", r.element)).collect();
            all.join(", ")
        };
        if names.is_empty() {
            return Err(format!("encoders must name at least one of {}", known()));
        }
        let found = names.iter().map(|name| match Rung::named(name) {
            Some(rung) => Ok(rung.element),
            None => Err(format!("{name:?} is no encoder that is known: {}", known())),
        });
        let found: Vec<_> = found.collect::<Result<_, _>>()?;
        let camera = Rung::camera().element;
        if found.iter().all(|name| *name == camera) {
            return Err(format!(
                "encoders must name one beside {camera:?}, for the picture that says that the camera is away: {}",
                known()
            ));
        }
        Ok(Self(found))
    }
}
