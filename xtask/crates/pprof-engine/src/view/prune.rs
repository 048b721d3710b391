//! Removes frames from the leaves of stacks, by the profile's own rules or by
//! `prune_from`.

use super::{PRUNE_FROM, PRUNED, PRUNED_BENEATH, View, compile, names};
use crate::error::Result;
use crate::profile::Profile;
use crate::query::Query;

impl View {
    /// Frames before the first one of the user's code are kept: otherwise
    /// nothing might be left.
    pub(crate) fn cut_pruned(&self, stack: &mut Vec<u32>) {
        let mut found_user = false;
        for place in (0..stack.len()).rev() {
            let flags = self.flags[stack[place] as usize];
            if flags & (PRUNED | PRUNED_BENEATH) == 0 {
                found_user = true;
            } else if found_user {
                stack.drain(..place + usize::from(flags & PRUNED != 0));
                return;
            }
        }
    }

    /// Applies the rules of the profile itself.
    pub(super) fn prune(&mut self, profile: &Profile) -> Result<()> {
        let drop = profile.text(profile.header.drop_frames);
        if drop.is_empty() {
            return Ok(());
        }
        let whole = |text: &str| format!("^({text})$");
        let keep = profile.text(profile.header.keep_frames);
        let keep = (!keep.is_empty()).then(|| whole(&keep));
        let drop = compile("drop_frames", Some(&whole(&drop)))?;
        let keep = compile("keep_frames", keep.as_deref())?;
        let doomed = names::simplified(profile, |name| {
            drop.as_ref().is_some_and(|drop| drop.is_match(name))
                && !keep.as_ref().is_some_and(|keep| keep.is_match(name))
        });
        self.prunes = true;
        for (range, flags) in self.ranges.iter_mut().zip(&mut self.flags) {
            let lines = &self.lines[range.0 as usize..range.1 as usize];
            let hit = |line: &u32| doomed[profile.lines[*line as usize].function as usize];
            let Some(place) = lines.iter().rposition(hit) else {
                continue;
            };
            *flags |= PRUNED_BENEATH;
            if place + 1 == lines.len() {
                *flags |= PRUNED;
            } else {
                range.0 += u32::try_from(place + 1).unwrap_or(0);
            }
        }
        Ok(())
    }

    pub(super) fn filter_prune_from(&mut self, profile: &Profile, query: &Query) -> Result<()> {
        let Some(regex) = compile("prune_from", query.prune_from.as_deref())? else {
            return Ok(());
        };
        let doomed = names::simplified(profile, |name| regex.is_match(name));
        self.prune_from = true;
        for (range, flags) in self.ranges.iter_mut().zip(&mut self.flags) {
            let lines = &self.lines[range.0 as usize..range.1 as usize];
            let hit = |line: &u32| doomed[profile.lines[*line as usize].function as usize];
            if let Some(first) = lines.iter().position(hit) {
                *flags |= PRUNE_FROM;
                range.0 += u32::try_from(first).unwrap_or(0);
            }
        }
        Ok(())
    }
}
