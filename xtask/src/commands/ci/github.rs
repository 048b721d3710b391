//! The form of GitHub Actions.

use std::fmt::Write;

use serde_json::Value;

use super::{Job, Step};

/// Returns the workflow. Values are written as JSON, which is YAML.
pub(super) fn workflow(runner: &[String], jobs: &[Job]) -> String {
    let mut out = String::from(
        "# Written by `cargo xtask ci github`. Needs a committed copy of xtask (`embed --shared`).\n\
         name: xtask\n\
         on:\n  pull_request:\n  push:\n    branches: [main, 'release-*']\n\
         permissions:\n  contents: read\n\
         concurrency:\n  group: ${{ github.workflow }}-${{ github.ref }}\n  \
         cancel-in-progress: ${{ github.event_name == 'pull_request' }}\n\
         jobs:\n",
    );
    for job in jobs {
        let _ = writeln!(out, "  {}:\n    runs-on: {}", job.name, Value::from(runner));
        if !job.needs.is_empty() {
            let _ = writeln!(out, "    needs: [{}]", job.needs.join(", "));
        }
        if job.always {
            out.push_str("    if: ${{ !cancelled() }}\n");
        }
        if job.machines > 1 {
            let shards: Vec<u8> = (1..=job.machines).collect();
            let _ = writeln!(
                out,
                "    strategy:\n      fail-fast: false\n      matrix:\n        shard: {}",
                Value::from(shards)
            );
        }
        out.push_str("    steps:\n");
        for step in &job.steps {
            write_step(&mut out, step, job.machines);
        }
    }
    out
}

fn write_step(out: &mut String, step: &Step, machines: u8) {
    // A job on one machine has no matrix.
    let filled = |text: &str| {
        if machines == 1 {
            text.replace("${{ matrix.shard }}", "1")
        } else {
            text.to_owned()
        }
    };
    match step {
        Step::Uses {
            action,
            with,
            always,
        } => {
            let _ = writeln!(out, "      - uses: {action}");
            if *always {
                out.push_str("        if: ${{ !cancelled() }}\n");
            }
            if !with.is_empty() {
                out.push_str("        with:\n");
            }
            for (name, value) in with {
                let _ = writeln!(out, "          {name}: {}", Value::from(filled(value)));
            }
        }
        Step::Run {
            name,
            lines,
            secrets,
        } => {
            let _ = writeln!(out, "      - name: {name}");
            if !secrets.is_empty() {
                out.push_str("        env:\n");
            }
            for secret in secrets {
                let _ = writeln!(out, "          {secret}: ${{{{ secrets.{secret} }}}}");
            }
            out.push_str("        run: |\n");
            for line in lines {
                let _ = writeln!(out, "          {}", filled(line));
            }
        }
    }
}
