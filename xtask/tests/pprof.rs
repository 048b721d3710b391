//! `pprof` from end to end: nodes of our own that grow, stall, flood and die,
//! what a terminal shows, and what a real browser makes of the page.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "tests make their own small worlds"
)]

#[path = "pprof/browser.rs"]
mod browser;
mod common;
#[path = "pprof/fetching.rs"]
mod fetching;
#[path = "pprof/forms.rs"]
mod forms;
#[path = "pprof/node.rs"]
mod node;
#[path = "pprof/page.rs"]
mod page;
#[path = "pprof/screen.rs"]
mod screen;
#[path = "pprof/series.rs"]
mod series;
#[path = "pprof/sources.rs"]
mod sources;
