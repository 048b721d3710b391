//! What the addresses of `debug=1` are: it stands in comments beneath them.

use rustc_hash::FxHashSet;

use super::build::Builder;

/// Go hides the runtime's frames at the leaf, and where goroutines end.
const HIDDEN: &str = "runtime.(hidden)";
const GOEXIT: &str = "runtime.goexit";

/// A comment beneath a sample: `\t0x4f\tname+0x1f\tfile:line`, or labels.
/// `stack` is whose addresses are described.
pub(super) fn describe(to: &mut Builder, comment: &str, stack: &FxHashSet<u64>) {
    if let Some(labels) = comment.strip_prefix(" labels: ") {
        let labels = super::goroutines::labels(to, labels);
        to.label_last(labels);
        return;
    }
    let mut parts = comment.split('\t').filter(|part| !part.is_empty());
    let address = parts.next().and_then(|address| address.strip_prefix("0x"));
    let Some(address) = address.and_then(|hex| u64::from_str_radix(hex, 16).ok()) else {
        return;
    };
    let Some(location) = to.known(address).filter(|known| stack.contains(known)) else {
        return;
    };
    let (Some(name), Some(place)) = (parts.next(), parts.next()) else {
        // Go itself does not know it.
        to.nameless.insert(location);
        return;
    };
    let name = name.rsplit_once("+0x").map_or(name, |(name, _)| name);
    let (file, line) = place.rsplit_once(':').unwrap_or((place, "0"));
    to.name(location, name, file, line.parse().unwrap_or(0));
}

/// Where others of a stack have names, those that are not told are the
/// runtime's.
pub(super) fn name_hidden(to: &mut Builder) {
    for stack in to.stacks() {
        if !stack.iter().any(|location| to.is_named(*location)) {
            continue;
        }
        for (place, location) in stack.iter().enumerate() {
            let is_root = place + 1 == stack.len();
            if !to.is_named(*location) && !to.nameless.contains(location) {
                to.name(*location, if is_root { GOEXIT } else { HIDDEN }, "", 0);
            }
        }
    }
}
