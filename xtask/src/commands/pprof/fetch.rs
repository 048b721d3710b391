//! Over HTTP from all nodes at once. Nothing here decides what is fetched;
//! bodies are bounded, and each failure says what mends it.

use std::io::ErrorKind;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use ::pprof::{Limits, Profile, Source};

use super::args::FetchArgs;
use super::load;
use super::sources::BUILD_LABEL;
use super::target::{Target, offered};
use crate::commands::App;
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;
use foundation::ui::text::one_line;

/// The largest profile seen in practice has 45 MB.
const LARGEST: u64 = 128 << 20;
/// At once; each may hold a body.
const PARALLEL: usize = 16;
/// Besides the seconds that a profile takes by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// A profile as fetched.
#[derive(Debug)]
pub(super) struct Fetched {
    pub(super) took: Duration,
    /// Bytes on the wire.
    pub(super) size: usize,
    pub(super) body: Body,
}

/// What came.
#[derive(Debug)]
pub(super) enum Body {
    /// With its labels inside, and as its file is written.
    Profile(Box<Profile>, Vec<u8>),
    /// An execution trace: saved, not decoded.
    Other(Vec<u8>),
}

/// One answer.
pub(super) type Answer = (Target, Result<Fetched>);

fn agent(patience: Duration) -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(5)))
        .timeout_global(Some(patience))
        .http_status_as_error(false)
        .max_redirects(0)
        // Nodes are near: a proxy cannot know them.
        .proxy(None);
    ureq::Agent::from(config.build())
}

/// Fetch all; a line of progress for each as it comes. On Ctrl-C what has
/// come is kept, the rest is told as interrupted.
pub(super) fn all(app: &App<'_>, targets: &[Target], args: &FetchArgs, time: &str) -> Vec<Answer> {
    if let Some(seconds) = longest(targets, args) {
        app.ui.progress(&format!("this takes {seconds} s"));
    }
    let receiver = start(targets, args, time);
    collect(app, targets, &receiver)
}

fn longest(targets: &[Target], args: &FetchArgs) -> Option<u64> {
    let seconds = targets.iter().filter_map(|target| target.seconds(args));
    seconds.max()
}

/// Begin to fetch all; answers come as nodes give them.
pub(super) fn start(targets: &[Target], args: &FetchArgs, time: &str) -> Receiver<Answer> {
    let queue = Arc::new(Mutex::new(targets.to_vec()));
    let (sender, receiver) = channel();
    // One service has one CPU profile at a time; targets of a kind that takes
    // its time must all start together, or nodes could not be compared.
    let workers = if longest(targets, args).is_some() {
        targets.len()
    } else {
        targets.len().min(PARALLEL)
    };
    for _ in 0..workers.min(256) {
        spawn(&queue, &sender, args, time);
    }
    receiver
}

fn spawn(queue: &Arc<Mutex<Vec<Target>>>, sender: &Sender<Answer>, args: &FetchArgs, time: &str) {
    let (queue, sender) = (Arc::clone(queue), sender.clone());
    let (args, time) = (args.clone(), time.to_owned());
    // Detached: a node that hangs must not hold up what others sent.
    std::thread::spawn(move || {
        loop {
            let next = queue.lock().ok().and_then(|mut queue| queue.pop());
            let Some(target) = next else { return };
            let answer = one(&target, &args, &time);
            if sender.send((target, answer)).is_err() {
                return;
            }
        }
    });
}

fn collect(app: &App<'_>, targets: &[Target], receiver: &Receiver<Answer>) -> Vec<Answer> {
    let mut answers: Vec<Answer> = Vec::new();
    while answers.len() < targets.len() {
        match receiver.recv_timeout(Duration::from_millis(50)) {
            Ok(answer) => {
                report(app, &answer);
                answers.push(answer);
            }
            Err(RecvTimeoutError::Timeout) if app.signals.count() == 0 => {}
            Err(_) => break,
        }
    }
    for target in targets {
        if !answers.iter().any(|(other, _)| other == target) {
            let failure = Failure::new(
                Exit::Interrupted,
                format!("{}: interrupted", target.describe()),
            );
            answers.push((target.clone(), Err(failure)));
        }
    }
    let place = |target: &Target| targets.iter().position(|other| other == target);
    answers.sort_by_key(|(target, _)| place(target));
    answers
}

fn report(app: &App<'_>, (target, answer): &Answer) {
    let line = match answer {
        Ok(fetched) => format!(
            "  {:<40} {:>9}  {:.2} s",
            one_line(&target.describe()),
            ::pprof::unit::label(i64::try_from(fetched.size).unwrap_or(0), "bytes", "auto"),
            fetched.took.as_secs_f64()
        ),
        Err(failure) => format!("  {:<40} {}", one_line(&target.describe()), failure.what),
    };
    app.ui.progress(&line);
}

