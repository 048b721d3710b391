//! `talosctl` and `kubectl` with the configuration of a cluster: this process
//! becomes the program, so terminal, signals and exit code are the program's.

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use talos::names::ClusterName;

use super::{Which, existing_name, look_up};
use crate::app::App;
use foundation::ctx::Ctx;
use foundation::ctx::client_config::ClientConfig;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::host::Host;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Failure, Result};
use foundation::plan::{Effect, Plan, Step};
use foundation::{run, typed};

#[derive(Debug, Args)]
pub struct ClientArgs {
    #[command(flatten)]
    pub which: Which,
    /// In place of the global option, whose `-n` is the program's here.
    #[arg(id = "dry_run", long = "dry-run", hide = true)]
    pub dry_run: bool,
    /// Arguments of the program; put `--` before them
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "ARGS"
    )]
    pub words: Vec<String>,
}

#[derive(Debug, Args)]
pub struct DashboardArgs {
    #[command(flatten)]
    pub which: Which,
}

/// `cargo xtask talosctl`: the checkout's talosctl.
pub(crate) fn talosctl(app: &App<'_>, args: &ClientArgs) -> Result<u8> {
    let name = existing_name(app, &args.which)?;
    let program = find_talosctl(&app.ctx)?;
    let is_dry = app.is_dry() || args.dry_run;
    become_client(app, &name, &program, &args.words, is_dry)
}

/// `cargo xtask kubectl`: the one on PATH, else the checkout's.
pub(crate) fn kubectl(app: &App<'_>, args: &ClientArgs) -> Result<u8> {
    let name = existing_name(app, &args.which)?;
    let program = find_kubectl(&app.ctx).ok_or_else(|| {
        Failure::host("kubectl not found")
            .cause("neither PATH nor the checkout's `_out` has it")
            .hint(typed!("cluster env --name {}", name))
    })?;
    let is_dry = app.is_dry() || args.dry_run;
    become_client(app, &name, &program, &args.words, is_dry)
}

/// `cluster dashboard`: that of talosctl, for all nodes.
pub(super) fn dashboard(app: &App<'_>, args: &DashboardArgs) -> Result<u8> {
    let view = look_up(app, &args.which)?;
    let name = existing_name(app, &args.which)?;
    let nodes = addresses(&view);
    if nodes.is_empty() {
        return Err(
            Failure::host(format!("the nodes of cluster `{name}` are unknown"))
                .hint(typed!("cluster status --name {}", name)),
        );
    }
    let program = find_talosctl(&app.ctx)?;
    let words = [
        "dashboard".to_owned(),
        format!("--nodes={}", nodes.join(",")),
    ];
    become_client(app, &name, &program, &words, app.is_dry())
}

/// Addresses of all nodes, control planes first.
pub(super) fn addresses(view: &ClusterView) -> Vec<String> {
    let ips = view.nodes.iter().filter_map(|node| node.ip);
    ips.map(|ip| ip.to_string()).collect()
}

/// Finds the talosctl of the settings, of the checkout or on PATH.
pub(super) fn find_talosctl(ctx: &Ctx) -> Result<Utf8PathBuf> {
    let checkout = ctx.checkout();
    match (Talosctl::path(ctx, checkout.as_ref().ok()), checkout) {
        (Some(path), _) => Ok(path),
        (None, Ok(checkout)) => Err(Talosctl::missing(ctx, &checkout)),
        (None, Err(failure)) => Err(failure),
    }
}

pub(in crate::commands) fn find_kubectl(ctx: &Ctx) -> Option<Utf8PathBuf> {
    let built = || {
        let path = ctx.checkout().ok()?.out().join("kubectl");
        path.is_file().then_some(path)
    };
    Host::which("kubectl").or_else(built)
}

/// Returns the variables with which both programs find the cluster. The
/// configuration of a cluster that talosctl created by itself is in the user's
/// own files.
pub(super) fn environment(ctx: &Ctx, own: &ClientConfig) -> [(&'static str, Utf8PathBuf); 2] {
    if own.exists() {
        return [
            ("TALOSCONFIG", own.talosconfig()),
            ("KUBECONFIG", own.kubeconfig()),
        ];
    }
    [
        ("TALOSCONFIG", ctx.talosconfig_path()),
        ("KUBECONFIG", ctx.kubeconfig_path()),
    ]
}

/// Replaces this process; a dry run shows the command.
fn become_client(
    app: &App<'_>,
    name: &ClusterName,
    program: &Utf8Path,
    words: &[String],
    is_dry: bool,
) -> Result<u8> {
    let own = app.ctx.client_config(name.as_str());
    if !own.exists() {
        let which = Which {
            name: Some(name.as_str().to_owned()),
        };
        look_up(app, &which)?;
        app.ui.note(&format!(
            "cluster `{name}` has no configuration of its own: using yours, with its current context"
        ));
    }
    let variables = environment(&app.ctx, &own);
    let mut argv = vec![program.to_string()];
    argv.extend_from_slice(words);
    if is_dry {
        let mut plan = Plan::new(format!("run a client of cluster `{name}`"));
        let step = Step::run("run it in place of this process", argv).effect(Effect::Reads);
        let with = |step: Step, (name, path): (&str, Utf8PathBuf)| step.env(name, path);
        plan.push(variables.into_iter().fold(step, with));
        app.show(&plan)?;
        return Ok(0);
    }
    let mut all = vec!["env".to_owned()];
    let assign = |(name, path): (&str, Utf8PathBuf)| format!("{name}={path}");
    all.extend(variables.into_iter().map(assign));
    all.extend(argv);
    Err(run::replace_process(&all))
}

/// A step that calls the API of a cluster's nodes with talosctl, as the user.
///
/// # Errors
/// If there is no talosctl.
pub(super) fn api_step(ctx: &Ctx, name: &str, why: String, words: &[String]) -> Result<Step> {
    let program = find_talosctl(ctx)?;
    let own = ctx.client_config(name);
    let (_, talosconfig) = &environment(ctx, &own)[0];
    let mut argv = vec![program.into_string()];
    argv.extend_from_slice(words);
    argv.push(format!("--talosconfig={talosconfig}"));
    Ok(Step::run(why, argv))
}
