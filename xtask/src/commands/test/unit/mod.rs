//! `test unit`: Talos' unit tests on this host, or as the Makefile's
//! `unit-tests` runs them.

mod buildx;
mod flags;
mod follow;
mod jobs;
mod plan;
mod recipe;
mod select;
mod watch;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use clap::{Args, ValueEnum};

use super::args::{ResultArgs, Selection, Shard};
use super::discovered;
use super::filter;
use super::invalid_duration;
use super::leg::Leg;
use super::results::report::Report;
use super::results::selected::SelectedPackage;
use super::results::session::Session;
use super::results::{finish, live, suites};
use crate::app::App;
use flags::Flags;
pub(crate) use flags::misplaced as go_test_flag;
use follow::{Following, Steps};
use foundation::ctx::abilities::{Abilities, Root};
use foundation::ctx::go_flags;
use foundation::ctx::own_executable::own_executable;
use foundation::failure::{Because, Failure, Result};
use foundation::plan::Plan;
use foundation::record::files;
use foundation::record::lock::{self, Lock};
use foundation::record::results::Failed;
use foundation::record::runs::{Event, Origin, Record};
use foundation::record::test_cache::TestCache;
use foundation::run::exec_root;
use foundation::run::gotest::{Crew, Job, Link, Stop, prune_store};
use foundation::run::{become_root_for_tests, refusal_of_root_for_tests};
use foundation::typed;
use gotest::events::{Package, Verdict};
use jobs::Shared;
use select::{Here, Wanted};

#[derive(Debug, Clone, Default, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct UnitArgs {
    #[command(flatten)]
    pub chosen: Selection,
    /// Run only the tests that match, as in `go test -run`
    #[arg(long, value_name = "REGEXP")]
    pub run: Option<String>,
    /// Run only the tests that match an expression of package(GLOB), test(GLOB), need(NEED) and
    /// last(RESULT), with `&`, `|`, `!` and parentheses
    #[arg(short = 'E', long, value_name = "EXPRESSION")]
    pub filter: Option<String>,
    /// Environment to run the tests in
    #[arg(long = "in", value_enum, value_name = "PLACE", default_value = "here")]
    pub place: Location,
    /// Tests to run as root
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub sudo: Sudo,
    /// Fail if a test cannot run on this host
    #[arg(long)]
    pub strict: bool,
    /// Build with the race detector
    #[arg(long)]
    pub race: bool,
    /// Timeout per package, as in `go test -timeout` [default: 10m]
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// Number of test binaries that run at once [default: number of processors]
    #[arg(short, long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Stop after the first package that fails
    #[arg(long)]
    pub fail_fast: bool,
    /// After each change, run the tests of the packages that import what has changed
    #[arg(long, conflicts_with_all = ["until_fail", "rerun_failed", "json"])]
    pub watch: bool,
    /// Run the tests again until one fails, at most N times [default: without a limit]
    #[arg(long, value_name = "N", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    pub until_fail: Option<u32>,
    /// Variable that tests as root get too; can be repeated
    #[arg(long, value_name = "NAME")]
    pub env: Vec<String>,
    /// Form of the output while tests run
    #[arg(long, value_enum, value_name = "WHAT", default_value = "packages")]
    pub show: Show,
    /// Write the events to a file, in the format of `go test -json`
    #[arg(long, value_name = "FILE")]
    pub jsonfile: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub results: ResultArgs,
    /// Flags of `go test`
    #[arg(last = true, value_name = "GO TEST FLAGS")]
    pub go_flags: Vec<String>,
}

/// Which tests run as root.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Sudo {
    /// Only the tests that need root
    #[default]
    Auto,
    /// None; tests that need root are skipped
    Never,
    /// All tests
    Always,
}

/// What is printed while tests run. Failures always are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Show {
    /// A line for each package
    #[default]
    Packages,
    /// Each test with its output, as `go test -v`
    Tests,
    /// A character for each test
    Dots,
    /// Failures and the last line
    Failures,
}

/// The environment of the tests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Location {
    /// On this host
    #[default]
    Here,
    /// In BuildKit on the Talos rootfs, like the Makefile's unit-tests
    Buildx,
}

/// The default timeout of `go test` per package.
const GOS_LIMIT: Duration = Duration::from_mins(10);

