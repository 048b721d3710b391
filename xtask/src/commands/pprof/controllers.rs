//! The cost of each Talos controller. COSI sets no labels, so controllers are
//! recognised by frames: `…/controllers/AREA.(*NameController).Run`, or the
//! functions that a controller made by COSI's `transform.NewController` calls.
//! Go names those after the caller of `NewNameController`, if it inlines that:
//! then the path of the file has the area.

use std::collections::BTreeMap;

use ::pprof::{Profile, Query, report};

use super::load::engine;
use foundation::failure::Result;

/// The controller of a function, as Talos' logs name it:
/// `network.LinkSpecController`.
pub(super) fn controller(function: &str, file: &str) -> Option<String> {
    named(function).or_else(|| made(function, file))
}

/// `PACKAGE.CALLER.NewNameController.func1` in `…/controllers/AREA/name.go`.
fn made(function: &str, file: &str) -> Option<String> {
    let (_, place) = file.rsplit_once("/controllers/")?;
    let (area, _) = place.split_once('/')?;
    let mut words = function.rsplit('.');
    let maker = words.find_map(|word| word.strip_prefix("New"));
    let name = maker.filter(|name| is_controller(name))?;
    Some(format!("{area}.{name}"))
}

fn is_controller(name: &str) -> bool {
    let named = name.strip_suffix("Controller");
    named.is_some_and(|name| !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric()))
}

fn named(function: &str) -> Option<String> {
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
    if !is_controller(name) {
        return None;
    }
    Some(match package {
        "" => name.to_owned(),
        area => format!("{area}.{name}"),
    })
}

/// Returns weights by controller, without what belongs to none.
///
/// # Errors
/// Malformed samples; a query that does not fit the profile.
pub(super) fn weigh(profile: &Profile, query: &Query) -> Result<BTreeMap<String, i64>> {
    let found = report::groups(profile, query, &controller).map_err(|error| engine(&error))?;
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
            let found = controller(&format!("{talos}{function}"), "");
            assert_eq!(found.as_deref(), want, "{function}");
        }
        let generic = "github.com/cosi-project/runtime/pkg/controller/generic/transform.(*Controller[go.shape.*uint8,go.shape.*uint8]).Run";
        assert_eq!(controller(generic, ""), None);
        assert_eq!(controller("main.controllersController", ""), None);
        // As Go 1.26 names what it inlined.
        let inlined = "github.com/siderolabs/talos/internal/app/machined/pkg/runtime/v1alpha2.(*Controller).Run.NewKubeletController.func1";
        let file = "/src/internal/app/machined/pkg/controllers/secrets/kubelet.go";
        let found = controller(inlined, file);
        assert_eq!(found.as_deref(), Some("secrets.KubeletController"));
        assert_eq!(controller(inlined, "/src/main.go"), None);
    }
}
