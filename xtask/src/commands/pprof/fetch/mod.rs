//! Profiles over HTTP from all nodes at once. Bodies wait in files until they are
//! decoded, one after the other, so that the memory for all nodes is bounded
//! whatever they send. Which profiles are fetched is decided elsewhere.

mod goroutines;
mod http;
mod request;
mod spool;
mod tls;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::pprof::{Error, Limits, Profile, Source};
use camino::{Utf8Path, Utf8PathBuf};
use tokio::sync::Semaphore;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::{JoinSet, spawn_blocking};

use super::args::FetchArgs;
use super::kept::{Kept, Memory, no_room};
use super::kind::Kind;
use super::load;
use super::sources::BUILD_LABEL;
use super::store;
use super::target::Target;
use crate::app::App;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::record::files;
use foundation::typed;
use foundation::ui::text::one_line;
use foundation::wait::{Wait, runtime};
use request::get;
use spool::{Body, Spool};

/// Requests at once where nodes need not start together.
const PARALLEL: usize = 16;
/// Requests at once in any case.
const MOST: usize = 256;
/// Services that are asked for their lists at once.
const LISTED_AT_ONCE: usize = 32;
/// Time for a response, besides the seconds that the profile itself takes.
const PATIENCE: Duration = Duration::from_secs(30);
/// Lower than for files: real profiles of one process inflate to some tens of
/// megabytes, and have a tenth of the entries.
const LIMITS: Limits = Limits {
    inflated: 256 << 20,
    entries: 1 << 19,
};

/// A profile as fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) took: Duration,
    /// Bytes on the wire.
    pub(super) size: u64,
    /// None for an execution trace, which is saved and not decoded.
    pub(super) profile: Option<Kept>,
    /// Name in the folder of the set; none when nothing is saved.
    pub(super) file: Option<String>,
    /// What is left out of it.
    pub(super) note: Option<String>,
}

/// A target, and its profile or the reason why there is none.
pub(super) type Answer = (Target, Result<Fetched>);

/// How profiles are kept once they are fetched.
#[derive(Debug)]
pub(super) struct Keeping {
    /// Folder in which they are saved, if they are.
    dir: Option<Utf8PathBuf>,
    stamp: String,
    /// Memory for profiles that are shown when all have been fetched.
    room: Memory,
}

impl Keeping {
    /// Profiles are saved, and shown at once.
    pub(super) fn saved(dir: &Utf8Path, stamp: &str) -> Self {
        Self {
            dir: Some(dir.to_owned()),
            stamp: stamp.to_owned(),
            room: Memory::default(),
        }
    }

    /// Profiles are saved, and read again when they are shown.
    pub(super) fn put_away(dir: &Utf8Path, stamp: &str) -> Self {
        Self {
            room: Memory::none(),
            ..Self::saved(dir, stamp)
        }
    }

    /// Profiles are shown, not saved.
    pub(super) fn shown() -> Self {
        Self {
            dir: None,
            stamp: String::new(),
            room: Memory::default(),
        }
    }
}

/// Answers in the order of their arrival.
#[derive(Debug)]
pub(super) struct Fetching {
    pub(super) answers: UnboundedReceiver<Answer>,
    /// Held while a file is written; true when no more may be.
    closed: Arc<Mutex<bool>>,
}

impl Fetching {
    /// Forbids any further write.
    fn close(&self) {
        *lock(&self.closed) = true;
    }
}

/// Fetches all, with a line of progress for each. After Ctrl-C, the profiles that
/// have been fetched are kept, and the others are reported as interrupted.
///
/// # Errors
/// When no folder can be created for what is fetched.
pub(super) fn all(
    app: &App<'_>,
    targets: &[Target],
    args: &FetchArgs,
    time: &str,
    keeping: Keeping,
) -> Result<Vec<Answer>> {
    if let Some(seconds) = longest(targets, args) {
        app.ui.progress(&format!("this takes {seconds} s"));
    }
    let fetching = start(app, targets, args, time, keeping)?;
    collect(app, targets, fetching)
}

fn longest(targets: &[Target], args: &FetchArgs) -> Option<u64> {
    let seconds = targets.iter().filter_map(|target| target.seconds(args));
    seconds.max()
}

/// Begins to fetch all.
///
/// # Errors
/// When no folder can be created for what is fetched.
pub(super) fn start(
    app: &App<'_>,
    targets: &[Target],
    args: &FetchArgs,
    time: &str,
    keeping: Keeping,
) -> Result<Fetching> {
    // One service has one CPU profile at a time; targets of a kind that takes
    // its time must all start together, or nodes could not be compared.
    let at_once = if longest(targets, args).is_some() {
        MOST
    } else {
        PARALLEL
    };
    let root = store::root(&app.ctx.dirs.state);
    files::create_dir(&root).because(|| format!("cannot create `{root}`"))?;
    begin(targets, at_once, args, time, keeping, &Spool::new(root))
}