pub(super) fn run(app: &App<'_>, args: &UnitArgs) -> Result<u8> {
    if args.watch && !app.is_dry() {
        check(args)?;
        return watch::run(app, args, |args| once(app, args));
    }
    once(app, args)
}

fn once(app: &App<'_>, args: &UnitArgs) -> Result<u8> {
    let checkout = app.ctx.go_checkout()?;
    let mut flags = sorted(args)?;
    if args.place == Location::Buildx {
        return buildx::run(app, args, &flags);
    }
    flags.verbose |= args.show == Show::Tests;
    flags.complete(&app.ctx.cwd);
    check_outputs(args, &flags, &app.ctx.cwd)?;
    for name in &args.env {
        exec_root::check_variable(name)?;
    }
    app.ctx.needs_linux("test unit")?;
    let recipe = recipe::read(&checkout, flags.race)?;
    let timeout = timeout(&flags)?;
    let args = &with_tags(args, &flags, &recipe);
    let wanted = Wanted::new(flags.run.as_deref(), flags.skip.as_deref())?;
    let opened = discovered::Packages::open(app, &checkout, &args.chosen)?;
    let tests = opened.tests(app, &args.chosen);
    let with_tests: BTreeSet<String> = tests.iter().map(|it| it.package.clone()).collect();
    let tests = discovered::of_shard(app, tests, &args.chosen)?;
    let history = super::history(app);
    let (tests, unwanted) = match &args.filter {
        Some(text) => {
            let (tests, others) = filter::choose(&filter::parse(text)?, &history, tests);
            (tests, Some(others))
        }
        None => (tests, None),
    };
    let mut abilities = Abilities::probe(&app.ctx.host);
    let source = (checkout.as_path(), &wanted, &recipe);
    let mut packages = selected(app, args, &tests, source, &mut abilities)?;
    let folders = opened.folders();
    let mut untested = Vec::new();
    if let Some(unwanted) = unwanted {
        if packages.is_empty() {
            return Err(filter::nothing(args.filter.as_deref().unwrap_or_default()));
        }
        select::only_matching(&mut packages, unwanted);
    } else {
        untested = without_tests(&folders, &with_tests, &mut packages, args.chosen.shard);
    }
    let state = &app.ctx.dirs.state;
    let mut before = if args.results.rerun_failed {
        Failed::load(state, &checkout)?
    } else {
        super::failed_before(app, &checkout)
    };
    if let Some(failed) = &mut before {
        forget(failed, &folders);
    }
    if args.results.rerun_failed {
        let failed = before.clone().unwrap_or_default();
        packages = select::only_failed(packages, &failed);
        untested.retain(|name| failed.packages.contains_key(name));
        if packages.is_empty() && untested.is_empty() {
            return Ok(suites::nothing_failed(&args.results));
        }
    }
    let shared = Shared {
        checkout: &checkout,
        store: app.ctx.dirs.cache.join("tests"),
        logs: Utf8PathBuf::from("<record>"),
        flags: &flags,
        wanted: &wanted,
        recipe: &recipe,
        timeout,
        history: &history,
        env: &args.env,
        writes_events: args.jsonfile.is_some(),
        cache: keeps_results(args, &flags).then(|| TestCache {
            folder: state.join("tests/passed"),
        }),
    };
    // Binaries of one name must not share a folder.
    let all = folders.iter().filter(|folder| folder.has_test_files);
    let all: Vec<&str> = all.map(|folder| folder.import_path.as_str()).collect();
    let links = shared.links(&packages, &all, &untested);
    let mut plan = planned(&shared, &packages, &links, &recipe.from);
    if !abilities.has_namespaces() {
        plan.note(
            "root is without CAP_SYS_ADMIN: tests that need root run as all others, \
             without namespaces of their own",
        );
    }
    check_profile(&flags, plan.steps.len() - links.len())?;
    if app.is_dry() {
        app.show(&plan)?;
        return Ok(0);
    }
    let what = What {
        args,
        leg: Leg::new(app, args, &checkout)?,
        packages,
        links,
        before,
        plan,
    };
    carry_out(app, shared, what)
}

