//! Microphones, through ALSA.

use crate::config::Microphone;

/// Which sound goes with a camera's picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chosen {
    /// None.
    Silence,
    /// An ALSA device.
    Device(String),
}

/// The microphone to open.
pub fn choose(microphone: &Microphone) -> Chosen {
    match microphone {
        Microphone::Alsa(name) => Chosen::Device(name.clone()),
        Microphone::Auto | Microphone::None => Chosen::Silence,
    }
}
