//! What is known of a function once it has been walked through.

use std::rc::Rc;

use crate::need::Need;
use crate::program::FunctionId;

/// A need and where the source says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) need: Need,
    pub(crate) file: usize,
    pub(crate) at: usize,
    /// The test skips itself without it; else it would fail.
    pub(crate) skips: bool,
    /// Nothing decides whether it comes to this.
    pub(crate) certain: bool,
}

/// One function calls another, or hands it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Calls {
    pub(crate) id: FunctionId,
    /// Nothing decides whether it does.
    pub(crate) certain: bool,
}

/// A function, or a subtest's closure.
#[derive(Debug, Clone, Default)]
pub(crate) struct Unit {
    pub(crate) calls: Vec<Calls>,
    pub(crate) needs: Vec<Found>,
    pub(crate) subtests: Vec<Subtest>,
    pub(crate) suites: Vec<Suite>,
}

#[derive(Debug, Clone)]
pub(crate) struct Subtest {
    /// As given to `Run`.
    pub(crate) name: String,
    pub(crate) at: usize,
    pub(crate) unit: Rc<Unit>,
}

/// `suite.Run(t, …)` of a declared type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Suite {
    pub(crate) package: usize,
    pub(crate) ty: String,
}
