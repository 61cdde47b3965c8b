//! Brings sound from the rate a device has to the one that is wanted, by a factor that may change while it runs.
//!
//! Interpolates with a windowed sinc: sixteen samples to either side, at 256 places between two samples and by a
//! straight line between those. Noise from this is 80 dB down, below a microphone's own.

/// Samples to either side.
const HALF: usize = 16;
const TAPS: usize = 2 * HALF;
/// Places between two samples.
const PHASES: usize = 256;

/// Resamples one channel.
#[derive(Debug)]
pub(crate) struct Resampler {
    /// Samples in for one out, before it is stretched.
    step: f64,
    /// The interpolation's weights, [`TAPS`] for each place and one place more.
    weights: Vec<f32>,
    /// What came in and is still needed.
    samples: Vec<f32>,
    /// Where in `samples` the next one out lies.
    at: f64,
}

impl Resampler {
    /// From one rate to another, both in Hz.
    pub(crate) fn new(from: u32, to: u32) -> Self {
        let step = f64::from(from.max(1)) / f64::from(to.max(1));
        Self {
            step,
            weights: weights(1.0 / step.max(1.0)),
            samples: vec![0.0; HALF],
            at: HALF as f64,
        }
    }

    /// Takes samples and gives those that they make, longer by `stretch` millionths.
    pub(crate) fn take(&mut self, samples: &[f32], stretch: f64) -> Vec<f32> {
        self.samples.extend_from_slice(samples);
        let step = self.step / (1.0 + stretch / 1e6);
        let room = self.samples.len().saturating_sub(self.at as usize) as f64;
        let mut out = Vec::with_capacity((room / step) as usize + 1);
        while self.at as usize + HALF < self.samples.len() {
            out.push(self.between());
            self.at += step;
        }
        let done = (self.at as usize)
            .saturating_sub(HALF)
            .min(self.samples.len());
        self.samples.drain(..done);
        self.at -= done as f64;
        out
    }

    /// The sound at `at`.
    fn between(&self) -> f32 {
        let place = self.at.fract() * PHASES as f64;
        let (phase, part) = (place as usize, place.fract() as f32);
        let (near, next) = self.weights[phase * TAPS..(phase + 2) * TAPS].split_at(TAPS);
        let around = &self.samples[self.at as usize + 1 - HALF..];
        let terms = around.iter().zip(near.iter().zip(next));
        terms
            .map(|(sample, (near, next))| sample * (near + (next - near) * part))
            .sum()
    }
}

/// Weights for a filter that lets through `cutoff` of the band.
fn weights(cutoff: f64) -> Vec<f32> {
    (0..=PHASES)
        .flat_map(|phase| {
            let place = phase as f64 / PHASES as f64;
            (0..TAPS).map(move |tap| {
                let distance = tap as f64 - (HALF as f64 - 1.0) - place;
                (sinc(distance * cutoff) * cutoff * window(distance / HALF as f64)) as f32
            })
        })
        .collect()
}

fn sinc(x: f64) -> f64 {
    let x = x * std::f64::consts::PI;
    if x.abs() < 1e-9 { 1.0 } else { x.sin() / x }
}

/// Blackman's window, from -1 to 1.
fn window(x: f64) -> f64 {
    let x = x.clamp(-1.0, 1.0) * std::f64::consts::PI;
    0.42 + 0.5 * x.cos() + 0.08 * (2.0 * x).cos()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate_hz: f64, pitch_hz: f64, count: usize) -> Vec<f32> {
        (0..count)
            .map(|n| (n as f64 / rate_hz * pitch_hz * std::f64::consts::TAU).sin() as f32)
            .collect()
    }

    /// How far a tone is from what it should be after resampling, dB below it.
    fn noise_db(from_hz: u32, pitch_hz: f64) -> f64 {
        let mut resampler = Resampler::new(from_hz, 48_000);
        let input = tone(f64::from(from_hz), pitch_hz, from_hz as usize / 2);
        let out: Vec<f32> = input
            .chunks(441)
            .flat_map(|part| resampler.take(part, 0.0))
            .collect();
        let right = tone(48_000.0, pitch_hz, out.len());
        let middle = 1_000..out.len() - 1_000;
        let off: f64 = middle
            .clone()
            .map(|n| f64::from(out[n] - right[n]).powi(2))
            .sum();
        -10.0 * (off / middle.len() as f64 / 0.5).log10()
    }

    #[test]
    fn a_tone_of_any_rate_comes_out_as_that_tone() {
        for from_hz in [8_000, 16_000, 32_000, 44_100, 48_000, 96_000] {
            let db = noise_db(from_hz, 1_000.0);
            assert!(db > 60.0, "{from_hz} Hz: {db} dB");
        }
    }

    #[test]
    fn it_gives_as_many_samples_as_the_rates_and_the_stretch_ask_for() {
        for (from, stretch, expected) in [(44_100, 0.0, 480_000), (48_000, 500.0, 480_240)] {
            let mut resampler = Resampler::new(from, 48_000);
            let part = vec![0.5; from as usize / 100];
            let count: usize = (0..1_000)
                .map(|_| resampler.take(&part, stretch).len())
                .sum();
            assert!(count.abs_diff(expected) < 40, "{from} Hz: {count}");
        }
    }
}
