//! Repeated fetches: `--every 30s --for 10m`. All profiles are saved; what
//! grows is reported at the end, or later by `pprof open NAME --leak`.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use super::args::FetchArgs;
use super::fetch::Keeping;
use super::kept::{Kept, Memory, Readable};
use super::leak::{self, Moment};
use super::present::{Form, Presentation};
use super::store::{self, Entry, Set};
use super::target::Target;
use super::{budget, cluster, fetch, groups, load};
use crate::app::App;
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;
use foundation::ui;

/// The interval of `--leak` without `--every`.
const EVERY: Duration = Duration::from_secs(10);
/// The number of intervals without `--for`.
const INTERVALS: u32 = 10;
/// More rounds would fill the disk without telling more.
const MOST: usize = 2000;

/// Fetches until the time is over, then reports.
pub(super) fn run(
    app: &App<'_>,
    targets: &[Target],
    args: &FetchArgs,
    show: &Presentation,
) -> Result<u8> {
    let (every, length) = times(args)?;
    let begun = Instant::now();
    let root = store::root(&app.ctx.dirs.state);
    let (stamp, time) = moment();
    let mut set = Set::new(&store::new_id(&root, &stamp, targets), &time);
    let dir = args
        .dir
        .as_ref()
        .map_or_else(|| root.join(&set.id), |dir| app.ctx.cwd.join(dir));
    let (mut missing, mut interrupted) = (None, false);
    let mut next = begun;
    for round in 1..=MOST {
        if next.duration_since(begun) > length {
            break;
        }
        app.signals.wait_until(next);
        if app.signals.count() > 0 {
            interrupted = true;
            break;
        }
        let left = length.saturating_sub(begun.elapsed());
        app.ui
            .progress(&format!("round {round}, {} s to go", left.as_secs()));
        let (stamp, time) = moment();
        let keeping = Keeping::put_away(&dir, &stamp);
        let answers = fetch::all(app, targets, args, &time, keeping)?;
        interrupted = app.signals.count() > 0;
        store::append(&dir, &mut set, Some(&time), &answers)?;
        missing = cluster::missing(app, &answers, args).or(missing);
        if interrupted {
            break;
        }
        // A round that took longer than the interval is followed by the next at
        // once.
        while next <= Instant::now() {
            next += every;
        }
    }
    app.ui.progress(&format!("saved in {dir}"));
    let told = tell(app, &set.profiles(&dir), show);
    if interrupted {
        told?;
        return Err(
            Failure::new(Exit::Interrupted, "the series was interrupted").hint(format!(
                "what has come is kept: {}",
                typed!("pprof open {}", set.id)
            )),
        );
    }
    match missing {
        Some(failure) if !args.allow_missing => Err(failure),
        _ => told,
    }
}

/// Returns the interval and the length.
fn times(args: &FetchArgs) -> Result<(Duration, Duration)> {
    let every = args.every.unwrap_or(EVERY);
    let length = args.length.unwrap_or(every * INTERVALS);
    if length < every * 2 {
        return Err(Failure::usage("a series needs two intervals or more")
            .hint(format!("--for {}s", every.as_secs() * 10)));
    }
    Ok((every, length))
}

fn moment() -> (String, String) {
    let now = jiff::Timestamp::now();
    (
        store::stamp(now),
        now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
    )
}

/// Shows the requested form; without one, what grows. Budgets are those of the last round.
pub(super) fn tell(
    app: &App<'_>,
    found: &[(Entry, Utf8PathBuf)],
    show: &Presentation,
) -> Result<u8> {
    let unbounded = Presentation {
        fail_if: Vec::new(),
        ..show.clone()
    };
    let code = show_all(app, found, &unbounded)?;
    if !show.fail_if.is_empty() {
        check(&last(found.iter()), show)?;
    }
    Ok(code)
}

/// Checks the budgets of one round.
fn check(round: &[(Entry, Utf8PathBuf)], show: &Presentation) -> Result<()> {
    let mut room = Memory::default();
    let moments: Result<Vec<Moment>> = round
        .iter()
        .map(|(entry, file)| read(file, Some(entry), &mut room))
        .collect();
    let moments = moments?;
    let profiles = round.iter().zip(&moments).map(|((entry, _), moment)| {
        let whose = format!("{} {}", entry.node, entry.service);
        let profile = &moment.profile as &dyn Readable;
        (Some(entry.service.as_str()), whose, profile)
    });
    budget::check(&show.fail_if, &show.query, &profiles.collect::<Vec<_>>())
}

