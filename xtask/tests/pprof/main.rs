//! `pprof` from end to end: nodes of our own that grow, stall, flood and die,
//! what a terminal shows, and what a real browser makes of the page.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

#[path = "../common/mod.rs"]
mod common;
mod fetching;
mod forms;
mod node;
mod page;
mod peer;
mod screen;
mod series;
mod sources;
mod tls;
mod words;
