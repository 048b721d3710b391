//! `podtrace image`: podtrace's image on nodes that cannot pull it by themselves, or one
//! built from its sources.

use camino::Utf8PathBuf;
use clap::Args;
use foundation::failure::{Failure, Result};
use foundation::plan::{Effect, Plan, Step};
use foundation::program;
use foundation::ui;

use crate::app::App;
use crate::commands::cluster::Which;
use crate::commands::cluster::reach::reach;

/// Where the plugin pulls from, with its own version as the tag.
const UPSTREAM: &str = "ghcr.io/gma1k/podtrace:";

#[derive(Debug, Clone, Args)]
pub struct ImageArgs {
    /// Node: name, end of it, or address
    #[arg(value_name = "NODE", required = true)]
    pub nodes: Vec<String>,
    /// Image to pull; `kubectl podtrace` runs ghcr.io/gma1k/podtrace with its own version as the tag
    #[arg(long, value_name = "IMAGE")]
    pub image: String,
    /// Checkout of podtrace to build the image from; it is pushed to its registry
    #[arg(long, value_name = "DIR")]
    pub source: Option<Utf8PathBuf>,
    #[command(flatten)]
    pub which: Which,
}

pub(super) fn run(app: &App<'_>, args: &ImageArgs) -> Result<u8> {
    let image = args.image.as_str();
    let invalid = |reason: &str| {
        Failure::usage(format!("invalid image `{image}`"))
            .cause(reason)
            .hint(format!("name its registry and tag: {UPSTREAM}v0.14.6"))
    };
    let reference = oci::Reference::parse(image).map_err(|reason| invalid(&reason))?;
    let Some(tag) = &reference.tag else {
        return Err(invalid("it has no tag"));
    };
    let mut plan = Plan::new(format!("Bring {image} to nodes"));
    if let Some(source) = &args.source {
        let source = app.ctx.cwd.join(source);
        if !source.join("Makefile").is_file() {
            return Err(
                Failure::usage(format!("`{source}` is not a checkout of podtrace")).hint(program!(
                    "git clone https://github.com/gma1k/podtrace.git {}",
                    source
                )),
            );
        }
        let repository = format!("{}/{}", reference.registry, reference.repository);
        let words = [
            "make".to_owned(),
            "docker-build".to_owned(),
            format!("IMAGE_REPO={repository}"),
            format!("IMAGE_TAG={tag}"),
        ];
        plan.push(
            Step::run("Build the image as podtrace's Makefile does", words)
                .cwd(source)
                .effect(Effect::Creates),
        );
        plan.push(Step::run(
            "Push it to where nodes pull from",
            ["docker", "push", image],
        ));
    }
    for word in &args.nodes {
        let node = reach(app, &args.which, word)?;
        let line = node.api.argv(&["image", "pull", image]);
        plan.push(Step::run(format!("Pull it on {}", node.name), line).effect(Effect::Creates));
    }
    if app.carry_out(&plan)? {
        let next = if image.starts_with(UPSTREAM) {
            program!("kubectl podtrace -n {} POD", "default")
        } else {
            program!("kubectl podtrace -n {} POD --image={}", "default", image)
        };
        ui::print(&format!("  next: {next}\n"));
    }
    Ok(0)
}