/// Returns the profiles that each target lists; none for a target that does not
/// answer with a list.
///
/// # Errors
/// When the system has no file descriptors left.
pub(super) fn offers(targets: &[Target], args: &FetchArgs) -> Result<Vec<Option<Vec<String>>>> {
    let slots = Arc::new(Semaphore::new(LISTED_AT_ONCE));
    let runtime = runtime()?;
    let listed = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for (place, target) in targets.iter().cloned().enumerate() {
            let (slots, args) = (Arc::clone(&slots), args.clone());
            tasks.spawn(async move {
                let _slot = slots.acquire().await;
                (place, request::offers(&target, &args).await)
            });
        }
        let mut listed = vec![None; targets.len()];
        for (place, names) in tasks.join_all().await {
            listed[place] = names;
        }
        listed
    });
    // Without waiting for a look-up of a host that has taken too long.
    runtime.shutdown_background();
    Ok(listed)
}

fn begin(
    targets: &[Target],
    at_once: usize,
    args: &FetchArgs,
    time: &str,
    keeping: Keeping,
    spool: &Arc<Spool>,
) -> Result<Fetching> {
    let (sender, answers) = unbounded_channel();
    let closed = Arc::new(Mutex::new(false));
    let fetcher = Arc::new(Fetcher {
        args: args.clone(),
        slots: Semaphore::new(at_once),
        spool: Arc::clone(spool),
        reader: Arc::new(Mutex::new(Reader {
            names: store::file_names(targets, &keeping.stamp),
            keeping,
            time: time.to_owned(),
            closed: Arc::clone(&closed),
        })),
        turn: Semaphore::new(1),
    });
    let runtime = runtime()?;
    let mut tasks = JoinSet::new();
    for (place, target) in targets.iter().cloned().enumerate() {
        let (fetcher, sender) = (Arc::clone(&fetcher), sender.clone());
        let task = async move {
            let answer = fetcher.fetch(place, &target).await;
            // Without a receiver, the answer is not needed any more.
            let _ = sender.send((target, answer));
        };
        tasks.spawn_on(task, runtime.handle());
    }
    // Detached: the caller does not wait for a node that hangs.
    let thread = std::thread::Builder::new().name("fetch".to_owned());
    let begun = thread.spawn(move || runtime.block_on(tasks.join_all()));
    begun.because(|| "cannot start a thread".to_owned())?;
    Ok(Fetching { answers, closed })
}

/// What the tasks that fetch have in common.
struct Fetcher {
    args: FetchArgs,
    /// Requests that may be under way.
    slots: Semaphore,
    spool: Arc<Spool>,
    reader: Arc<Mutex<Reader>>,
    /// Bodies are decoded one at a time.
    turn: Semaphore,
}

impl Fetcher {
    async fn fetch(&self, place: usize, target: &Target) -> Result<Fetched> {
        let slot = self.slots.acquire().await;
        let seconds = target.seconds(&self.args);
        if seconds.is_none() {
            self.spool.wait().await;
        }
        let begun = Instant::now();
        let patience = PATIENCE + Duration::from_secs(seconds.unwrap_or(0));
        let path = target.path(&self.args);
        let mut body = get(target, &path, &self.args, patience, &self.spool).await?;
        let mut note = None;
        if let Some(dump) = target.dump_path(&self.args) {
            let dump = goroutines::dump(self, target, &dump, patience, body).await?;
            (body, note) = dump;
        }
        let took = begun.elapsed();
        drop(slot);
        let _turn = self.turn.acquire().await;
        let (reader, of) = (Arc::clone(&self.reader), target.clone());
        // Other nodes are served while this thread decodes.
        let read = spawn_blocking(move || lock(&reader).read(place, &of, body)).await;
        let (profile, file, size) =
            read.because(|| format!("cannot read what `{}` sent", target.address))??;
        Ok(Fetched {
            took,
            size,
            profile,
            file,
            note,
        })
    }
}

/// Decodes, labels and saves one profile at a time, so that one is in memory.
struct Reader {
    keeping: Keeping,
    /// Names of files, by the place of the target.
    names: Vec<String>,
    time: String,
    closed: Arc<Mutex<bool>>,
}

