//! A plan as a shell script that does the same as the run: users must be able
//! to leave us.

use std::fmt::Write;

use super::{Action, Plan, Privilege, ProcessIdentity, Run, Step};

/// A script for `sh`; root is taken by `sudo` where the caller is not root.
pub fn render(plan: &Plan) -> String {
    let mut out = format!("#!/bin/sh\n# {}\nset -eu\n", one_line(&plan.title));
    for note in &plan.notes {
        let _ = writeln!(out, "# note: {}", one_line(note));
    }
    if plan.needs_root() {
        out.push_str("SUDO=; [ \"$(id -u)\" = 0 ] || SUDO='sudo --'\n");
    }
    for step in &plan.steps {
        let _ = write!(
            out,
            "\n# {}\n{}\n",
            one_line(&step.why),
            command(step, true)
        );
    }
    out
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// Quote one word for `sh`.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

/// One step as it would be typed. In a `script`, root is `$SUDO`.
pub(super) fn command(step: &Step, script: bool) -> String {
    let sudo = match (step.privilege, script) {
        (Privilege::User, _) => "",
        (Privilege::Root, true) => "$SUDO ",
        (Privilege::Root, false) => "sudo ",
    };
    match &step.action {
        Action::Run(run) => run_command(run, sudo),
        Action::WriteFile {
            path,
            contents,
            mode,
        } => {
            let path = quote(path.as_str());
            let mut out = format!("{sudo}mkdir -p -- \"$(dirname -- {path})\"\n");
            let _ = write!(
                out,
                "printf '%s' {} | {sudo}tee -- {path}.tmp >/dev/null && {sudo}chmod {mode:o} -- {path}.tmp && {sudo}mv -- {path}.tmp {path}",
                quote(contents),
            );
            out
        }
        Action::CreateDir { path } => format!("{sudo}mkdir -p -- {}", quote(path.as_str())),
        Action::Remove { path } => format!("{sudo}rm -rf -- {}", quote(path.as_str())),
        Action::Stop {
            process,
            grace_seconds,
        } => stop_command(process, *grace_seconds, sudo),
        Action::HardReboot {
            control, monitor, ..
        } => match control {
            Some(url) => format!("curl -fsS -X POST {}", quote(url)),
            None => format!(
                "echo q | {sudo}socat - unix-connect:{}",
                quote(monitor.as_str())
            ),
        },
    }
}

fn run_command(run: &Run, sudo: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    if !run.env.is_empty() {
        words.push("env".to_owned());
        words.extend(
            run.env
                .iter()
                .map(|(name, value)| quote(&format!("{name}={value}"))),
        );
    }
    words.extend(run.argv.iter().map(|word| quote(word)));
    let mut line = format!("{sudo}{}", words.join(" "));
    if !run.also_ok.is_empty() {
        let codes: Vec<String> = run
            .also_ok
            .iter()
            .map(|code| format!("[ $rc = {code} ]"))
            .collect();
        line = format!(
            "rc=0; {line} || rc=$?; [ $rc = 0 ] || {}",
            codes.join(" || ")
        );
    }
    match &run.cwd {
        Some(cwd) => format!("( cd {} && {line} )", quote(cwd.as_str())),
        None => line,
    }
}

/// TERM, wait, KILL, each only while the pid still has the same start time.
fn stop_command(process: &ProcessIdentity, grace: u64, sudo: &str) -> String {
    let ProcessIdentity {
        pid,
        start_ticks,
        what,
        ..
    } = process;
    let same = format!(
        "[ \"$(sed 's/.*) //' /proc/{pid}/stat 2>/dev/null | cut -d' ' -f20)\" = {start_ticks} ]"
    );
    format!(
        "# {}\nif {same}; then {sudo}kill -TERM {pid}; fi\n\
         n=0; while {same} && [ $n -lt {} ]; do sleep 0.1; n=$((n+1)); done\n\
         if {same}; then {sudo}kill -KILL {pid}; fi",
        one_line(what),
        grace * 10
    )
}
