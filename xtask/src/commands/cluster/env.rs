//! `cluster env`: variables for the user's shell, as commands for it to evaluate.

use std::fmt::Write;

use clap::{Args, ValueEnum};

use super::client::{environment, find_kubectl, find_talosctl};
use super::{Which, look_up};
use crate::app::App;
use foundation::failure::Result;
use foundation::ui::text::one_line;
use foundation::{shell, typed, ui};

#[derive(Debug, Args)]
pub struct EnvArgs {
    #[command(flatten)]
    pub which: Which,
    /// Shell that evaluates the output
    #[arg(long, value_enum, default_value_t)]
    pub shell: Shell,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// POSIX shells: sh, bash, zsh
    #[default]
    Sh,
    Fish,
}

impl Shell {
    fn export(self, name: &str, value: &str) -> String {
        match self {
            Self::Sh => format!("export {name}={}\n", shell::quote(value)),
            Self::Fish => format!("set -gx {name} {}\n", fish_quote(value)),
        }
    }

    fn prepend_path(self, folder: &str) -> String {
        match self {
            Self::Sh => format!("export PATH={}:\"$PATH\"\n", shell::quote(folder)),
            Self::Fish => format!("set -gx PATH {} $PATH\n", fish_quote(folder)),
        }
    }
}

/// In single quotes fish knows two escapes.
fn fish_quote(word: &str) -> String {
    format!("'{}'", word.replace('\\', "\\\\").replace('\'', "\\'"))
}

pub(super) fn run(app: &App<'_>, args: &EnvArgs) -> Result<u8> {
    let ctx = &app.ctx;
    let view = look_up(app, &args.which)?;
    let own = ctx.client_config(&view.name);
    let mut out = String::new();
    for (name, path) in environment(ctx, &own) {
        out += &args.shell.export(name, path.as_str());
    }
    let mut folders = Vec::new();
    // kubectl of the checkout is a file of that name; talosctl is not.
    let kubectl = find_kubectl(ctx);
    let out_dir = ctx.checkout().ok().map(|checkout| checkout.out());
    folders.extend(out_dir.filter(|dir| kubectl.is_some_and(|path| path.parent() == Some(dir))));
    folders.extend(Some(own.bin()).filter(|bin| bin.is_dir()));
    for folder in folders {
        out += &args.shell.prepend_path(folder.as_str());
    }
    if !own.bin().is_dir()
        && let Ok(talosctl) = find_talosctl(ctx)
    {
        let _ = writeln!(out, "# talosctl: {}", one_line(talosctl.as_str()));
    }
    for node in &view.nodes {
        let ip = node.ip.map(|ip| ip.to_string()).unwrap_or_default();
        let _ = writeln!(out, "# {}: talosctl -n {ip}", one_line(&node.name));
    }
    let line = match args.shell {
        Shell::Sh => format!("eval \"$({})\"", typed!("cluster env --name {}", view.name)),
        Shell::Fish => format!(
            "{} | source",
            typed!("cluster env --shell fish --name {}", view.name)
        ),
    };
    let _ = writeln!(out, "# {line}");
    ui::print(&out);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted_for_each_shell() {
        assert_eq!(Shell::Sh.export("A", "it's"), "export A='it'\\''s'\n");
        assert_eq!(
            Shell::Fish.export("A", "it's \\"),
            "set -gx A 'it\\'s \\\\'\n"
        );
        assert_eq!(
            Shell::Sh.prepend_path("/a b"),
            "export PATH='/a b':\"$PATH\"\n"
        );
        assert_eq!(Shell::Fish.prepend_path("/a"), "set -gx PATH '/a' $PATH\n");
    }
}