/// Returns the packages with the tests that this host can run; those of root are left out where sudo
/// would ask for a password that no user can type.
fn selected(
    app: &App<'_>,
    args: &UnitArgs,
    tests: &[gotest::Test],
    (checkout, wanted, recipe): (&Utf8Path, &Wanted, &recipe::Recipe),
    abilities: &mut Abilities,
) -> Result<Vec<SelectedPackage>> {
    let sudo = sudo(args, abilities)?;
    let variables = exec_root::listed_environment(&args.env).into_iter();
    let variables = variables.chain(recipe.environment.iter().cloned());
    let mut here = Here {
        sudo,
        abilities,
        variables: variables.map(|(name, _)| name).collect(),
    };
    let packages = select::packages(checkout, tests, wanted, &mut here);
    let needs_sudo = here.abilities.root == Root::Sudo
        && sudo == Sudo::Auto
        && packages.iter().any(SelectedPackage::has_root);
    if !needs_sudo || app.is_dry() || app.ui.is_interactive() {
        return Ok(packages);
    }
    let Some(said) = refusal_of_root_for_tests()? else {
        return Ok(packages);
    };
    here.abilities.refuse_sudo(said);
    Ok(select::packages(checkout, tests, wanted, &mut here))
}

/// Checks that a profile is written by one process.
fn check_profile(flags: &Flags, processes: usize) -> Result<()> {
    match &flags.profile {
        Some(flag) if processes > 1 => Err(Failure::usage(format!(
            "`{flag}` needs one package: {processes} processes would write the same file"
        ))
        .hint("choose one package, and with -run only tests of the user or of root")),
        _ => Ok(()),
    }
}

/// Checks what needs no look at the checkout.
///
/// # Errors
/// Unknown flags, or flags that exclude each other.
pub(super) fn check(args: &UnitArgs) -> Result<()> {
    let flags = sorted(args)?;
    timeout(&flags)?;
    Wanted::new(flags.run.as_deref(), flags.skip.as_deref())?;
    args.filter.as_deref().map(filter::parse).transpose()?;
    if args.place == Location::Buildx {
        buildx::check(args, &flags)?;
    }
    Ok(())
}

/// Returns this command's flags and then those of `go test`.
fn sorted(args: &UnitArgs) -> Result<Flags> {
    let mut flags = flags::sort(&args.go_flags)?;
    if args.race && !flags.race {
        flags.race = true;
        flags.build.push("-race".to_owned());
    }
    if args.run.is_some() {
        if flags.run.is_some() && flags.run != args.run {
            return Err(flags::twice("-run"));
        }
        flags.run.clone_from(&args.run);
    }
    if args.timeout.is_some() {
        flags.timeout.clone_from(&args.timeout);
    }
    let tags = args.chosen.tags.join(",");
    if !tags.is_empty() {
        let after = flags.tags.as_deref().map(go_flags::split);
        if after.is_some_and(|after| after != args.chosen.tags) {
            return Err(Failure::usage("`--tags` and `-tags` after `--` differ")
                .hint("give all tags in one of them"));
        }
        flags.tags = Some(tags);
    }
    if let Some(tags) = &flags.tags {
        flags.build.push(format!("-tags={tags}"));
    }
    if flags.failfast && (args.results.retries > 0 || args.results.allow_flaky) {
        return Err(Failure::usage(
            "`-failfast` cannot be used with `--retries` or `--allow-flaky`: tests after the \
             first failure would not run",
        )
        .hint("`--fail-fast` stops after the first package that fails its retries too"));
    }
    Ok(flags)
}

/// Returns the arguments with the build tags that count: those after `--`, else those
/// of the checkout's own `go test`.
fn with_tags(args: &UnitArgs, flags: &Flags, recipe: &recipe::Recipe) -> UnitArgs {
    let mut args = args.clone();
    if args.chosen.tags.is_empty() {
        let mut own = recipe.flags.iter().rev();
        let own = own.find_map(|flag| flag.strip_prefix("-tags="));
        args.chosen.tags = flags
            .tags
            .as_deref()
            .or(own)
            .map_or_else(Vec::new, go_flags::split);
    }
    args
}

