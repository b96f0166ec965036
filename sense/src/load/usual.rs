//! What is usual for an account: running means of CPU, requests, memory and IO, learnt while nothing is wrong.

/// Samples after which what was learnt may be used.
const SAMPLES_MIN: u32 = 48;
/// One sample never weighs less than this: what is usual may change over weeks.
const SLOWEST: f32 = 1.0 / 512.0;
/// A sample that is no farther from a settled mean teaches nothing.
const NO_NEWS: f32 = 0.01;

/// Names under which they are stored, in the order of [`Usual::rows`]. The last two are learnt only while the account
/// uses something, so they say what is usual for it when it works.
pub const METRICS: [&str; 4] = ["cpu_percent", "requests_per_second", "memory_mib", "io_mib_per_second"];

/// What is usual for one account.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usual {
    /// Per cent of a core.
    pub cpu: Row,
    /// Requests per second.
    pub requests: Row,
    /// MiB.
    pub memory: Row,
    /// MiB per second.
    pub io: Row,
}

impl Usual {
    /// All, as [`METRICS`] names them.
    pub fn rows(&mut self) -> [&mut Row; 4] {
        [&mut self.cpu, &mut self.requests, &mut self.memory, &mut self.io]
    }
}

/// One metric of one account; small, because there is one for each of ten thousand idle accounts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Row {
    mean: f32,
    deviation: f32,
    samples: u32,
    /// Since it was last stored.
    changed: bool,
}

/// What is usual, once enough was learnt.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Running mean.
    pub mean: f64,
    /// Running mean deviation.
    pub deviation: f64,
}

impl Known {
    /// The value from which on something is more than usual.
    pub fn limit(&self) -> f64 {
        (self.mean * 1.5).max(self.mean + 4.0 * self.deviation)
    }
}

impl Row {
    /// As it was stored.
    pub fn stored(mean: f64, deviation: f64, samples: u64) -> Row {
        let samples = u32::try_from(samples).unwrap_or(u32::MAX);
        Row { mean: mean as f32, deviation: deviation as f32, samples, changed: false }
    }

    /// Mean, deviation and samples, if they changed since the last call.
    pub fn take_changed(&mut self) -> Option<(f64, f64, u64)> {
        let (mean, deviation) = (f64::from(self.mean), f64::from(self.deviation));
        std::mem::take(&mut self.changed).then_some((mean, deviation, u64::from(self.samples)))
    }

    /// What is usual, once enough was learnt to use it.
    pub fn believed(self) -> Option<Known> {
        let known = Known { mean: f64::from(self.mean), deviation: f64::from(self.deviation) };
        (self.samples >= SAMPLES_MIN).then_some(known)
    }

    /// Running mean and mean deviation; the first samples weigh more, later ones little. On a node of thousands of
    /// idle accounts nearly every sample is what was there before: it changes nothing and is not stored again.
    pub fn learn(&mut self, value: f64) {
        let value = value as f32;
        let weight = (1.0 / (self.samples as f32 + 1.0)).max(SLOWEST);
        let off = (value - self.mean).abs();
        if weight <= SLOWEST && off < NO_NEWS && self.deviation < NO_NEWS {
            return;
        }
        self.mean += weight * (value - self.mean);
        if self.samples > 0 {
            self.deviation += weight * (off - self.deviation);
        }
        self.samples = self.samples.saturating_add(1);
        self.changed = true;
    }
}
