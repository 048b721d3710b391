//! Profiles of many nodes: held in memory while there is room for all of them,
//! otherwise left in their files and read again on demand.

use std::borrow::Cow;

use ::pprof::{Profile, Source};
use camino::Utf8PathBuf;

use super::load;
use foundation::failure::{Failure, Result};

/// Maximum bytes of the profiles that are held at once. Those of ten nodes take
/// a tenth of it.
const HELD: usize = 128 << 20;
/// Maximum bytes of a merge of many profiles.
const MERGED: usize = 512 << 20;

/// What is left of [`HELD`].
#[derive(Debug)]
pub(super) struct Memory {
    left: usize,
}

impl Default for Memory {
    fn default() -> Self {
        Self { left: HELD }
    }
}

impl Memory {
    /// For profiles that are only saved, and shown later.
    pub(super) fn none() -> Self {
        Self { left: 0 }
    }

    /// Keeps a profile that can be read again from its file.
    pub(super) fn keep(&mut self, profile: Profile, file: Utf8PathBuf) -> Kept {
        match self.hold(profile) {
            Ok(held) => held,
            Err(profile) => Kept::File {
                types: profile.sample_type_names(),
                file,
            },
        }
    }

    /// Keeps a profile that has no file; returns it if there is no room.
    pub(super) fn hold(&mut self, profile: Profile) -> Result<Kept, Box<Profile>> {
        match self.left.checked_sub(profile.memory()) {
            Some(left) => {
                self.left = left;
                Ok(Kept::Held(Box::new(profile)))
            }
            None => Err(Box::new(profile)),
        }
    }
}

/// A profile, or the place of its file.
#[derive(Debug, Clone)]
pub(super) enum Kept {
    Held(Box<Profile>),
    File {
        types: Vec<String>,
        file: Utf8PathBuf,
    },
}

/// What is read of a profile, wherever it is.
pub(super) trait Readable {
    /// The names of its sample types.
    fn types(&self) -> Vec<String>;

    /// # Errors
    /// When its file cannot be read.
    fn read(&self) -> Result<Cow<'_, Profile>>;
}

impl Readable for Profile {
    fn types(&self) -> Vec<String> {
        self.sample_type_names()
    }

    fn read(&self) -> Result<Cow<'_, Profile>> {
        Ok(Cow::Borrowed(self))
    }
}

impl Readable for Kept {
    fn types(&self) -> Vec<String> {
        match self {
            Self::Held(profile) => profile.types(),
            Self::File { types, .. } => types.clone(),
        }
    }

    fn read(&self) -> Result<Cow<'_, Profile>> {
        match self {
            Self::Held(profile) => Ok(Cow::Borrowed(profile)),
            Self::File { file, .. } => load::read(file).map(Cow::Owned),
        }
    }
}

/// Merges all profiles; at most one profile and the result are held at once.
///
/// # Errors
/// Profiles that do not fit together, or are too large together.
pub(super) fn merged<'a>(all: impl Iterator<Item = Cow<'a, Kept>>) -> Result<Profile> {
    let (mut sources, mut size) = (Vec::new(), 0);
    for kept in all {
        let profile = match kept {
            Cow::Owned(Kept::Held(profile)) => *profile,
            other => other.read()?.into_owned(),
        };
        size += profile.memory();
        sources.push(Source::new(profile));
        if size > 2 * HELD {
            let all = merge(sources)?;
            size = check(&all)?;
            sources = vec![Source::new(all)];
        }
    }
    let all = merge(sources)?;
    check(&all)?;
    Ok(all)
}

fn merge(sources: Vec<Source>) -> Result<Profile> {
    ::pprof::merge(sources).map_err(|error| load::engine(&error))
}

fn check(merged: &Profile) -> Result<usize> {
    let size = merged.memory();
    if size <= MERGED {
        return Ok(size);
    }
    Err(too_large(MERGED))
}

/// Several that have to be held at once.
///
/// # Errors
/// When they cannot be read, or are too large together.
pub(super) fn together<'a>(all: impl Iterator<Item = &'a Kept>) -> Result<Vec<Cow<'a, Profile>>> {
    let (mut profiles, mut size) = (Vec::new(), 0_usize);
    for kept in all {
        let profile = kept.read()?;
        size = size.saturating_add(profile.memory());
        if size > MERGED {
            return Err(too_large(MERGED));
        }
        profiles.push(profile);
    }
    Ok(profiles)
}

fn too_large(limit: usize) -> Failure {
    Failure::step(format!(
        "the profiles of all nodes take more than {} MiB together",
        limit >> 20
    ))
    .hint("ask fewer nodes: --node NAME; or open the files one by one")
}

/// The failure of a profile that does not fit beside the others.
pub(super) fn no_room(whose: &str) -> Failure {
    Failure::step(format!(
        "the profile of {whose} does not fit: those of all nodes take more than {} MiB together",
        HELD >> 20
    ))
    .hint("ask fewer nodes: --node NAME")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heap() -> Profile {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/pprof/heap.pb.gz");
        ::pprof::decode(std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn what_does_not_fit_is_read_again() {
        let file: Utf8PathBuf =
            concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/pprof/heap.pb.gz").into();
        let size = heap().memory();
        let mut room = Memory { left: size * 2 };
        let kept: Vec<Kept> = (0..3).map(|_| room.keep(heap(), file.clone())).collect();
        assert!(matches!(
            kept[..],
            [Kept::Held(_), Kept::Held(_), Kept::File { .. }]
        ));
        assert!(room.hold(heap()).is_err());
        for one in &kept {
            assert_eq!(one.types(), heap().sample_type_names());
            assert_eq!(one.read().unwrap().sample_count(), heap().sample_count());
        }
        let all = merged(kept.iter().map(Cow::Borrowed)).unwrap();
        assert_eq!(all.sample_count(), heap().sample_count());
    }
}
