//! `podtrace btf`: reads the types of a node's kernel and makes C of them, so that
//! programs are compiled for that kernel and not for that of the build host.

use std::fmt::Write;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use foundation::ctx::host::Host;
use foundation::ctx::probe::Probe;
use foundation::failure::{Because, Exit, Failure, Result};
use foundation::record::files;
use foundation::typed;
use foundation::ui::{self};
use foundation::{program, units};
use serde_json::json;

use super::checks::checks;
use crate::app::App;
use crate::checklist;
use crate::commands::cluster::Which;
use crate::commands::cluster::reach::reach;

const BTF: &str = "/sys/kernel/btf/vmlinux";
/// In the byte order of the kernel.
const MAGIC: u16 = 0xeb9f;
/// Fewer is the stub that podtrace's sources have.
const FEWEST_LINES: usize = 1000;
/// Largest header. That of a 6.18 kernel has 4 MiB.
const LARGEST: usize = 128 << 20;

#[derive(Debug, Clone, Args)]
pub struct BtfArgs {
    /// Node: name, end of it, or address; an address may be of a machine outside of the cluster
    #[arg(value_name = "NODE")]
    pub node: String,
    /// Folder for vmlinux.btf and vmlinux.h; podtrace builds with bpf/.generated [default: this folder]
    #[arg(short, long, value_name = "DIR")]
    pub output: Option<Utf8PathBuf>,
    /// Namespace of the pods that are to be traced
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    pub namespace: String,
    #[command(flatten)]
    pub which: Which,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

pub(super) fn run(app: &App<'_>, args: &BtfArgs) -> Result<u8> {
    let node = reach(app, &args.which, &args.node)?;
    let bpftool = Host::which_as_root("bpftool").ok_or_else(|| {
        Failure::host("bpftool not found")
            .cause("it makes vmlinux.h of the kernel's types")
            .hint(program!("apt-get install {}", "bpftool"))
    })?;
    let folder = app
        .ctx
        .cwd
        .join(args.output.as_deref().unwrap_or(Utf8Path::new("")));
    let (btf, header) = (folder.join("vmlinux.btf"), folder.join("vmlinux.h"));
    let types = node.api.bytes(&["read", BTF]).map_err(|error| {
        Failure::host(format!("cannot read {BTF} of node `{}`", node.name))
            .cause(error)
            .hint(typed!("cluster status"))
    })?;
    check_magic(&types, &node.name)?;
    let checks = checks(app, &node, &args.namespace);
    if app.is_dry() {
        if args.json {
            ui::print_report(json!({"would_write": [btf, header]}));
        } else {
            ui::print(&format!("would write {btf} and {header}\n"));
        }
        return Ok(0);
    }
    files::replace(&btf, &types, 0o644).because(|| format!("cannot write `{btf}`"))?;
    let text = header_of(&bpftool, &btf)?;
    files::replace(&header, &text, 0o644).because(|| format!("cannot write `{header}`"))?;
    let lines = lines_in(&text);
    if args.json {
        let mut report = checklist::to_json(&node.name, &checks);
        report["btf"] = json!({"path": btf, "bytes": types.len()});
        report["header"] = json!({"path": header, "lines": lines});
        ui::print_report(report);
    } else {
        let mut out = checklist::to_text(app.ui, &node.name, &checks);
        let size = units::human_size(types.len() as u64);
        let _ = writeln!(out, "{btf}: {size}");
        let _ = writeln!(out, "{header}: {lines} lines");
        out += &next(&args.namespace);
        ui::print(&out);
    }
    Ok(if checklist::has_failed(&checks) {
        Exit::Checks.code()
    } else {
        0
    })
}

fn check_magic(types: &[u8], node: &str) -> Result<()> {
    let magic = types.first_chunk().map(|bytes| {
        let read = [u16::from_le_bytes(*bytes), u16::from_be_bytes(*bytes)];
        read.contains(&MAGIC)
    });
    if magic == Some(true) {
        return Ok(());
    }
    Err(Failure::host(format!("{BTF} of node `{node}` is not BTF"))
        .cause(format!(
            "it has {} bytes and begins with another number than {MAGIC:#x}",
            types.len()
        ))
        .hint("use a kernel with CONFIG_DEBUG_INFO_BTF=y, as Talos' own are"))
}

fn header_of(bpftool: &Utf8Path, btf: &Utf8Path) -> Result<Vec<u8>> {
    let argv = [
        bpftool.as_str(),
        "btf",
        "dump",
        "file",
        btf.as_str(),
        "format",
        "c",
    ];
    let text = Probe::new(argv).largest(LARGEST).bytes().map_err(|error| {
        Failure::host(format!("cannot make C of `{btf}`"))
            .cause(error)
            .hint("an old bpftool does not know the types of a newer kernel")
    })?;
    let lines = lines_in(&text);
    if lines < FEWEST_LINES {
        return Err(
            Failure::host(format!("`{btf}` has too few types")).cause(format!(
                "its header has {lines} lines, that of a kernel some 100000"
            )),
        );
    }
    Ok(text)
}

fn lines_in(text: &[u8]) -> usize {
    text.split(|byte| *byte == b'\n').count() - 1
}

/// How podtrace is used now, and where its old page for Talos is out of date.
fn next(namespace: &str) -> String {
    let trace = program!("kubectl podtrace -n {} POD", namespace);
    format!(
        "next: {trace}\n\
         next: the same without internet on the nodes, first: talosctl image pull ghcr.io/gma1k/podtrace:VERSION\n\
         The types are only for a build from podtrace's sources, in which the former page for Talos is out of date:\n  \
         - put vmlinux.h in bpf/.generated, not in bpf, and run `make build HAVE_BTF=`: else the build host's types are used\n  \
         - for arm64, run `make build HAVE_BTF= BPF_GOARCH=arm64 GOARCH=arm64`: GOARCH alone embeds programs for amd64\n  \
         - its DaemonSet is invalid (it has no selector): `kubectl podtrace` starts a pod on the node by itself\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_btf_is_refused() {
        check_magic(&[0x9f, 0xeb, 1, 0], "n").unwrap();
        check_magic(&[0xeb, 0x9f, 1, 0], "n").unwrap();
        for bytes in [&b""[..], b"\x9f", b"<html>", b"\x7fELF"] {
            let failure = check_magic(bytes, "n").unwrap_err();
            assert!(failure.to_string().contains("is not BTF"), "{failure}");
        }
    }
}
