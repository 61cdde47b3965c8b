//! The sound track of a camera: a microphone's while there is one, else silence.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use protocol::time::Time;

use crate::capture::alsa::{self, Chosen};
use crate::capture::steady::Steady;
use crate::capture::timeline::Timeline;
use crate::capture::v4l2::Identity;
use crate::clock::Clock;
use crate::config::Microphone;
use crate::encode::AudioEncoder;
use crate::stop::Stop;

/// Pause before a microphone that failed, or was not there, is looked for again. Guess.
const PAUSE: Duration = Duration::from_secs(2);
/// Silence is made in steps of a packet.
const STEP: Duration = Duration::from_millis(20);

/// Whose sound it is.
pub(super) struct Sound {
    pub(super) microphone: Microphone,
    pub(super) gain_db: i8,
    /// The camera, once there was one.
    pub(super) camera: Arc<OnceLock<Identity>>,
    pub(super) clock: Clock,
    pub(super) encoder: AudioEncoder,
    pub(super) timeline: Timeline,
}

impl Sound {
    /// Gives sound or silence until told to stop, or the encoder fails.
    pub(super) fn run(mut self, stop: &Stop) -> anyhow::Result<()> {
        let mut said = String::new();
        while !stop.is_set() {
            let words = match alsa::choose(&self.microphone, self.camera.get()) {
                Chosen::Device(name) => match self.listen(&name, &mut said, stop)? {
                    Some(error) => format!("{error:#}"),
                    None => return Ok(()),
                },
                Chosen::Silence if self.microphone == Microphone::None => {
                    return self.silence(Time::NEVER, stop);
                }
                Chosen::Silence => "no microphone was found".to_owned(),
            };
            if words != said {
                log::warn!("{words}; silence until there is one");
                said = words;
            }
            self.silence(self.clock.now() + PAUSE, stop)?;
        }
        Ok(())
    }

    /// Takes a microphone's sound, and gives its error when it fails. The encoder's is the caller's.
    fn listen(
        &mut self,
        name: &str,
        said: &mut String,
        stop: &Stop,
    ) -> anyhow::Result<Option<anyhow::Error>> {
        let opened = match alsa::Opened::new(name) {
            Ok(opened) => opened,
            Err(error) => return Ok(Some(error)),
        };
        log::info!(
            "microphone {name}: {} Hz, {} channels",
            opened.rate_hz(),
            opened.channels()
        );
        said.clear();
        let mut steady = Steady::new(opened.rate_hz(), self.gain_db);
        let mut encoding = Ok(());
        let heard = opened.run(self.clock, stop, |heard, samples| {
            for block in steady.take(heard, samples, &mut self.timeline) {
                if let Err(error) = self.encoder.push(block) {
                    encoding = Err(error);
                    anyhow::bail!("its encoder has failed");
                }
            }
            Ok(())
        });
        encoding?;
        Ok(heard.err())
    }

    fn silence(&mut self, until: Time, stop: &Stop) -> anyhow::Result<()> {
        while self.clock.now() < until
            && stop.sleep_until(self.clock, self.timeline.next_at() + STEP)
        {
            let mut blocks = Vec::new();
            self.timeline.fill_until(self.clock.now(), &mut blocks);
            for block in blocks {
                self.encoder.push(block)?;
            }
        }
        Ok(())
    }
}