/// Removes test functions that no test file of their package has, with whatever tags: they
/// were renamed or deleted after they failed.
fn forget(failed: &mut Failed, folders: &[discovered::Folder]) {
    failed.packages.retain(|name, tests| {
        let folder = folders.iter().find(|folder| folder.import_path == *name);
        let Some(folder) = folder.filter(|_| !tests.is_empty()) else {
            return true;
        };
        let Ok(texts) = test_files(&folder.dir) else {
            return true;
        };
        tests.retain(|test| {
            let function = test.split('/').next().unwrap_or(test);
            let declared = format!("func {function}(");
            texts.iter().any(|text| text.contains(&declared))
        });
        !tests.is_empty()
    });
}

fn test_files(folder: &Utf8Path) -> std::io::Result<Vec<String>> {
    let mut texts = Vec::new();
    for entry in folder.read_dir_utf8()? {
        let path = entry?.into_path();
        if path.as_str().ends_with("_test.go") {
            texts.extend(foundation::files::read_text(
                &path,
                foundation::files::MEDIUM,
            )?);
        }
    }
    Ok(texts)
}

/// Returns the chosen packages that are only built and vetted. Those with test files,
/// but without tests, join `packages`: their `TestMain` runs, as with go.
fn without_tests(
    folders: &[discovered::Folder],
    with_tests: &BTreeSet<String>,
    packages: &mut Vec<SelectedPackage>,
    shard: Option<Shard>,
) -> Vec<String> {
    let mut untested = Vec::new();
    let known: BTreeSet<String> = packages.iter().map(|it| it.name.clone()).collect();
    for (at, folder) in folders.iter().enumerate() {
        let is_other_shards = shard.is_some_and(|shard| at % shard.of + 1 != shard.number);
        if !folder.is_chosen || known.contains(&folder.import_path) {
            continue;
        }
        // A package with tests is of the shard that runs them.
        let has_tests = with_tests.contains(&folder.import_path);
        if shard.is_some() && (has_tests || is_other_shards) {
            continue;
        }
        if folder.has_test_files {
            packages.push(SelectedPackage {
                name: folder.import_path.clone(),
                folder: folder.dir.clone(),
                ..SelectedPackage::default()
            });
        } else {
            untested.push(folder.import_path.clone());
        }
    }
    packages.sort_by(|a, b| a.name.cmp(&b.name));
    untested
}

fn timeout(flags: &Flags) -> Result<Duration> {
    let Some(text) = &flags.timeout else {
        return Ok(GOS_LIMIT);
    };
    talos::duration(text).ok_or_else(|| invalid_duration(text))
}

/// Checks which tests may become root, before anything is compiled.
fn sudo(args: &UnitArgs, abilities: &Abilities) -> Result<Sudo> {
    if args.sudo == Sudo::Always && abilities.root == Root::No {
        return Err(
            Failure::host("`--sudo always` needs `sudo`, which is not installed")
                .hint("install sudo, or run it as root"),
        );
    }
    Ok(args.sudo)
}

fn planned(shared: &Shared<'_>, packages: &[SelectedPackage], links: &[Link], from: &str) -> Plan {
    let jobs = jobs(shared, packages.iter(), links);
    // The plan of a dry run is shown even if the path of this program is
    // unknown.
    let own = own_executable().unwrap_or_default();
    let title = format!("Unit tests of {} package(s)", packages.len());
    let mut plan = plan::plan(title, links, &jobs, own.as_str());
    plan.note(format!("compiled as by {from}"));
    for (package, why) in packages.iter().filter_map(root_note) {
        plan.note(format!("{package} as root: {why}"));
    }
    plan
}

/// The jobs of a plan, in its order.
fn jobs<'a>(
    shared: &Shared<'_>,
    packages: impl Iterator<Item = &'a SelectedPackage>,
    links: &[Link],
) -> Vec<Job> {
    packages
        .flat_map(|package| {
            let binary = binary_of(links, &package.name);
            binary.map_or_else(Vec::new, |binary| shared.jobs(package, &binary))
        })
        .collect()
}

fn root_note(package: &SelectedPackage) -> Option<(&str, String)> {
    let mut roots = package.as_root();
    let first = roots.next()?;
    let more = roots.count();
    let why = first.why.as_deref().unwrap_or("--sudo always");
    let more = match more {
        0 => String::new(),
        more => format!(", and {more} more"),
    };
    Some((
        live::short(&package.name),
        format!("{} ({why}){more}", first.name),
    ))
}

