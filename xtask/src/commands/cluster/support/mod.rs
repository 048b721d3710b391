//! `cluster support`: an archive for finding a cause elsewhere, without
//! secrets. What is left out is listed in its MANIFEST.

use std::fmt::Write;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use clap::Args;
use serde_json::{Value, json};

use super::{Which, existing_name, explain, look_up, status};
use crate::app::App;
use crate::archive::Archive;
use crate::redact::Redactor;
use foundation::ctx::cluster::ClusterView;
use foundation::ctx::own_executable::own_executable;
use foundation::ctx::probe::Probe;
use foundation::ctx::relay::RelayView;
use foundation::ctx::talosctl::Talosctl;
use foundation::failure::{Because, Result};
use foundation::record::files as record_files;
use foundation::record::runs::{self, now_ms};
use foundation::{files, ui};

#[derive(Debug, Args)]
pub struct SupportArgs {
    #[command(flatten)]
    pub which: Which,
    /// File to write [default: talos-support-NAME.tar.gz in the current folder]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<Utf8PathBuf>,
}

/// Bytes of each log, from its end.
const LOG: usize = 8 << 20;
/// Maximum number of runs about this cluster.
const RUNS: usize = 5;
/// A doctor that takes longer is left out.
const DOCTOR: Duration = Duration::from_secs(30);

pub(super) fn run(app: &App<'_>, args: &SupportArgs) -> Result<u8> {
    let name = existing_name(app, &args.which)?;
    let view = look_up(app, &args.which)?;
    let default = || Utf8PathBuf::from(format!("talos-support-{name}.tar.gz"));
    let path = app
        .ctx
        .cwd
        .join(args.output.clone().unwrap_or_else(default));
    let mut bundle = Bundle::new(format!("talos-support-{name}"));
    bundle.learn(app, &view);
    add_reports(app, &view, &mut bundle)?;
    add_state(&view, &mut bundle)?;
    add_runs(app, &view.name, &mut bundle)?;
    let what = || format!("cannot write `{path}`");
    let (bytes, removed) = bundle.finish().because(what)?;
    if app.is_dry() {
        ui::print(&format!("would write {path} ({} bytes)\n", bytes.len()));
        return Ok(0);
    }
    record_files::replace(&path, &bytes, 0o600).because(what)?;
    ui::print(&format!(
        "{path}: {} bytes; {removed} secrets removed, see MANIFEST in it\n",
        bytes.len()
    ));
    Ok(0)
}

/// The archive under construction.
struct Bundle {
    root: String,
    archive: Archive,
    redactor: Redactor,
    included: Vec<String>,
    withheld: Vec<String>,
}

impl Bundle {
    fn new(root: String) -> Self {
        Self {
            root,
            archive: Archive::new(now_ms() / 1000),
            redactor: Redactor::default(),
            included: Vec::new(),
            withheld: Vec::new(),
        }
    }

    /// Withholds files that consist of secrets, and learns their values.
    fn learn(&mut self, app: &App<'_>, view: &ClusterView) {
        let own = app.ctx.client_config(&view.name);
        let mut secret = vec![own.talosconfig(), own.kubeconfig()];
        secret.extend(app.ctx.talosconfig_paths());
        secret.extend(app.ctx.kubeconfig_paths());
        let names = files::names_in(&view.state_dir).unwrap_or_default();
        let configs = names.iter().filter(|name| is_secret_file(name));
        secret.extend(configs.map(|name| view.state_dir.join(name)));
        for path in secret {
            let Ok(Some(text)) = files::read_text(&path, files::MEDIUM) else {
                if path.exists() {
                    self.withheld.push(format!("{path}: contains secrets"));
                }
                continue;
            };
            self.redactor.learn(&text);
            // A node's configuration is a text within JSON.
            self.redactor.learn(&text.replace("\\n", "\n"));
            self.withheld.push(format!("{path}: contains secrets"));
        }
    }

    fn add(&mut self, name: &str, text: &str) -> Result<()> {
        let before = self.redactor.removed;
        let text = self.redactor.redact(text);
        let removed = self.redactor.removed - before;
        let path = format!("{}/{name}", self.root);
        self.archive
            .add(&path, text.as_bytes())
            .because(|| format!("cannot add `{name}` to the archive"))?;
        self.included.push(match removed {
            0 => name.to_owned(),
            _ => format!("{name} ({removed} secrets removed)"),
        });
        Ok(())
    }

    fn add_report(&mut self, name: &str, fields: Value) -> Result<()> {
        self.add(name, &format!("{:#}\n", ui::with_schema(fields)))
    }

