//! Requests over TLS, by curl: it verifies certificates as the machine is configured, and
//! a TLS library would take longer to compile than the rest of this command.

use std::io::Write;
use std::time::Duration;

use super::super::args::FetchArgs;
use super::super::endpoint::ConnectionArgs;
use super::super::target::Target;
use super::http;
use super::request::CREDENTIALS;
use foundation::ctx::probe::{Probe, ProbeError};
use foundation::failure::{Because, Exit, Failure, Result};

/// Bytes of a configuration: fewer than a pipe holds without a reader.
const CONFIGURATION: usize = 48 << 10;

/// Returns the body of a successful response of at most `largest` bytes.
///
/// # Errors
/// If curl is missing, or says that it failed.
pub(super) fn get(
    target: &Target,
    path: &str,
    args: &FetchArgs,
    patience: Duration,
    largest: usize,
) -> Result<Vec<u8>> {
    let url = target.url(path);
    // Through a pipe: arguments are visible to all.
    let configuration = configuration(target, &url, &args.connection, patience)?;
    let unusable = || "cannot give curl its configuration".to_owned();
    let (reader, mut writer) = std::io::pipe().because(unusable)?;
    writer
        .write_all(configuration.as_bytes())
        .because(unusable)?;
    drop(writer);
    let curl = Probe::new(["curl", "--disable", "--config", "-"])
        .stdin(reader)
        .timeout(patience + Duration::from_secs(largest as u64 / u64::from(http::PER_SECOND) + 5))
        .largest(largest);
    curl.bytes()
        .map_err(|error| explain(&error, &url, patience))
}

fn configuration(
    target: &Target,
    url: &str,
    connection: &ConnectionArgs,
    patience: Duration,
) -> Result<String> {
    let mut lines = vec![
        "silent".to_owned(),
        // Its own message about certificates ends with advice.
        "write-out = \"%{stderr}curl: (%{exitcode}) %{errormsg}\\n\"".to_owned(),
        "fail".to_owned(),
        "globoff".to_owned(),
        // As without TLS: late is what is neither complete by then nor fast.
        format!("speed-time = {}", patience.as_secs()),
        format!("speed-limit = {}", http::PER_SECOND),
        "connect-timeout = 5".to_owned(),
        format!("url = {}", quoted(url)),
    ];
    for (name, value) in &target.headers {
        lines.push(format!("header = {}", quoted(&format!("{name}: {value}"))));
    }
    let files = [
        ("--tls_ca", "cacert", &connection.tls_ca),
        ("--tls_cert", "cert", &connection.tls_cert),
        ("--tls_key", "key", &connection.tls_key),
    ];
    for (given, option, file) in files {
        if let Some(file) = file {
            if !file.is_file() {
                let failure = Failure::usage(format!("invalid `{given} {file}`"));
                return Err(failure.cause("there is no such file"));
            }
            lines.push(format!("{option} = {}", quoted(file.as_str())));
        }
    }
    if connection.insecure {
        lines.push("insecure".to_owned());
    }
    let text = lines.join("\n") + "\n";
    if text.len() > CONFIGURATION {
        return Err(Failure::usage("headers of more than 48 KiB"));
    }
    Ok(text)
}

/// In the quotes of curl's configuration files.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// Whether the other side ended the connection for want of a certificate of ours; TLS 1.2 has
/// no alert of its own for it.
fn is_certificate_wanted(said: &str) -> bool {
    let alerts = ["certificate required", "alert handshake failure"];
    alerts.iter().any(|alert| said.contains(alert))
}

fn late(url: &str, patience: Duration) -> Failure {
    Failure::new(
        Exit::Deadline,
        format!(
            "`{url}` did not answer completely within {} s",
            patience.as_secs()
        ),
    )
}

fn explain(error: &ProbeError, url: &str, patience: Duration) -> Failure {
    match error {
        ProbeError::NotFound { .. } => Failure::host(format!("cannot fetch `{url}`"))
            .cause("https needs `curl`, which is not installed")
            .hint("apt-get install curl"),
        ProbeError::TimedOut { .. } => late(url, patience),
        // curl's number of a transfer that is too slow.
        ProbeError::Failed { said, .. } if said.contains("(28)") => late(url, patience),
        ProbeError::OutputCut { largest, .. } => Failure::step(format!(
            "`{url}` sends more than {} MiB, which is too large for a profile",
            largest >> 20
        )),
        ProbeError::Failed { said, .. } => {
            let failure = Failure::step(format!("cannot fetch `{url}`")).cause(said);
            // curl's number of a certificate that cannot be verified.
            if said.contains("(60)") {
                failure.hint("name its authority with `--tls_ca FILE`, or add `--insecure`")
            } else if is_certificate_wanted(said) {
                failure.hint("show a certificate with `--tls_cert FILE --tls_key FILE`")
            } else if ["401", "403"].iter().any(|status| said.ends_with(status)) {
                failure.hint(CREDENTIALS)
            } else {
                failure
            }
        }
        other => Failure::step(format!("cannot fetch `{url}`")).cause(other),
    }
}
