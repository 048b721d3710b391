//! Logs that are read: files, standard input, or those of nodes.

use std::io::Read;

use clap::Args;
use selinux::log::{Denials, Reader, Summary};

use crate::app::App;
use crate::commands::cluster::{self, Which, reach};
use foundation::failure::{Because, Failure, Result};
use foundation::{files, typed};

#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Log with audit records; `-` reads stdin
    #[arg(value_name = "LOG", required_unless_present = "node")]
    pub logs: Vec<String>,
    /// Node whose audit log and kernel log are read together; repeatable
    #[arg(long, value_name = "NODE", conflicts_with = "logs")]
    pub node: Vec<String>,
    #[command(flatten)]
    pub which: Which,
}

impl LogArgs {
    pub(super) fn files(logs: &[String]) -> Self {
        Self {
            logs: logs.to_owned(),
            node: Vec::new(),
            which: Which { name: None },
        }
    }
}

/// Bytes read at a time.
const PIECE: usize = 256 << 10;

pub(super) fn read(app: &App<'_>, args: &LogArgs) -> Result<(Denials, Summary)> {
    let mut reader = Reader::new();
    for log in &args.logs {
        reader.begin(log, None);
        if log == "-" {
            feed(&mut reader, std::io::stdin().lock())
                .because(|| "cannot read stdin".to_owned())?;
            continue;
        }
        let what = || Failure::host(format!("cannot read `{log}`"));
        let file = files::open(&app.ctx.cwd.join(log)).map_err(|error| what().cause(error))?;
        let file = file.ok_or_else(|| {
            Failure::usage(format!("the log `{log}` does not exist")).hint(format!(
                "talosctl logs auditd | {}",
                typed!("selinux denials -")
            ))
        })?;
        feed(&mut reader, file).map_err(|error| what().cause(error))?;
    }
    if !args.node.is_empty() {
        read_nodes(app, args, &mut reader)?;
    }
    Ok(reader.finish())
}

fn feed(reader: &mut Reader, mut from: impl Read) -> std::io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => reader.feed(&buffer[..count]),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// The audit log has what auditd read, and the kernel log what was before, and how
/// many records were lost.
fn read_nodes(app: &App<'_>, args: &LogArgs, reader: &mut Reader) -> Result<()> {
    let name = cluster::existing_name(app, &args.which)?;
    let view = cluster::look_up(app, &args.which)?;
    for node in cluster::choose(&view, &args.node)? {
        let ip = node.ip.ok_or_else(|| {
            Failure::host(format!("the address of node `{}` is unknown", node.name))
                .hint(typed!("cluster status --name {}", name))
        })?;
        let api = reach::api_of(&app.ctx, &name, ip)?;
        let ask = |words: &[&str]| {
            let what = || format!("cannot read `{}` of node `{}`", words.join(" "), node.name);
            api.bytes(words).because(what)
        };
        let audit = ask(&["logs", "auditd"]);
        let kernel = ask(&["dmesg"]);
        let audit = match (audit, &kernel) {
            (Ok(audit), _) => audit,
            // With `talos.auditd.disabled=1` all of it is in the kernel's log.
            (Err(failure), Ok(_)) => {
                app.ui.note(&failure.in_one_line());
                Vec::new()
            }
            (Err(failure), Err(_)) => return Err(failure),
        };
        reader.begin(&format!("{} dmesg", node.name), Some(&node.name));
        reader.feed(&kernel?);
        reader.begin(&format!("{} auditd", node.name), Some(&node.name));
        reader.feed(&audit);
    }
    Ok(())
}
