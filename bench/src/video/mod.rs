//! Measures coded video: H.264 that Framecast reads from fake RTSP cameras and passes on as it is.

mod cameras;
mod cost;
mod crowd;
mod delay;
mod file;
mod first;
mod judge;
mod loss;
mod memory;
mod narrow;
mod site;
mod unit;
mod viewer;

use anyhow::Result;

/// What to measure of coded video.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Measurement {
    /// Measure how long a new viewer waits for its first frame.
    First(first::Options),
    /// Measure a viewer behind a link that carries a third of the stream, and one that stalls, beside others (needs
    /// root).
    Narrow(narrow::Options),
    /// Compare what viewers cost Framecast with a bare send of the same bytes.
    Cost(cost::Options),
    /// Measure the memory of viewers, and whether it stays when they come and go.
    Memory(memory::Options),
    /// Measure what it costs to read many cameras, with a viewer each, and without.
    Cameras(cameras::Options),
    /// Measure how old frames are when they arrive, minute by minute.
    Delay(delay::Options),
    /// Measure what viewers see of a camera whose packets over UDP are lost on the way (needs root and nft).
    Loss(loss::Options),
}

/// Measures what the command says.
///
/// # Errors
///
/// The measurement fails, or its result is not what it must be.
pub(crate) fn run(measurement: &Measurement) -> Result<()> {
    match measurement {
        Measurement::First(options) => first::run(options),
        Measurement::Narrow(options) => narrow::run(options),
        Measurement::Cost(options) => cost::run(options),
        Measurement::Memory(options) => memory::run(options),
        Measurement::Cameras(options) => cameras::run(options),
        Measurement::Delay(options) => delay::run(options),
        Measurement::Loss(options) => loss::run(options),
    }
}
