//! `cluster logs`: the guide's "Console Logs", of all nodes in one stream, with
//! times that can be compared.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant, UNIX_EPOCH};

use camino::Utf8PathBuf;
use clap::Args;
use glob::Pattern;
use jiff::tz::TimeZone;
use talos::console::{BootTracker, Console, Lines, MergedLine, clean, merge};

use super::{Which, choose, existing_name, is_named, look_up, pattern};
use crate::app::App;
use foundation::ctx::cluster::{ClusterView, NodeView};
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::files;
use foundation::record::runs::now_ms;
use foundation::ui::text::{column_width, one_line};
use foundation::ui::{self, Style};
use foundation::wait::{Wait, Waited};

#[derive(Debug, Args)]
pub struct LogsArgs {
    #[command(flatten)]
    pub which: Which,
    /// Keep printing new lines
    #[arg(short, long)]
    pub follow: bool,
    /// Show only the last N lines
    #[arg(short = 'n', short_alias = 'N', long, value_name = "N")]
    pub lines: Option<usize>,
    /// In place of the global option, whose `-n` is the number of lines here.
    #[arg(id = "dry_run", long = "dry-run", hide = true)]
    pub dry_run: bool,
    /// Show only the current boot of each node
    #[arg(short, long)]
    pub boot: bool,
    /// Node names, name suffixes (worker-1), addresses or patterns ('worker-*') [default: all]
    pub nodes: Vec<String>,
}

/// How often followed consoles are read: a line is shown within this time.
const LOOK: Duration = Duration::from_millis(25);
/// How often consoles of new nodes are looked for.
const RESCAN: Duration = Duration::from_millis(250);
/// Bytes read of a console for each line that is asked for, at first.
const LINE: u64 = 256;
/// Lines shown before following, if no number is requested.
const BEFORE_FOLLOWING: usize = 20;
/// Maximum bytes of one console in memory.
const LARGEST: u64 = 128 << 20;

/// One console in memory.
struct Loaded {
    node: String,
    console: Utf8PathBuf,
    bytes: Vec<u8>,
    /// Where the bytes begin and end in the file.
    end: u64,
    newest_ms: i64,
}

pub(super) fn run(app: &App<'_>, args: &LogsArgs) -> Result<u8> {
    let name = existing_name(app, &args.which)?;
    let nodes = if args.follow {
        let view = ClusterView::probe(&app.ctx, name.as_str());
        if view.nodes.is_empty() {
            app.ui
                .note(&format!("waiting for the nodes of cluster `{name}`"));
        }
        matching(&view, &args.nodes)?
    } else {
        choose(&look_up(app, &args.which)?, &args.nodes)?
            .into_iter()
            .cloned()
            .collect()
    };
    let limit = args.lines.or(args.follow.then_some(BEFORE_FOLLOWING));
    let loaded = nodes
        .iter()
        .filter_map(|node| load(app, node, args, limit).transpose())
        .collect::<Result<Vec<Loaded>>>()?;
    let mut printer = Printer::new(app, nodes.iter().map(|node| node.name.as_str()));
    let consoles: Vec<Console<'_>> = loaded
        .iter()
        .map(|console| Console {
            node: &console.node,
            bytes: &console.bytes,
            newest_ms: console.newest_ms,
        })
        .collect();
    for line in last(merge(&consoles), limit) {
        if !Printer::print(&format!(
            "{}{}\n",
            printer.prefix(line.wall_ms, line.node),
            line.text
        )) {
            return Ok(0);
        }
    }
    if !args.follow {
        return Ok(0);
    }
    drop(consoles);
    let followed = loaded.into_iter().map(Followed::from).collect();
    follow(app, args, name.as_str(), followed, &mut printer)
}