fn show_all(app: &App<'_>, found: &[(Entry, Utf8PathBuf)], show: &Presentation) -> Result<u8> {
    if matches!(show.form, Form::Flame | Form::Web) {
        return groups::timeline(app, found, show);
    }
    if show.form.sums_nodes() || show.form == Form::Controllers {
        app.ui.note("of a series, this shows the last round");
        return cluster::reopen(app, last(found.iter()), show);
    }
    let mut groups: BTreeMap<(&str, &str), Vec<&(Entry, Utf8PathBuf)>> = BTreeMap::new();
    for one in found {
        let group = groups.entry((&one.0.service, &one.0.profile));
        group.or_default().push(one);
    }
    let (mut judged, mut others) = (Vec::new(), Vec::new());
    for ((service, profile), entries) in groups {
        let (mut moments, mut room) = (Vec::new(), Memory::default());
        for (entry, file) in &entries {
            moments.push(read(file, Some(entry), &mut room)?);
        }
        // A cumulative value has no trend: its last round is shown, as for any
        // other form.
        if show.form == Form::Leak || leak::can_leak(&*moments[0].profile.read()?, &show.query) {
            judged.push((format!("{service} {profile}"), moments));
        } else {
            others.extend(last(entries.into_iter()));
        }
    }
    let code = verdicts(app, judged, show)?;
    if !others.is_empty() {
        cluster::reopen(app, others, show)?;
    }
    Ok(code)
}

/// Returns the last round.
fn last<'a>(
    entries: impl Iterator<Item = &'a (Entry, Utf8PathBuf)> + Clone,
) -> Vec<(Entry, Utf8PathBuf)> {
    let last = entries.clone().map(|(entry, _)| &entry.time).max();
    let of_last = entries.filter(|(entry, _)| Some(&entry.time) == last);
    of_last.cloned().collect()
}

/// Reports leaks in files of any origin, distinguished by the labels of a
/// fetch.
pub(super) fn leak(app: &App<'_>, files: &[Utf8PathBuf], show: &Presentation) -> Result<u8> {
    let (mut moments, mut room) = (Vec::new(), Memory::default());
    for file in files {
        moments.push(read(file, None, &mut room)?);
    }
    // Without times, the order on the command line counts.
    if moments.iter().any(|moment| moment.time == 0.0) {
        for (place, moment) in (0_u32..).zip(&mut moments) {
            moment.time = f64::from(place);
        }
    }
    let newest = moments.iter().max_by(|a, b| a.time.total_cmp(&b.time));
    let budgets = newest.map_or(Ok(()), |moment| {
        let profile = &moment.profile as &dyn Readable;
        let profiles = [(None, moment.node.clone(), profile)];
        budget::check(&show.fail_if, &show.query, &profiles)
    });
    let code = verdicts(app, vec![("profiles".to_owned(), moments)], show)?;
    // Reported last, after what was asked for.
    budgets.map(|()| code)
}

/// Reads a profile with its time and node, from the file alone if necessary.
#[allow(clippy::cast_precision_loss)] // milliseconds are left
pub(super) fn read(file: &Utf8Path, entry: Option<&Entry>, room: &mut Memory) -> Result<Moment> {
    let profile = load::read(file)?;
    let labels = profile.label_values("node");
    let labels = labels.map_err(|error| load::engine(&error))?;
    let node = match (entry, &labels[..]) {
        (Some(entry), _) => entry.node.clone(),
        (None, [node]) => node.clone(),
        (None, _) => "all".to_owned(),
    };
    Ok(Moment {
        node,
        time: profile.header.time_nanos as f64 / 1e9,
        // Standard input can only be read once.
        profile: if file == "-" {
            Kept::Held(Box::new(profile))
        } else {
            room.keep(profile, file.to_owned())
        },
    })
}

fn verdicts(app: &App<'_>, groups: Vec<(String, Vec<Moment>)>, show: &Presentation) -> Result<u8> {
    let (mut leaks, mut data, mut refused) = (false, Vec::new(), None);
    for (title, moments) in groups {
        match leak::judge(moments, &show.query) {
            Ok(verdict) => {
                leaks |= verdict.leaks();
                if show.json {
                    data.push(json!({"profile": title, "verdict": verdict.json()}));
                } else {
                    ui::print(&verdict.text(app, &title, show.rows));
                }
            }
            // `--all` fetches profiles that cannot leak beside those that can.
            Err(failure) => {
                app.ui.note(&format!("{title}: {}", failure.what));
                refused = Some(failure);
            }
        }
    }
    if show.json && !data.is_empty() {
        ui::print_report(json!({"leaks": leaks, "groups": data}));
    }
    match refused {
        Some(failure) if show.form == Form::Leak => Err(failure),
        _ => Ok(u8::from(show.form == Form::Leak && leaks)),
    }
}