fn binary_of(links: &[Link], package: &str) -> Option<Utf8PathBuf> {
    let mut all = links.iter().flat_map(|link| &link.packages);
    all.find(|(name, _)| name == package)
        .map(|(_, binary)| binary.clone())
}

/// The decisions before anything is started.
struct What<'a> {
    args: &'a UnitArgs,
    /// The shard, of several machines.
    leg: Option<Leg>,
    packages: Vec<SelectedPackage>,
    links: Vec<Link>,
    before: Option<Failed>,
    plan: Plan,
}

fn carry_out(app: &App<'_>, mut shared: Shared<'_>, what: What<'_>) -> Result<u8> {
    let began = Instant::now();
    let args = what.args;
    for note in &what.plan.notes {
        app.ui.note(note);
    }
    if what.packages.iter().any(SelectedPackage::has_root) && !app.ctx.host.is_root() {
        become_root_for_tests(app.ui)?;
    }
    let _lock = enter_folder(&shared)?;
    let command: Vec<String> = std::env::args().collect();
    let origin = Origin::of(&app.ctx);
    let record = Record::open(&app.ctx.dirs.state, &command, &what.plan, &origin)?;
    let dir = record.dir.clone();
    shared.logs.clone_from(&dir);
    let size = if shared.flags.bench.is_some() {
        1
    } else {
        jobs_at_once(args)
    };
    let packages: BTreeMap<String, SelectedPackage> = what
        .packages
        .into_iter()
        .map(|package| (package.name.clone(), package))
        .collect();
    let jobs = jobs(&shared, packages.values(), &what.links);
    let steps = Steps::new(record, &what.links, &jobs);
    let mut following = following(app, args, &shared, &packages, (&what.links, steps), size);
    let crew = Crew {
        signals: app.signals,
        size,
        builds_first: shared.flags.bench.is_some(),
    };
    let stop = crew.run(what.links, &mut following);
    let built = following.built;
    let rounds = following.rounds.values().copied().max().unwrap_or_default();
    let coverage = shared.coverage();
    if let Some(path) = &args.jsonfile {
        write_events(path, &dir, following.events)?;
    }
    let mut record = following.steps.record;
    let mut session = following.session;
    session.end_line();
    let report = Report {
        outcomes: &session.outcomes,
        chosen: &packages,
        seconds: began.elapsed().as_secs_f64(),
        interrupted: matches!(stop, Ok(Stop::Interrupted)),
        built: &built,
        leg: what.leg.as_ref(),
        slowest: args.results.slowest,
        coverage: coverage.percent(),
        is_short: args.show == Show::Failures,
    };
    finish::write(
        app,
        &args.results,
        &report,
        what.before,
        &dir,
        shared.checkout,
    )?;
    let stop = stop?;
    if let Some(path) = &shared.flags.coverprofile {
        let path = app.ctx.cwd.join(path);
        files::write_output(&path, coverage.text().as_bytes())
            .because(|| format!("cannot write `{path}`"))?;
    }
    if args.until_fail.is_some() {
        app.ui
            .note(&format!("tests ran up to {} times", rounds + 1));
    }
    if shared.flags.bench.is_none() {
        note_unmatched(app, shared.wanted, &report);
    }
    let all = typed!("test list");
    let terms = finish::Terms {
        results: &args.results,
        strict: args.strict,
        list: (shared.flags.run.is_some() || args.results.rerun_failed).then_some(&all),
    };
    let code = finish::exit_code(app, &terms, &report, stop);
    if code != 0
        && report
            .runs()
            .any(|run| run.verdict.as_ref().is_some_and(|it| !it.is_ok()))
    {
        app.ui
            .note(&format!("whole output of each package: {dir}/PACKAGE.log"));
    }
    record.event(Event::End { code });
    Ok(code)
}