/// Returns the requested nodes that exist.
///
/// # Errors
/// For an invalid pattern.
fn matching(view: &ClusterView, wanted: &[String]) -> Result<Vec<NodeView>> {
    let patterns = wanted
        .iter()
        .map(|word| pattern(word))
        .collect::<Result<Vec<Pattern>>>()?;
    let is_wanted = |node: &&NodeView| {
        let matches = |pattern| is_named(pattern, &view.name, &node.name, node.ip);
        patterns.is_empty() || patterns.iter().any(matches)
    };
    Ok(view.nodes.iter().filter(is_wanted).cloned().collect())
}

/// Reads the end of a console that has `limit` lines, or all of it; `None` if there
/// is no console yet.
fn load(
    app: &App<'_>,
    node: &NodeView,
    args: &LogsArgs,
    limit: Option<usize>,
) -> Result<Option<Loaded>> {
    let what = || format!("cannot read the console `{}`", node.console);
    let Some(file) = files::open(&node.console).because(what)? else {
        app.ui.note(&format!("{} has no console yet", node.name));
        return Ok(None);
    };
    let metadata = file.metadata().because(what)?;
    let read = match limit.filter(|_| !args.boot) {
        Some(lines) => Tail::of_lines(&file, metadata.len(), lines),
        None => Tail::from(&file, metadata.len().saturating_sub(LARGEST)),
    };
    let Tail {
        from,
        mut bytes,
        is_cut,
    } = read.because(what)?;
    if is_cut {
        app.ui.note(&format!(
            "the console of {} is larger than {} MiB: this is its end",
            node.name,
            LARGEST >> 20
        ));
    }
    // It may have grown since its length was read.
    let end = from + bytes.len() as u64;
    let modified = metadata.modified().because(what)?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    if args.boot {
        let mut tracker = BootTracker::default();
        tracker.feed(&bytes);
        tracker.finish();
        let from = tracker
            .current()
            .map_or(0, |boot| usize::try_from(boot.offset).unwrap_or(0));
        bytes.drain(..from.min(bytes.len()));
    }
    let newest_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    Ok(Some(Loaded {
        node: node.name.clone(),
        console: node.console.clone(),
        bytes,
        end,
        newest_ms,
    }))
}

/// The end of a console.
struct Tail {
    /// Offset of the first byte.
    from: u64,
    bytes: Vec<u8>,
    /// More was requested than is held in memory.
    is_cut: bool,
}

impl Tail {
    fn from(mut file: &File, from: u64) -> std::io::Result<Self> {
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(from))?;
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(Self {
            from,
            bytes,
            is_cut: from > 0,
        })
    }

    /// At least `lines` whole lines, if the file has as many.
    fn of_lines(file: &File, length: u64, lines: usize) -> std::io::Result<Self> {
        let mut size = (lines as u64 + 1).saturating_mul(LINE).max(64 << 10);
        loop {
            let tail = Self::from(file, length.saturating_sub(size.min(LARGEST)))?;
            // The first line may be cut.
            let is_enough = tail.bytes.split(|byte| *byte == b'\n').count() > lines + 1;
            if is_enough || tail.from == 0 || size >= LARGEST {
                let is_cut = tail.is_cut && !is_enough;
                return Ok(Self { is_cut, ..tail });
            }
            size = size.saturating_mul(4);
        }
    }
}

/// The last `limit` lines, or all.
fn last<'a>(
    lines: impl Iterator<Item = MergedLine<'a>>,
    limit: Option<usize>,
) -> Vec<MergedLine<'a>> {
    let Some(limit) = limit else {
        return lines.collect();
    };
    let mut kept = VecDeque::with_capacity(limit.min(4096) + 1);
    for line in lines {
        kept.push_back(line);
        if kept.len() > limit {
            kept.pop_front();
        }
    }
    kept.into()
}

/// A console that is followed.
struct Followed {
    node: String,
    console: Utf8PathBuf,
    offset: u64,
    lines: Lines,
}

impl From<Loaded> for Followed {
    fn from(loaded: Loaded) -> Self {
        Self {
            node: loaded.node,
            console: loaded.console,
            offset: loaded.end,
            lines: Lines::default(),
        }
    }
}

