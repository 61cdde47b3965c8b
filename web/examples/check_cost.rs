//! What checking costs in a browser: the verifier that the page runs, by itself. `web/bench/figures.js` calls it.

use protocol::chunk::Chunk;
use wasm_bindgen::prelude::wasm_bindgen;

#[allow(unreachable_pub)] // in the testbed others see it too
#[path = "../../testbed/src/measure/camera.rs"]
mod camera;

/// A camera's chunks, as they come from the network.
#[wasm_bindgen]
pub struct Camera {
    sealed: Vec<Chunk>,
}

#[wasm_bindgen]
impl Camera {
    /// Of so many seconds at 3 Mbit/s, with sound.
    #[wasm_bindgen(constructor)]
    pub fn new(seconds: u32) -> Self {
        let frames = camera::camera(u64::from(seconds));
        Self {
            sealed: camera::seal(&frames),
        }
    }

    /// How many chunks there are.
    #[wasm_bindgen(getter)]
    pub fn chunks(&self) -> usize {
        self.sealed.len()
    }

    /// Checks them all; gives how many may be shown.
    pub fn check(&self) -> usize {
        camera::check(&self.sealed)
    }
}
