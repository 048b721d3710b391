//! One make: its variables, its rules, and the reading of the file.

use std::collections::{BTreeMap, BTreeSet};

use crate::budget::Budget;
use crate::error::{Error, Result};
use crate::flags::Flags;
use crate::outcome::Planned;
use crate::parse::Makefile;
use crate::rules::Rules;
use crate::variables::Variables;
use crate::{slots, update};

/// What evaluation asks of the world.
pub trait World {
    /// The standard output of a `$(shell …)`.
    fn shell(&self, ask: &Ask<'_>) -> Reply;
    /// Whether a file or folder is there; the path is as the Makefile has it.
    fn exists(&self, path: &str) -> bool;
}

/// A `$(shell …)`.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    pub command: &'a str,
    /// Asked by a recipe: what it says may depend on the lines before it.
    pub in_recipe: bool,
    /// Of the make that asks. GNU make 4.3 does not export to `$(shell)`.
    pub environment: &'a BTreeMap<String, String>,
    pub directory: &'a str,
}

/// The answer to an [`Ask`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Text(String),
    /// Known only when its turn comes: the value becomes a slot.
    Later,
}

/// A command line of make.
#[derive(Debug, Clone, Default)]
pub struct Invocation {
    /// Absolute; what `$(CURDIR)` is.
    pub directory: String,
    /// The whole environment that make would have been started with.
    pub environment: BTreeMap<String, String>,
    /// Goals and `NAME=VALUE`, in any order.
    pub arguments: Vec<String>,
    /// What `$(MAKE)` is where a shell has to call it.
    pub make_command: String,
}

/// What all makes of one evaluation share.
pub(crate) struct Session<'w> {
    pub(crate) world: &'w dyn World,
    pub(crate) makefile: &'w Makefile,
    pub(crate) directory: String,
    pub(crate) make_command: String,
    /// What the first make was started with: lines say what differs.
    pub(crate) base: BTreeMap<String, String>,
    pub(crate) planned: Planned,
    pub(crate) budget: Budget,
}

pub(crate) struct Make<'s, 'w> {
    pub(crate) session: &'s mut Session<'w>,
    pub(crate) level: usize,
    /// How many makes of ours are above; `level` counts those outside too.
    pub(crate) depth: usize,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) flags: Flags,
    pub(crate) variables: Variables,
    pub(crate) rules: Rules,
    /// `$@` and its like, and the variables of `foreach`; the last wins.
    pub(crate) automatic: Vec<(String, String)>,
    /// Recursive variables that are being expanded.
    pub(crate) expanding: Vec<String>,
    /// References within references that are open.
    pub(crate) nesting: usize,
    pub(crate) goals: Vec<String>,
    /// Whose recipe called this make.
    pub(crate) within: Option<usize>,
    /// The target and condition of the recipe that is being expanded.
    pub(crate) recipe: Option<(String, Option<usize>)>,
    pub(crate) made: BTreeMap<String, update::Made>,
    pub(crate) under_way: Vec<String>,
    /// Which variables went into which.
    pub(crate) uses: BTreeMap<String, BTreeSet<String>>,
    pub(crate) assigning: Option<String>,
    pub(crate) matter: BTreeSet<String>,
    /// All lines are made: what is read now is only told.
    pub(crate) reporting: bool,
}

/// Evaluate `makefile` as `make ARGUMENTS` would.
///
/// # Errors
/// A construct outside the subset that has an effect here, and what make
/// itself would refuse while reading.
pub fn plan(makefile: &Makefile, invocation: &Invocation, world: &dyn World) -> Result<Planned> {
    let mut session = session(makefile, invocation, world);
    let mut make = start(&mut session, invocation)?;
    make.read()?;
    make.run()?;
    Ok(session.planned)
}

/// Names of all explicit targets and of all patterns, in the file's order,
/// with the variables of `invocation`.
///
/// # Errors
/// As [`plan`], for what is read.
pub fn targets(
    makefile: &Makefile,
    invocation: &Invocation,
    world: &dyn World,
) -> Result<Vec<String>> {
    let mut session = session(makefile, invocation, world);
    let mut make = start(&mut session, invocation)?;
    make.read()?;
    Ok(make.rules.names())
}

fn session<'w>(
    makefile: &'w Makefile,
    invocation: &Invocation,
    world: &'w dyn World,
) -> Session<'w> {
    Session {
        world,
        makefile,
        directory: invocation.directory.clone(),
        make_command: invocation.make_command.clone(),
        base: invocation.environment.clone(),
        planned: Planned::default(),
        budget: Budget::default(),
    }
}

fn start<'s, 'w>(session: &'s mut Session<'w>, invocation: &Invocation) -> Result<Make<'s, 'w>> {
    let environment = invocation.environment.clone();
    let level = environment
        .get("MAKELEVEL")
        .and_then(|level| level.parse().ok())
        .unwrap_or(0);
    if environment
        .get("MAKEFILES")
        .is_some_and(|files| !files.is_empty())
    {
        return Err(Error::Usage(
            "MAKEFILES in the environment is not supported".to_owned(),
        ));
    }
    let mut flags = Flags::default();
    flags.environment(environment.get("MAKEFLAGS").map_or("", String::as_str))?;
    let mut goals = Vec::new();
    for argument in &invocation.arguments {
        if slots::is_reserved(argument) || argument.contains('\n') {
            return Err(Error::Usage(format!(
                "`{}`: a newline cannot be given to make, which would take each line for a command",
                argument.escape_debug()
            )));
        }
        goals.extend(flags.argument(argument, None)?.map(str::to_owned));
    }
    flags.settle(level);
    Ok(Make::new(
        session,
        level,
        0,
        environment,
        flags,
        goals,
        None,
    ))
}

impl<'s, 'w> Make<'s, 'w> {
    pub(crate) fn new(
        session: &'s mut Session<'w>,
        level: usize,
        depth: usize,
        environment: BTreeMap<String, String>,
        flags: Flags,
        goals: Vec<String>,
        within: Option<usize>,
    ) -> Self {
        Self {
            session,
            level,
            depth,
            environment,
            flags,
            variables: Variables::default(),
            rules: Rules::default(),
            automatic: Vec::new(),
            expanding: Vec::new(),
            nesting: 0,
            goals,
            within,
            recipe: None,
            made: BTreeMap::new(),
            under_way: Vec::new(),
            uses: BTreeMap::new(),
            assigning: None,
            matter: BTreeSet::new(),
            reporting: false,
        }
    }

    pub(crate) fn in_recipe(&self) -> bool {
        self.recipe.is_some()
    }
}
