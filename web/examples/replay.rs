//! What simulated peers did, done again by the machines as they are in a browser. `web/tests/replay.test.js` calls it.

use wasm_bindgen::prelude::{JsError, wasm_bindgen};

#[allow(dead_code, unreachable_pub)] // in the testbed others see it too, and write scripts
#[path = "../../testbed/src/script/mod.rs"]
mod script;

use script::{Script, Tally};

/// Scripts, told again; what came of it.
#[wasm_bindgen]
#[derive(Debug, Default)]
pub struct Replay {
    tally: Tally,
}

/// Where a peer did something else than it did when its script was written.
#[wasm_bindgen(getter_with_clone)]
#[derive(Debug)]
pub struct Difference {
    /// The run's seed.
    pub seed: u64,
    /// The peer's name in that run.
    pub peer: u64,
    /// The first step that went another way.
    pub step: usize,
    /// What happened here, in words.
    pub here: String,
}

#[wasm_bindgen]
impl Replay {
    /// Nothing yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Tells scripts again that stand one after the other; gives the first difference, and leaves the rest.
    pub fn perform(&mut self, scripts: &[u8]) -> Result<Option<Difference>, JsError> {
        let mut rest = scripts;
        while !rest.is_empty() {
            let (script, after) = Script::decode(rest)?;
            rest = after;
            if let Some(found) = script.replay(&mut self.tally)? {
                return Ok(Some(Difference {
                    seed: found.seed,
                    peer: found.name,
                    step: found.step,
                    here: found.here,
                }));
            }
        }
        Ok(None)
    }

    /// How often peers did what: one line each, a name and a number.
    pub fn counts(&self) -> String {
        let lines = self
            .tally
            .counts()
            .map(|(name, count)| format!("{name} {count}"));
        lines.join("\n")
    }
}
