//! Commands on real parts in a lab each: Docker, registries, nodes, kernels, and what they print.

#![cfg(target_os = "linux")]
#![allow(
    clippy::disallowed_macros,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests make their own small worlds"
)]

mod airgap;
#[path = "../common/mod.rs"]
mod common;
mod dev;
mod docker;
#[path = "../in_lab/mod.rs"]
mod in_lab;
mod integration;
mod kmod;
mod registries;
mod selinux_node;