    /// The end of a log.
    fn add_log(&mut self, name: &str, path: &Utf8Path) -> Result<()> {
        match files::read(path, files::LARGE) {
            Ok(Some(bytes)) => {
                let from = bytes.len().saturating_sub(LOG);
                self.add(name, &String::from_utf8_lossy(&bytes[from..]))
            }
            Ok(None) => Ok(()),
            Err(error) => {
                self.withheld.push(format!("{path}: {error}"));
                Ok(())
            }
        }
    }

    fn finish(mut self) -> std::io::Result<(Vec<u8>, usize)> {
        let mut manifest = String::from("included:\n");
        for name in &self.included {
            let _ = writeln!(manifest, "  {name}");
        }
        manifest.push_str("withheld:\n");
        for line in &self.withheld {
            let _ = writeln!(manifest, "  {line}");
        }
        let path = format!("{}/MANIFEST", self.root);
        self.archive.add(&path, manifest.as_bytes())?;
        Ok((self.archive.finish()?, self.redactor.removed))
    }
}

/// Machine configurations, keys and ISO images with a configuration.
fn is_secret_file(name: &str) -> bool {
    [".config", ".key", ".pem", ".yaml.enc"]
        .iter()
        .any(|end| name.ends_with(end))
}

fn add_reports(app: &App<'_>, view: &ClusterView, bundle: &mut Bundle) -> Result<()> {
    let ctx = &app.ctx;
    let diagnosis = ClusterView::diagnose(ctx, &view.name);
    let relay = RelayView::of_cluster(ctx, &diagnosis.view);
    bundle.add_report("status.json", status::to_json(&diagnosis.view, &relay))?;
    bundle.add_report("explain.json", explain::to_json(&diagnosis))?;
    let checkout = ctx.checkout().ok();
    let talosctl = Talosctl::find(ctx, checkout.as_ref());
    let kernel = files::read_text(Utf8Path::new("/proc/version"), files::SMALL);
    let versions = json!({
        "xtask": env!("CARGO_PKG_VERSION"),
        "talosctl": talosctl.map(|talosctl| talosctl.version.to_string()),
        "checkout": checkout.map(|checkout| checkout.version.to_string()),
        "kernel": kernel.ok().flatten(),
        "os": ctx.host.os,
        "arch": ctx.host.arch,
    });
    bundle.add_report("versions.json", versions)?;
    match doctor(app, &view.name) {
        Some(text) => bundle.add("doctor.json", &text)?,
        None => bundle.withheld.push("doctor.json: no answer".to_owned()),
    }
    Ok(())
}

/// Another process: its checks are a separate command.
fn doctor(app: &App<'_>, name: &str) -> Option<String> {
    let own = own_executable().ok()?;
    let mut argv = vec![own.as_str(), "doctor", "--json", "--name", name];
    if let Some(dir) = &app.ctx.talos_dir {
        argv.extend(["-C", dir.as_str()]);
    }
    let output = Probe::new(argv).timeout(DOCTOR).run().ok()?;
    // The exit code is not 0 if something is missing.
    output.stdout.starts_with('{').then_some(output.stdout)
}

/// Logs of nodes and helpers, and `state.yaml`; everything else is named only.
fn add_state(view: &ClusterView, bundle: &mut Bundle) -> Result<()> {
    let names = files::names_in(&view.state_dir).unwrap_or_default();
    for name in names.iter().filter(|name| !is_secret_file(name)) {
        let path = view.state_dir.join(name);
        let is_text = [".log", ".pid", "state.yaml"]
            .iter()
            .any(|end| name.ends_with(end));
        if is_text {
            bundle.add_log(&format!("state/{name}"), &path)?;
        } else {
            bundle.withheld.push(format!("{path}: not a log"));
        }
    }
    Ok(())
}

/// Records of the newest runs about the cluster: plans, events and logs of steps.
fn add_runs(app: &App<'_>, name: &str, bundle: &mut Bundle) -> Result<()> {
    let state = &app.ctx.dirs.state;
    let mut ids = runs::list(state);
    ids.sort();
    let is_about = |id: &String| {
        let file = state.join("runs").join(id).join("run.json");
        let text = files::read_text(&file, files::LARGE).ok().flatten();
        text.is_some_and(|text| text.contains(name))
    };
    for id in ids.iter().rev().filter(|id| is_about(id)).take(RUNS) {
        let dir = state.join("runs").join(id);
        for file in files::names_in(&dir).unwrap_or_default() {
            let path = dir.join(&file);
            if path.is_file() {
                bundle.add_log(&format!("runs/{id}/{file}"), &path)?;
            }
        }
    }
    Ok(())
}
