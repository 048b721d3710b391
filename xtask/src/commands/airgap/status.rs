//! `airgap status`: looks at every part.

use std::fmt::Write;

use serde_json::json;

use super::existing;
use crate::app::App;
use crate::commands::cluster::airgap::REVERSE_TARGET;
use crate::commands::cluster::{Which, existing_name};
use foundation::ctx::airgap::{AirGap, Certificate, Mode};
use foundation::failure::{Exit, Result};
use foundation::typed;
use foundation::ui::{self, Style};

pub(super) fn run(app: &App<'_>, which: &Which, as_json: bool) -> Result<u8> {
    let name = existing_name(app, which)?;
    let gap = existing(&app.ctx, &name)?;
    let faults = gap.faults();
    let code = if faults.is_empty() {
        0
    } else {
        Exit::Checks.code()
    };
    let expires = gap
        .mode
        .has_helper()
        .then(|| Certificate::in_patch(&gap.patch()).ok()?.expires())
        .flatten();
    if as_json {
        let faults: Vec<_> = faults
            .iter()
            .map(|fault| {
                let unknown = fault.is_unknown;
                json!({"what": fault.what, "cause": fault.cause, "unknown": unknown})
            })
            .collect();
        ui::print_report(json!({"airgap": {
            "cluster": gap.name,
            "mode": gap.mode,
            "bridge": gap.bridge,
            "cidr": gap.cidr,
            "target": gap.target,
            "patch": gap.mode.has_helper().then(|| gap.patch()),
            "expires": expires.map(|expires| expires.to_string()),
            "observer": pid(&AirGap::observers(&gap.dir)),
            "helper": pid(&AirGap::helpers(&gap.dir)),
            "faults": faults,
        }}));
        return Ok(code);
    }
    let is_unknown = faults.iter().all(|fault| fault.is_unknown);
    let state = match code {
        0 => app.ui.paint(Style::Good, "works"),
        _ if is_unknown => app
            .ui
            .paint(Style::Warn, "not all of it could be looked at"),
        _ => app.ui.paint(Style::Bad, "does not work"),
    };
    let mut out = format!(
        "air gap of cluster {}, mode {}, on {}: {state}\n",
        gap.name,
        gap.mode.as_str(),
        gap.cidr
    );
    for fault in &faults {
        let _ = writeln!(out, "  {}", fault.what);
        if let Some(cause) = &fault.cause {
            let _ = writeln!(out, "    {cause}");
        }
    }
    let dim = |text: &str| app.ui.paint(Style::Dim, text);
    if code != 0 && is_unknown {
        // Nothing here asks for a password.
        let _ = writeln!(out, "  {} sudo -v", dim("next:"));
    } else if code != 0 {
        let _ = writeln!(
            out,
            "  {} {}, then {}",
            dim("next:"),
            typed!("airgap down --name {}", name),
            up_again(&gap, name.as_str())
        );
    } else if gap.mode.has_helper() {
        let until = expires.map_or_else(String::new, |expires| format!(", valid until {expires}"));
        let _ = writeln!(
            out,
            "  patch of the machine configuration{until}:\n  {}",
            gap.patch()
        );
    }
    ui::print(&out);
    Ok(code)
}

/// The command that sets it up again.
fn up_again(gap: &AirGap, name: &str) -> String {
    match gap.mode {
        Mode::Gap => typed!("airgap up gap --name {}", name),
        Mode::Proxy => typed!("airgap up proxy --name {}", name),
        Mode::SecureProxy => typed!("airgap up secure-proxy --name {}", name),
        Mode::ReverseProxy => {
            let target = gap.target.as_deref().unwrap_or(REVERSE_TARGET);
            typed!(
                "airgap up reverse-proxy --target {} --name {}",
                target,
                name
            )
        }
    }
}

fn pid(processes: &[foundation::ctx::processes::Process]) -> Option<i32> {
    processes.first().map(|process| process.pid)
}
