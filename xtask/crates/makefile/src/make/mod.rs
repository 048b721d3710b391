//! One make: the evaluator with its variables and rules.
//!
//! [`Make`] is one process of make in an evaluation; `$(MAKE)` in a recipe starts
//! another that shares the [`Session`]. Its methods are in the modules below:
//! `statements` reads the file, `include` others, `expand` replaces references, `scope`
//! knows the variables of single targets, `update` walks the targets, `submake` follows `$(MAKE)`, `export` computes environments, `reads`
//! reports which variables mattered, `budget` limits memory and time.

mod budget;
mod expand;
mod export;
mod include;
mod reads;
mod scope;
mod statements;
mod submake;
mod update;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::flags::Flags;
use crate::outcome::Planned;
use crate::parse::Makefile;
use crate::rules::Rules;
use crate::slots;
use crate::variables::Variables;
use crate::world::{Invocation, World};
use budget::Budget;
use include::Included;
pub(crate) use scope::Scope;

/// State that all makes of one evaluation share.
struct Session<'w> {
    world: &'w dyn World,
    directory: String,
    make_command: String,
    /// The environment of the first make: lines list only the difference to it.
    base: BTreeMap<String, String>,
    planned: Planned,
    budget: Budget,
}

struct Make<'s, 'w> {
    session: &'s mut Session<'w>,
    makefile: Makefile,
    /// Files that the Makefile includes.
    included: Vec<Included>,
    /// `MAKELEVEL`.
    level: usize,
    /// Number of makes above this one in the evaluation; `level` also counts
    /// those outside of it.
    depth: usize,
    environment: BTreeMap<String, String>,
    flags: Flags,
    variables: Variables,
    /// Variables of the targets that are being updated, the innermost last.
    scopes: Vec<Scope>,
    rules: Rules,
    /// Automatic variables such as `$@`, and the variables of `foreach`; the
    /// last of a name is valid.
    automatic: Vec<(String, String)>,
    /// Recursive variables that are being expanded.
    expanding: Vec<String>,
    /// Number of open references within references.
    nesting: usize,
    goals: Vec<String>,
    /// The condition of the recipe that called this make.
    within: Option<usize>,
    /// The job of the recipe that called this make.
    job: Option<usize>,
    /// The recipe that is being expanded.
    recipe: Option<UnderWay>,
    made: BTreeMap<String, Made>,
    under_way: Vec<String>,
    /// For each variable the variables in its value.
    uses: BTreeMap<String, BTreeSet<String>>,
    assigning: Option<String>,
    /// Variables that recipes read.
    read_by_recipes: BTreeSet<String>,
    /// Whether all lines are planned: expansions then only serve the report.
    reporting: bool,
}

/// What a make is started with.
struct Call {
    makefile: Makefile,
    environment: BTreeMap<String, String>,
    flags: Flags,
    goals: Vec<String>,
    /// The condition and the job of the recipe that calls it.
    within: Option<usize>,
    job: Option<usize>,
}

/// A recipe that is being expanded.
struct UnderWay {
    target: String,
    condition: Option<usize>,
    job: Option<usize>,
}

/// The result of updating a target.
#[derive(Debug, Clone, Copy, Default)]
struct Made {
    condition: Option<usize>,
    /// The job that must have succeeded for it.
    job: Option<usize>,
    phony: bool,
}

/// Evaluates `makefile` as `make ARGUMENTS` does.
///
/// # Errors
/// A construct outside the subset that has an effect here, and what make
/// itself would refuse while reading.
pub fn plan(makefile: &Makefile, invocation: &Invocation, world: &dyn World) -> Result<Planned> {
    let mut session = session(invocation, world);
    let mut make = start(&mut session, makefile, invocation)?;
    make.read()?;
    make.run()?;
    Ok(session.planned)
}

/// Returns the names of all explicit targets and then of all patterns, in the
/// order of the file, with the variables of `invocation`.
///
/// # Errors
/// Those of [`plan`], while reading.
pub fn targets(
    makefile: &Makefile,
    invocation: &Invocation,
    world: &dyn World,
) -> Result<Vec<String>> {
    let mut session = session(invocation, world);
    let mut make = start(&mut session, makefile, invocation)?;
    make.read()?;
    Ok(make.rules.names())
}

fn session<'w>(invocation: &Invocation, world: &'w dyn World) -> Session<'w> {
    Session {
        world,
        directory: invocation.directory.clone(),
        make_command: invocation.make_command.clone(),
        base: invocation.environment.clone(),
        planned: Planned::default(),
        budget: Budget::default(),
    }
}

fn start<'s, 'w>(
    session: &'s mut Session<'w>,
    makefile: &Makefile,
    invocation: &Invocation,
) -> Result<Make<'s, 'w>> {
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
    for name in ["GNUMAKEFLAGS", "MAKEFLAGS"] {
        flags.environment(environment.get(name).map_or("", String::as_str))?;
    }
    let mut goals = Vec::new();
    for argument in &invocation.arguments {
        if slots::is_reserved(argument) || argument.contains('\n') {
            return Err(Error::Usage(format!(
                "`{}`: arguments of make cannot contain newlines, make would run each line as a command",
                argument.escape_debug()
            )));
        }
        goals.extend(flags.argument(argument, None)?.map(str::to_owned));
    }
    flags.settle(level);
    let call = Call {
        makefile: makefile.clone(),
        environment,
        flags,
        goals,
        within: None,
        job: None,
    };
    Ok(Make::new(session, call, level, 0))
}

impl<'s, 'w> Make<'s, 'w> {
    fn new(session: &'s mut Session<'w>, call: Call, level: usize, depth: usize) -> Self {
        let Call {
            makefile,
            environment,
            flags,
            goals,
            within,
            job,
        } = call;
        Self {
            session,
            makefile,
            included: Vec::new(),
            level,
            depth,
            environment,
            flags,
            variables: Variables::default(),
            scopes: Vec::new(),
            rules: Rules::default(),
            automatic: Vec::new(),
            expanding: Vec::new(),
            nesting: 0,
            goals,
            within,
            job,
            recipe: None,
            made: BTreeMap::new(),
            under_way: Vec::new(),
            uses: BTreeMap::new(),
            assigning: None,
            read_by_recipes: BTreeSet::new(),
            reporting: false,
        }
    }

    fn in_recipe(&self) -> bool {
        self.recipe.is_some()
    }
}