impl Followed {
    /// Adds what was written since the last call to `out`.
    fn read(&mut self, buffer: &mut [u8], printer: &Printer<'_>, out: &mut String) {
        // The file may be missing for a moment, or until a new cluster is
        // created.
        let Ok(Some(file)) = files::open(&self.console) else {
            return;
        };
        if file
            .metadata()
            .is_ok_and(|metadata| metadata.len() < self.offset)
        {
            self.offset = 0;
        }
        while let Ok(read @ 1..) = file.read_at(buffer, self.offset) {
            self.offset += read as u64;
            let now = i64::try_from(now_ms()).unwrap_or(i64::MAX);
            let prefix = printer.prefix(now, &self.node);
            self.lines.feed(&buffer[..read], |_, line| {
                out.push_str(&prefix);
                out.push_str(&String::from_utf8_lossy(&clean(line)));
                out.push('\n');
            });
        }
    }
}

/// Follows the consoles, also of nodes that are created later, until Ctrl-C or until the
/// reader closes the pipe.
fn follow(
    app: &App<'_>,
    args: &LogsArgs,
    name: &str,
    mut followed: Vec<Followed>,
    printer: &mut Printer<'_>,
) -> Result<u8> {
    let mut buffer = vec![0; 64 << 10];
    let mut out = String::new();
    let mut rescan = Instant::now() + RESCAN;
    let mut known = ClusterView::consoles(&app.ctx, name);
    let waited = Wait::default()
        .or_signal(app.signals)
        .look_every(LOOK, || {
            for console in &mut followed {
                console.read(&mut buffer, printer, &mut out);
            }
            if !out.is_empty() {
                if !Printer::print(&out) {
                    return Ok(Some(()));
                }
                out.clear();
            }
            if Instant::now() >= rescan {
                rescan = Instant::now() + RESCAN;
                let present = ClusterView::consoles(&app.ctx, name);
                if present != known {
                    let view = ClusterView::probe(&app.ctx, name);
                    add_new(&mut followed, matching(&view, &args.nodes)?, printer);
                    known = present;
                }
            }
            Ok::<_, Failure>(None)
        })?;
    Ok(match waited {
        Waited::Found(()) => 0,
        Waited::TimedOut | Waited::Interrupted => Exit::Interrupted.code(),
    })
}

fn add_new(followed: &mut Vec<Followed>, nodes: Vec<NodeView>, printer: &mut Printer<'_>) {
    for node in nodes {
        if followed
            .iter()
            .any(|console| console.console == node.console)
        {
            continue;
        }
        printer.widen(&node.name);
        followed.push(Followed {
            node: node.name,
            console: node.console,
            offset: 0,
            lines: Lines::default(),
        });
    }
}

struct Printer<'a> {
    app: &'a App<'a>,
    width: usize,
    zone: TimeZone,
}

impl<'a> Printer<'a> {
    fn new<'n>(app: &'a App<'a>, nodes: impl Iterator<Item = &'n str>) -> Self {
        Self {
            app,
            width: column_width(nodes),
            zone: TimeZone::system(),
        }
    }

    fn widen(&mut self, node: &str) {
        self.width = self.width.max(column_width([node]));
    }

    /// Returns what precedes a line: time and node, and a blank.
    fn prefix(&self, wall_ms: i64, node: &str) -> String {
        let time = jiff::Timestamp::from_millisecond(wall_ms)
            .map(|time| {
                time.to_zoned(self.zone.clone())
                    .strftime("%H:%M:%S%.3f")
                    .to_string()
            })
            .unwrap_or_default();
        let prefix = self.app.ui.paint(
            Style::Dim,
            &format!("{time} {:<width$}", one_line(node), width = self.width),
        );
        format!("{prefix} ")
    }

    /// Returns false once the reader has closed the pipe, as `| head` does.
    fn print(text: &str) -> bool {
        ui::try_print(text).is_ok()
    }
}
