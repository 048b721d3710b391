//! One module per noun. A command follows the guide's section: gather facts,
//! make a plan or a report, and run or print it.

pub mod airgap;
pub mod build;
pub mod builder;
pub mod ci;
pub mod cluster;
pub mod completions;
pub mod dev;
pub mod doctor;
pub mod editor;
pub mod embed;
pub mod exec_root;
pub mod image;
pub(crate) mod images;
pub mod installer;
pub mod internal;
pub mod kmod;
pub mod lab;
pub mod podtrace;
pub mod pprof;
pub mod proxies;
pub mod registry;
pub mod runs;
pub mod selinux;
pub mod setup;
pub mod status;
pub mod tasks;
pub mod test;
