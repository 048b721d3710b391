//! SELinux for Talos: from audit records to denials, and from denials to their cause
//! and rule.
//!
//! The crate opens no file and starts no process: logs and policies come as bytes.

pub mod baseline;
pub mod cause;
pub mod cil;
pub mod context;
pub mod file_contexts;
pub mod judgement;
pub mod log;
pub mod policy;
