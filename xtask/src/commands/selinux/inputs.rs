//! Logs that are read: files, standard input, or those of nodes.

use std::fs::File;
use std::io::Read;

use clap::Args;
use selinux::log::{Denials, Reader, Summary};

use crate::app::App;
use crate::commands::cluster::{self, Which, reach};
use foundation::ctx::cluster::NodeView;
use foundation::ctx::node_api::NodeApi;
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
pub(super) const PIECE: usize = 256 << 10;

pub(super) fn read(app: &App<'_>, args: &LogArgs) -> Result<(Denials, Summary)> {
    let mut reader = Reader::new();
    for log in &args.logs {
        reader.begin(log, None);
        if log == "-" {
            feed(&mut reader, std::io::stdin().lock())
                .because(|| "cannot read stdin".to_owned())?;
            continue;
        }
        let file = open(app, log)?;
        feed(&mut reader, file).because(|| format!("cannot read `{log}`"))?;
    }
    if !args.node.is_empty() {
        read_nodes(app, args, &mut reader)?;
    }
    Ok(reader.finish())
}

/// Opens a log.
///
/// # Errors
/// If it does not exist, or is not a file.
pub(super) fn open(app: &App<'_>, log: &str) -> Result<File> {
    let file = files::open(&app.ctx.cwd.join(log)).because(|| format!("cannot read `{log}`"))?;
    file.ok_or_else(|| {
        Failure::usage(format!("the log `{log}` does not exist")).hint(format!(
            "talosctl logs auditd | {}",
            typed!("selinux denials -")
        ))
    })
}

pub(super) fn feed(reader: &mut Reader, mut from: impl Read) -> std::io::Result<()> {
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

/// A node whose logs are read.
pub(super) struct LogNode {
    name: String,
    api: NodeApi,
}

/// The audit log has what auditd read, and the kernel log what was before, and how
/// many records were lost.
pub(super) struct NodeLogs {
    kernel: Vec<u8>,
    audit: Vec<u8>,
    /// Why there is no audit log.
    pub(super) note: Option<String>,
}

/// Returns the nodes that were named.
///
/// # Errors
/// If there is no such node, or its address is unknown.
pub(super) fn nodes(app: &App<'_>, args: &LogArgs) -> Result<Vec<LogNode>> {
    let name = cluster::existing_name(app, &args.which)?;
    let view = cluster::look_up(app, &args.which)?;
    let of_node = |node: &NodeView| {
        let ip = node.ip.ok_or_else(|| {
            Failure::host(format!("the address of node `{}` is unknown", node.name))
                .hint(typed!("cluster status --name {}", name))
        })?;
        Ok(LogNode {
            name: node.name.clone(),
            api: reach::api_of(&app.ctx, &name, ip)?,
        })
    };
    let chosen = cluster::choose(&view, &args.node)?;
    chosen.into_iter().map(of_node).collect()
}

impl LogNode {
    /// Reads both logs.
    ///
    /// # Errors
    /// If the node does not answer.
    pub(super) fn logs(&self) -> Result<NodeLogs> {
        let ask = |words: &[&str]| {
            let what = || format!("cannot read `{}` of node `{}`", words.join(" "), self.name);
            self.api.bytes(words).because(what)
        };
        let audit = ask(&["logs", "auditd"]);
        let kernel = ask(&["dmesg"])?;
        Ok(match audit {
            Ok(audit) => NodeLogs {
                kernel,
                audit,
                note: None,
            },
            // With `talos.auditd.disabled=1` all of it is in the kernel's log.
            Err(failure) => NodeLogs {
                kernel,
                audit: Vec::new(),
                note: Some(failure.in_one_line()),
            },
        })
    }

    pub(super) fn feed(&self, reader: &mut Reader, logs: &NodeLogs) {
        reader.begin(&format!("{} dmesg", self.name), Some(&self.name));
        reader.feed(&logs.kernel);
        reader.begin(&format!("{} auditd", self.name), Some(&self.name));
        reader.feed(&logs.audit);
    }
}

fn read_nodes(app: &App<'_>, args: &LogArgs, reader: &mut Reader) -> Result<()> {
    for node in nodes(app, args)? {
        let logs = node.logs()?;
        if let Some(note) = &logs.note {
            app.ui.note(note);
        }
        node.feed(reader, &logs);
    }
    Ok(())
}
