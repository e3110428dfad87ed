//! The results of the command `compare`, as the tables and the JSON file show them.

use serde::Serialize;

use crate::{report::Report, setup::RunContext};

/// The results of a comparison of several servers.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    #[serde(flatten)]
    pub(crate) about: RunContext,
    /// The numbers of viewers, the number of passes, and the durations.
    pub(crate) method: Method,
    /// The measurements of all servers.
    pub(crate) runs: Vec<Run>,
}

/// The options of a comparison: which numbers of viewers were measured, how often and for how long.
#[derive(Debug, Serialize)]
pub(crate) struct Method {
    pub(crate) viewers: Vec<usize>,
    pub(crate) runs: u32,
    pub(crate) seconds: u64,
    pub(crate) warmup_seconds: f64,
}

/// One measurement of one server with one number of viewers.
#[derive(Debug, Serialize)]
pub(crate) struct Run {
    pub(crate) pass: u32,
    pub(crate) viewers: usize,
    pub(crate) server: String,
    pub(crate) report: Report,
}
