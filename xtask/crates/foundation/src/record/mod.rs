//! What outlives a run: the ledger of created resources, the records of runs,
//! and locks between runs. Only this module and `run` write files.

pub mod discovered;
pub mod files;
pub mod ledger;
pub mod lock;
pub mod own;
pub mod pushed_images;
pub(crate) mod remove_at;
pub mod results;
pub mod retention;
pub mod run_summary;
pub mod runs;
pub mod test_cache;
pub mod tree;
