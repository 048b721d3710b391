//! Over HTTP from all nodes at once. Bodies wait in files until they are read,
//! one after the other: what all nodes take together is bounded, whatever they
//! send. Nothing here decides what is fetched.

mod request;
mod spool;

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::pprof::{Error, Limits, Profile, Source};
use camino::{Utf8Path, Utf8PathBuf};

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
use request::get;
pub(super) use request::offers;
use spool::{Body, Spool};

/// At once, where nodes need not start together.
const PARALLEL: usize = 16;
/// At once in any case.
const MOST: usize = 256;
/// Besides the seconds that a profile takes by itself.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a thread that waits for a node.
const STACK: usize = 512 << 10;
/// From the network less is believed than from a file: real profiles of one
/// process inflate to some tens of megabytes, and have a tenth of the entries.
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
    /// In the folder; none where nothing is saved.
    pub(super) file: Option<String>,
}

/// One answer.
pub(super) type Answer = (Target, Result<Fetched>);

/// What becomes of profiles when they have come.
#[derive(Debug)]
pub(super) struct Keeping {
    /// Where they are saved; none for nowhere.
    dir: Option<Utf8PathBuf>,
    stamp: String,
    /// Of those that are looked at when all have come.
    room: Memory,
}

impl Keeping {
    /// Saved, and shown at once.
    pub(super) fn saved(dir: &Utf8Path, stamp: &str) -> Self {
        Self {
            dir: Some(dir.to_owned()),
            stamp: stamp.to_owned(),
            room: Memory::default(),
        }
    }

    /// Saved, and looked at later.
    pub(super) fn put_away(dir: &Utf8Path, stamp: &str) -> Self {
        Self {
            room: Memory::none(),
            ..Self::saved(dir, stamp)
        }
    }

    /// Shown and forgotten.
    pub(super) fn shown() -> Self {
        Self {
            dir: None,
            stamp: String::new(),
            room: Memory::default(),
        }
    }
}

/// Answers that come as nodes give them.
#[derive(Debug)]
pub(super) struct Fetching {
    pub(super) answers: Receiver<Answer>,
    /// Held while a file is written; true when no more may be.
    closed: Arc<Mutex<bool>>,
}

impl Fetching {
    /// Nothing is written from now on.
    fn close(&self) {
        *lock(&self.closed) = true;
    }
}

/// Fetch all; a line of progress for each as it comes. On Ctrl-C what has
/// come is kept, the rest is reported as interrupted.
///
/// # Errors
/// When there is nowhere to put what comes.
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
    Ok(collect(app, targets, &fetching))
}

fn longest(targets: &[Target], args: &FetchArgs) -> Option<u64> {
    let seconds = targets.iter().filter_map(|target| target.seconds(args));
    seconds.max()
}

/// Begin to fetch all.
///
/// # Errors
/// When there is nowhere to put what comes.
pub(super) fn start(
    app: &App<'_>,
    targets: &[Target],
    args: &FetchArgs,
    time: &str,
    keeping: Keeping,
) -> Result<Fetching> {
    // One service has one CPU profile at a time; targets of a kind that takes
    // its time must all start together, or nodes could not be compared.
    let workers = if longest(targets, args).is_some() {
        targets.len()
    } else {
        targets.len().min(PARALLEL)
    };
    let root = store::root(&app.ctx.dirs.state);
    files::create_dir(&root).because(|| format!("cannot create `{root}`"))?;
    let workers = workers.min(MOST);
    begin(targets, workers, args, time, keeping, &Spool::new(root))
}

/// What came of one target, before it is read.
struct Came {
    place: usize,
    target: Target,
    took: Duration,
    body: Result<Body>,
}

/// Targets that were not asked yet, with their places.
type Queue = Mutex<Vec<(usize, Target)>>;

fn begin(
    targets: &[Target],
    workers: usize,
    args: &FetchArgs,
    time: &str,
    keeping: Keeping,
    spool: &Arc<Spool>,
) -> Result<Fetching> {
    let (came, coming) = channel();
    let (sender, answers) = channel();
    let closed = Arc::new(Mutex::new(false));
    let mut reader = Reader {
        names: store::file_names(targets, &keeping.stamp),
        keeping,
        time: time.to_owned(),
        closed: Arc::clone(&closed),
    };
    // Detached: a node that hangs must not hold up what others sent.
    thread(None, move || reader.run(&coming, &sender))?;
    let queue: Vec<_> = targets.iter().cloned().enumerate().rev().collect();
    let queue = Arc::new(Mutex::new(queue));
    for worker in 0..workers {
        let (queue, spool, came) = (Arc::clone(&queue), Arc::clone(spool), came.clone());
        let args = args.clone();
        match thread(Some(STACK), move || fetch(&queue, &spool, &came, &args)) {
            Ok(()) => {}
            Err(failure) if worker == 0 => return Err(failure),
            // Those that have begun ask all the others.
            Err(_) => break,
        }
    }
    Ok(Fetching { answers, closed })
}

fn thread(stack: Option<usize>, work: impl FnOnce() + Send + 'static) -> Result<()> {
    let builder = std::thread::Builder::new();
    let builder = match stack {
        Some(size) => builder.stack_size(size),
        None => builder,
    };
    let begun = builder.spawn(work);
    begun
        .map(drop)
        .because(|| "cannot start a thread".to_owned())
}

/// One after the other, until all have been asked.
fn fetch(queue: &Queue, spool: &Arc<Spool>, came: &Sender<Came>, args: &FetchArgs) {
    loop {
        let next = lock(queue).pop();
        let Some((place, target)) = next else { return };
        if target.seconds(args).is_none() {
            spool.wait();
        }
        let begun = Instant::now();
        let patience = PATIENCE + Duration::from_secs(target.seconds(args).unwrap_or(0));
        let body = get(&target, &target.path(args), patience, spool);
        let took = begun.elapsed();
        let one = Came {
            place,
            target,
            took,
            body,
        };
        if came.send(one).is_err() {
            return;
        }
    }
}

/// Decodes, labels and saves: one at a time, so that one is in memory at a time.
struct Reader {
    keeping: Keeping,
    /// Of the files, by place.
    names: Vec<String>,
    time: String,
    closed: Arc<Mutex<bool>>,
}

impl Reader {
    fn run(&mut self, coming: &Receiver<Came>, answers: &Sender<Answer>) {
        for one in coming {
            let answer = one.body.and_then(|body| {
                let (profile, file, size) = self.read(one.place, &one.target, body)?;
                Ok(Fetched {
                    took: one.took,
                    size,
                    profile,
                    file,
                })
            });
            if answers.send((one.target, answer)).is_err() {
                return;
            }
        }
    }

    fn read(
        &mut self,
        place: usize,
        target: &Target,
        body: Body,
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

    /// The name of the file, if there is a folder for it.
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

fn collect(app: &App<'_>, targets: &[Target], fetching: &Fetching) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    while answers.len() < targets.len() {
        match fetching.answers.recv_timeout(Duration::from_millis(50)) {
            Ok(answer) => {
                report(app, &answer);
                answers.push(answer);
            }
            Err(RecvTimeoutError::Timeout) if app.signals.count() == 0 => {}
            Err(_) => break,
        }
    }
    // What was written before is kept, nothing is written after.
    fetching.close();
    answers.extend(fetching.answers.try_iter());
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
    answers
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
}

#[cfg(test)]
mod tests;