fn one(target: &Target, args: &FetchArgs, time: &str) -> Result<Fetched> {
    let begun = Instant::now();
    let patience = PATIENCE + Duration::from_secs(target.seconds(args).unwrap_or(0));
    let bytes = get(target, &target.path(args), patience)?;
    let size = bytes.len();
    let body = if target.profile == "trace" {
        Body::Other(bytes)
    } else {
        let profile = load::decode(bytes, &target.describe(), limits(size))?;
        let mut source = Source::new(profile)
            .label("node", &target.node)
            .label("service", &target.service)
            .label("time", time);
        if let Some(role) = target.role {
            source = source.label("role", role.as_str());
        }
        if let Some(talos) = &target.talos {
            source = source.label(BUILD_LABEL, talos);
        }
        let labelled = ::pprof::merge(vec![source]).map_err(|error| load::engine(&error))?;
        let file = ::pprof::compress(&labelled).map_err(|error| load::engine(&error))?;
        Body::Profile(Box::new(labelled), file)
    };
    Ok(Fetched {
        took: begun.elapsed(),
        size,
        body,
    })
}

/// From the network less is believed than from a file: real profiles inflate
/// to a dozen times their size, bombs to a thousand.
fn limits(size: usize) -> Limits {
    Limits {
        inflated: ((64 << 20) + 64 * size as u64).min(1 << 30),
        ..Limits::default()
    }
}

fn get(target: &Target, path: &str, patience: Duration) -> Result<Vec<u8>> {
    let url = format!("http://{}{path}", target.address);
    let mut response = agent(patience)
        .get(&url)
        .call()
        .map_err(|error| explain(target, &error))?;
    let status = response.status();
    let from_pprof = response.headers().contains_key("X-Go-Pprof");
    let body = response
        .body_mut()
        .with_config()
        .limit(LARGEST)
        .read_to_vec();
    let body = body.map_err(|error| explain(target, &error))?;
    if status.is_success() {
        return Ok(body);
    }
    let failure = Failure::step(format!("`{url}` answers {status}"));
    let text = String::from_utf8_lossy(&body[..body.len().min(2048)]).into_owned();
    let failure = match text.trim() {
        "" => failure,
        text if text.starts_with('<') => failure.cause("an HTML page, not a profile"),
        text => failure.excerpt(text.lines().take(3).map(str::to_owned)),
    };
    Err(match status.as_u16() {
        404 => match offers(target) {
            Some(names) => failure.cause(format!("it offers: {}", names.join(", "))),
            None => failure.hint("is this a Talos service? see the ports in `--help`"),
        },
        500 if from_pprof => {
            failure.hint("a service takes one CPU profile at a time: try again when it is done")
        }
        _ => failure,
    })
}

/// The profiles that a node lists.
pub(super) fn offers(target: &Target) -> Option<Vec<String>> {
    let url = format!("http://{}/debug/pprof/", target.address);
    let mut response = agent(Duration::from_secs(10)).get(&url).call().ok()?;
    let text = response
        .body_mut()
        .with_config()
        .limit(1 << 20)
        .read_to_string();
    Some(offered(&text.ok()?)).filter(|names| !names.is_empty())
}

fn explain(target: &Target, error: &ureq::Error) -> Failure {
    let address = &target.address;
    let debug_build = || {
        format!(
            "{}, then `{}`",
            typed!("build initramfs WITH_DEBUG=1"),
            typed!("cluster reboot --all")
        )
    };
    match error {
        ureq::Error::Io(error) if error.kind() == ErrorKind::ConnectionRefused => {
            Failure::step(format!("nothing listens on `{address}`"))
                .cause("Talos was not built WITH_DEBUG=1, or this node does not run the service")
                .hint(debug_build())
        }
        ureq::Error::Timeout(ureq::Timeout::Connect) => {
            Failure::step(format!("`{address}` does not answer"))
                .cause("the node is down, or a firewall drops the port (a cluster made with --with-firewall=block)")
                .hint(typed!("cluster status"))
        }
        ureq::Error::Io(error)
            if matches!(error.kind(), ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable) =>
        {
            Failure::step(format!("no way to `{address}`"))
                .cause(error)
                .hint(typed!("cluster status"))
        }
        ureq::Error::Timeout(_) => Failure::new(
            Exit::Deadline,
            format!("`{address}` began to answer and stopped"),
        )
        .cause("the node died, or is too busy")
        .hint(typed!("cluster status")),
        ureq::Error::BodyExceedsLimit(limit) => Failure::step(format!(
            "`{address}` sends more than {} MiB: that is no profile",
            limit >> 20
        )),
        ureq::Error::HostNotFound => Failure::usage(format!("no such host: `{address}`")),
        other => Failure::step(format!("`{address}` broke off"))
            .cause(other)
            .hint(typed!("cluster status")),
    }
}

#[cfg(test)]
mod tests;
