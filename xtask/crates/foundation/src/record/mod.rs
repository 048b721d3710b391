//! What outlives a run: the ledger of what we made, the records of runs, and
//! the locks where two runs may meet. Together with `run` the only place that
//! writes.

pub mod discovered;
pub mod files;
pub mod images;
pub mod ledger;
pub mod lock;
pub mod own;
pub mod results;
pub mod runs;
pub mod tree;