/// What observes the run.
fn following<'a>(
    app: &'a App<'_>,
    args: &'a UnitArgs,
    shared: &'a Shared<'a>,
    packages: &'a BTreeMap<String, SelectedPackage>,
    (links, steps): (&[Link], Steps),
    size: usize,
) -> Following<'a> {
    let to_link = links
        .iter()
        .map(|link| link.packages.len() + link.untested.len());
    let untested: usize = links.iter().map(|link| link.untested.len()).sum();
    let mut session = Session::new(&args.results, app.ui, shared.history, to_link.sum(), size);
    session.show = if shared.flags.verbose {
        Show::Tests
    } else {
        args.show
    };
    let folders = packages.iter().map(|(name, package)| {
        let folder = (shared.checkout.to_owned(), package.folder.clone());
        (name.clone(), folder)
    });
    session.folders = folders.collect();
    let binaries = links.iter().flat_map(|link| &link.packages);
    let chosen = &args.chosen.packages;
    Following {
        session,
        shared,
        packages,
        binaries: binaries.cloned().collect(),
        built: BTreeSet::new(),
        is_each_named: !chosen.is_empty() && !chosen.iter().any(|it| it.contains("...")),
        fail_fast: args.fail_fast,
        until_fail: args.until_fail,
        rounds: BTreeMap::new(),
        events: String::new(),
        unbuilt: BTreeSet::new(),
        names_untested: shared.flags.verbose || (!chosen.is_empty() && untested <= MOST_UNTESTED),
        running: BTreeMap::new(),
        steps,
    }
}

/// Whether results of packages that have not changed are taken from the cache.
fn keeps_results(args: &UnitArgs, flags: &Flags) -> bool {
    Shared::is_cacheable(flags) && args.until_fail.is_none() && args.jsonfile.is_none()
}

/// Names the parts of `-run` that matched no test, where all tests could run.
fn note_unmatched(app: &App<'_>, wanted: &Wanted, report: &Report<'_>) {
    let is_cut = |run: &Package| run.verdict.as_ref().is_some_and(Verdict::cut_short);
    if report.interrupted || report.is_empty() || report.runs().any(is_cut) {
        return;
    }
    let Some(run) = &wanted.run else { return };
    let ran = report.runs().flat_map(|run| &run.tests);
    let names: Vec<&str> = ran
        .map(|test| test.name.as_str())
        .chain(report.left_out().into_iter().map(|(_, test, _)| test))
        .collect();
    for part in run.unmatched(&names) {
        app.ui.note(&format!("`{part}` of `-run` matches no test"));
    }
}

/// Joins the events of all jobs, package by package, as `go test -json` prints them.
fn write_events(path: &Utf8Path, record: &Utf8Path, mut events: String) -> Result<()> {
    let cannot = || format!("cannot write `{path}`");
    let mut jobs = Vec::new();
    for entry in record.read_dir_utf8().because(cannot)? {
        let entry = entry.because(cannot)?.into_path();
        if entry.extension() == Some("json") && entry.with_extension("log").exists() {
            jobs.push(entry);
        }
    }
    jobs.sort();
    for job in jobs {
        let text = foundation::files::read_text(&job, foundation::files::LARGE).because(cannot)?;
        events.push_str(&text.unwrap_or_default());
    }
    files::write_output(path, events.as_bytes()).because(cannot)
}

/// Checks that the files that the user named can be written, before tests run for them.
fn check_outputs(args: &UnitArgs, flags: &Flags, cwd: &Utf8Path) -> Result<()> {
    let coverage = flags.coverprofile.as_ref().map(|path| cwd.join(path));
    let results = &args.results;
    let all = [&results.report, &results.junit, &args.jsonfile, &coverage];
    for path in all.into_iter().flatten() {
        files::check_output(path).because(|| format!("cannot write `{path}`"))?;
    }
    Ok(())
}

/// Maximum number of packages without tests that are named.
const MOST_UNTESTED: usize = 10;

/// Locks the folder in which binaries are built, so that no other run uses it.
fn enter_folder(shared: &Shared<'_>) -> Result<Lock> {
    let folder = shared.build_folder();
    files::create_dir(&folder.join("tmp")).because(|| format!("cannot make `{folder}`"))?;
    let lock = lock::take(&folder, "tests", "running unit tests")?;
    let _ = files::replace(&folder.join("used"), b"", 0o644);
    prune_store(&shared.store);
    Ok(lock)
}

fn jobs_at_once(args: &UnitArgs) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    args.jobs.unwrap_or(cores).max(1)
}
