//! `cluster logs`: the guide's "Console Logs", of all nodes in one stream, with
//! times that can be compared.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant, UNIX_EPOCH};

use clap::Args;
use jiff::tz::TimeZone;
use talos::console::{BootTracker, Console, Lines, MergedLine, clean, merge};

use super::{Which, choose, look_up};
use crate::app::App;
use foundation::ctx::cluster::NodeView;
use foundation::failure::{Because, Exit, Result};
use foundation::files;
use foundation::record::runs::now_ms;
use foundation::ui::text::{column_width, one_line};
use foundation::ui::{self, Style};

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
    #[arg(id = "dry_run", long, hide = true)]
    pub dry_run: bool,
    /// Show only the current boot of each node
    #[arg(short, long)]
    pub boot: bool,
    /// Node names, name suffixes (worker-1), addresses or patterns ('worker-*') [default: all]
    pub nodes: Vec<String>,
}

/// How often followed consoles are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Shown before following, where no number is asked for.
const BEFORE_FOLLOWING: usize = 20;
/// Of one console that is held in memory.
const LARGEST: u64 = 128 << 20;

/// One console in memory.
struct Loaded {
    node: String,
    bytes: Vec<u8>,
    /// Where the bytes begin and end in the file.
    end: u64,
    newest_ms: i64,
}

pub(super) fn run(app: &App<'_>, args: &LogsArgs) -> Result<u8> {
    let view = look_up(app, &args.which)?;
    let nodes = choose(&view, &args.nodes)?;
    let loaded = nodes
        .iter()
        .map(|node| load(app, node, args.boot))
        .collect::<Result<Vec<Loaded>>>()?;
    let printer = Printer::new(app, &nodes);
    let consoles: Vec<Console<'_>> = loaded
        .iter()
        .map(|console| Console {
            node: &console.node,
            bytes: &console.bytes,
            newest_ms: console.newest_ms,
        })
        .collect();
    let limit = args.lines.or(args.follow.then_some(BEFORE_FOLLOWING));
    for line in last(merge(&consoles), limit) {
        if !printer.line(line.wall_ms, line.node, &line.text) {
            return Ok(0);
        }
    }
    if args.follow {
        Ok(follow(app, &nodes, &loaded, &printer))
    } else {
        Ok(0)
    }
}

fn load(app: &App<'_>, node: &NodeView, only_present_boot: bool) -> Result<Loaded> {
    let what = || format!("cannot read the console `{}`", node.console);
    let file = files::open(&node.console)
        .and_then(|file| file.ok_or_else(|| ErrorKind::NotFound.into()))
        .because(what)?;
    let metadata = file.metadata().because(what)?;
    let from = metadata.len().saturating_sub(LARGEST);
    if from > 0 {
        app.ui.note(&format!(
            "the console of {} is larger than {} MiB: this is its end",
            node.name,
            LARGEST >> 20
        ));
    }
    let mut bytes = Vec::new();
    (&file)
        .seek(SeekFrom::Start(from))
        .and_then(|_| (&file).take(LARGEST).read_to_end(&mut bytes))
        .because(what)?;
    let end = from + bytes.len() as u64;
    let modified = metadata.modified().because(what)?;
    let since = modified.duration_since(UNIX_EPOCH).unwrap_or_default();
    if only_present_boot {
        let mut tracker = BootTracker::default();
        tracker.feed(&bytes);
        tracker.finish();
        let from = tracker
            .current()
            .map_or(0, |boot| usize::try_from(boot.offset).unwrap_or(0));
        bytes.drain(..from.min(bytes.len()));
    }
    let newest_ms = i64::try_from(since.as_millis()).unwrap_or(i64::MAX);
    Ok(Loaded {
        node: node.name.clone(),
        bytes,
        end,
        newest_ms,
    })
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

/// Until Ctrl-C or until the reader closes the pipe.
fn follow(app: &App<'_>, nodes: &[&NodeView], loaded: &[Loaded], printer: &Printer<'_>) -> u8 {
    let mut followed: Vec<(&NodeView, u64, Lines)> = nodes
        .iter()
        .zip(loaded)
        .map(|(node, console)| (*node, console.end, Lines::default()))
        .collect();
    let mut buffer = vec![0; 64 << 10];
    while app.signals.count() == 0 {
        for (node, offset, lines) in &mut followed {
            // Gone for a moment, or for good: a new cluster may come.
            let Ok(Some(file)) = files::open(&node.console) else {
                continue;
            };
            if file
                .metadata()
                .is_ok_and(|metadata| metadata.len() < *offset)
            {
                *offset = 0;
            }
            while let Ok(read @ 1..) = file.read_at(&mut buffer, *offset) {
                *offset += read as u64;
                let now = i64::try_from(now_ms()).unwrap_or(i64::MAX);
                let mut open = true;
                lines.feed(&buffer[..read], |_, line| {
                    open &= printer.line(now, &node.name, &String::from_utf8_lossy(&clean(line)));
                });
                if !open {
                    return 0;
                }
            }
        }
        app.signals.wait_until(Instant::now() + LOOK);
    }
    Exit::Interrupted.code()
}

struct Printer<'a> {
    app: &'a App<'a>,
    width: usize,
    zone: TimeZone,
}

impl<'a> Printer<'a> {
    fn new(app: &'a App<'a>, nodes: &[&NodeView]) -> Self {
        let width = column_width(nodes.iter().map(|node| &node.name));
        Self {
            app,
            width,
            zone: TimeZone::system(),
        }
    }

    /// False once the reader has closed the pipe, as `| head` does.
    fn line(&self, wall_ms: i64, node: &str, text: &str) -> bool {
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
        ui::try_print(&format!("{prefix} {text}\n")).is_ok()
    }
}