impl Reader {
    fn read(
        &mut self,
        place: usize,
        target: &Target,
        mut body: Body,
    ) -> Result<(Option<Kept>, Option<String>, u64)> {
        let size = body.size;
        let bytes = body
            .read()
            .because(|| format!("cannot read again what `{}` sent", target.address))?;
        if target.kind == Kind::Trace {
            let file = self.save(place, &bytes)?;
            return Ok((None, file, size));
        }
        let labelled = labelled(target, bytes, &self.time)?;
        if self.keeping.dir.is_none() {
            let kept = self.keeping.room.hold(labelled);
            let kept = kept.map_err(|_| no_room(&target.describe()))?;
            return Ok((Some(kept), None, size));
        }
        let bytes = ::pprof::compress(&labelled).map_err(|error| load::engine(&error))?;
        let file = self.save(place, &bytes)?;
        drop(bytes);
        let kept = match (&self.keeping.dir, &file) {
            (Some(dir), Some(file)) => Some(self.keeping.room.keep(labelled, dir.join(file))),
            _ => None,
        };
        Ok((kept, file, size))
    }

    /// Returns the name of the file, if there is a folder for it.
    fn save(&self, place: usize, bytes: &[u8]) -> Result<Option<String>> {
        let (Some(dir), Some(name)) = (&self.keeping.dir, self.names.get(place)) else {
            return Ok(None);
        };
        let closed = lock(&self.closed);
        if *closed {
            return Err(Failure::new(Exit::Interrupted, "interrupted"));
        }
        let path = dir.join(name);
        files::replace(&path, bytes, 0o644).because(|| format!("cannot write `{path}`"))?;
        Ok(Some(name.clone()))
    }
}

/// The profile with its origin in it.
fn labelled(target: &Target, bytes: Vec<u8>, time: &str) -> Result<Profile> {
    let profile = decode(target, bytes)?;
    let mut source = Source::new(profile)
        .label("node", &target.node)
        .label("service", &target.service)
        .label("time", time);
    if let Some(role) = target.role {
        source = source.label("role", role.as_str());
    }
    if let Some(talos) = &target.talos {
        source = source.label(BUILD_LABEL, talos);
    }
    ::pprof::merge(vec![source]).map_err(|error| load::engine(&error))
}

fn decode(target: &Target, bytes: Vec<u8>) -> Result<Profile> {
    ::pprof::decode_within(bytes, LIMITS).map_err(|error| match error {
        Error::TooLarge { what, limit } if limit == LIMITS.inflated => Failure::step(format!(
            "{what} of `{}` has more than {} MiB",
            target.address,
            limit >> 20
        ))
        .cause("no process of a node has so large a profile")
        .hint(format!(
            "fetch it with `curl`, then: {}",
            typed!("pprof open FILE")
        )),
        error => load::refused(&error, &target.describe()),
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn collect(app: &App<'_>, targets: &[Target], mut fetching: Fetching) -> Result<Vec<Answer>> {
    let mut answers: Vec<Answer> = Vec::new();
    // All of them, or until Ctrl-C.
    let _ = Wait::default().or_signal(app.signals).until(async {
        while answers.len() < targets.len()
            && let Some(answer) = fetching.answers.recv().await
        {
            report(app, &answer);
            answers.push(answer);
        }
    })?;
    // What was written before is kept; nothing is written from now on.
    fetching.close();
    answers.extend(std::iter::from_fn(|| fetching.answers.try_recv().ok()));
    for target in targets {
        if !answers.iter().any(|(other, _)| other == target) {
            let failure = Failure::new(
                Exit::Interrupted,
                format!("{}: interrupted", target.describe()),
            );
            answers.push((target.clone(), Err(failure)));
        }
    }
    let place = |target: &Target| targets.iter().position(|other| other == target);
    answers.sort_by_key(|(target, _)| place(target));
    Ok(answers)
}

fn report(app: &App<'_>, (target, answer): &Answer) {
    let line = match answer {
        Ok(fetched) => format!(
            "  {:<40} {:>9}  {:.2} s",
            one_line(&target.describe()),
            ::pprof::unit::label(i64::try_from(fetched.size).unwrap_or(0), "bytes", "auto"),
            fetched.took.as_secs_f64()
        ),
        Err(failure) => format!("  {:<40} {}", one_line(&target.describe()), failure.what),
    };
    app.ui.progress(&line);
    if let Ok(Fetched {
        note: Some(note), ..
    }) = answer
    {
        let note = format!("{}: {note}", target.describe());
        app.ui.note(&one_line(&note));
    }
}

#[cfg(test)]
mod tests;
