//! `cluster console`: one console as QEMU writes it, byte by byte and read-only.

use std::os::unix::fs::FileExt;
use std::time::Duration;

use clap::Args;

use super::{Which, choose, look_up};
use crate::app::App;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::wait::{Wait, Waited};
use foundation::{files, typed, ui};

#[derive(Debug, Args)]
pub struct ConsoleArgs {
    #[command(flatten)]
    pub which: Which,
    /// Node name, name suffix (worker-1) or address
    pub node: String,
}

/// How often the console is read: a byte is shown within this time.
const LOOK: Duration = Duration::from_millis(25);
/// Bytes of older output that are shown first.
const BEFORE: u64 = 4 << 10;

pub(super) fn run(app: &App<'_>, args: &ConsoleArgs) -> Result<u8> {
    let view = look_up(app, &args.which)?;
    let nodes = choose(&view, std::slice::from_ref(&args.node))?;
    let [node] = nodes[..] else {
        return Err(
            Failure::usage(format!("`{}` are {} nodes", args.node, nodes.len()))
                .cause("a console is of one node")
                .hint(typed!("cluster logs -f --name {} {}", view.name, args.node)),
        );
    };
    app.ui.note(&format!(
        "console of {}, read-only; Ctrl-C leaves",
        node.name
    ));
    let what = || format!("cannot read the console `{}`", node.console);
    let mut offset = None;
    let mut buffer = vec![0; 64 << 10];
    let waited = Wait::default()
        .or_signal(app.signals)
        .look_every(LOOK, || {
            // The file is missing for a moment when a new cluster is created.
            if let Some(file) = files::open(&node.console).because(what)? {
                let length = file.metadata().because(what)?.len();
                let at = offset.get_or_insert(length.saturating_sub(BEFORE));
                if length < *at {
                    *at = 0;
                }
                while let Ok(read @ 1..) = file.read_at(&mut buffer, *at) {
                    *at += read as u64;
                    if ui::try_print_bytes(&buffer[..read]).is_err() {
                        return Ok(Some(()));
                    }
                }
            }
            Ok::<_, Failure>(None)
        })?;
    Ok(match waited {
        Waited::Found(()) => 0,
        Waited::TimedOut | Waited::Interrupted => Exit::Interrupted.code(),
    })
}
