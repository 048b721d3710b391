//! Results of unit, integration and upgrade tests: followed as they run,
//! reported, and remembered for the next run.

pub(super) mod finish;
pub(super) mod live;
pub(super) mod report;
pub(super) mod selected;
pub(super) mod session;
pub(super) mod suites;
mod summary;
