//! What each of Talos' controllers costs. COSI sets no labels, so the frames
//! must tell: `…/controllers/AREA.(*NameController).Run`, or the functions
//! that a controller made by COSI's `transform.NewController` calls.

use std::collections::BTreeMap;

use ::pprof::{Profile, Query, report};

use super::load::engine;
use crate::failure::Result;

/// The controller of a function, as Talos' logs name it:
/// `network.LinkSpecController`.
pub(super) fn of(function: &str) -> Option<String> {
    let slash = function.rfind("/controllers")?;
    let rest = function[slash..].strip_prefix("/controllers")?;
    // Areas may lie in areas: `runtime/internal/…`; the first one is the area.
    let (package, name) = match rest.strip_prefix('/') {
        Some(rest) => {
            let dot = rest.find('.')?;
            (
                rest[..dot].split('/').next().unwrap_or_default(),
                &rest[dot + 1..],
            )
        }
        None => ("", rest.strip_prefix('.')?),
    };
    let words = name
        .strip_prefix("(*")
        .or_else(|| name.strip_prefix("New"))
        .unwrap_or(name);
    let end = words.find(|c: char| !c.is_alphanumeric() && c != '_');
    let name = &words[..end.unwrap_or(words.len())];
    if !name.ends_with("Controller") || name == "Controller" {
        return None;
    }
    Some(match package {
        "" => name.to_owned(),
        area => format!("{area}.{name}"),
    })
}

/// Weight by controller; what belongs to none is left out.
///
/// # Errors
/// Malformed samples, a question that does not fit the profile.
pub(super) fn weigh(profile: &Profile, query: &Query) -> Result<BTreeMap<String, i64>> {
    let found = report::groups(profile, query, &of).map_err(|error| engine(&error))?;
    let groups = found.groups.into_iter();
    Ok(groups.filter(|(_, value)| *value != 0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controllers_are_found_by_their_frames() {
        let talos = "github.com/siderolabs/talos/internal/app/machined/pkg/controllers";
        for (function, want) in [
            (
                "/network.(*LinkSpecController).Run",
                Some("network.LinkSpecController"),
            ),
            (
                "/network.(*LinkSpecController).syncLink.func2",
                Some("network.LinkSpecController"),
            ),
            (
                "/secrets.NewKubeletController.func1",
                Some("secrets.KubeletController"),
            ),
            (
                "/runtime/internal/x.(*DropController).Run",
                Some("runtime.DropController"),
            ),
            (".(*HostnameController).Run", Some("HostnameController")),
            ("/network.SetupLink", None),
            ("/ctest.(*DefaultSuite).Run", None),
        ] {
            let found = of(&format!("{talos}{function}"));
            assert_eq!(found.as_deref(), want, "{function}");
        }
        let generic = "github.com/cosi-project/runtime/pkg/controller/generic/transform.(*Controller[go.shape.*uint8,go.shape.*uint8]).Run";
        assert_eq!(of(generic), None);
        assert_eq!(of("main.controllersController"), None);
    }
}
