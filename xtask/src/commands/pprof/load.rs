//! Reads profiles from files, and merges and compares them.

use std::collections::BTreeSet;
use std::io::Read;

use ::pprof::{Base, Difference, Limits, Profile, Source};
use camino::{Utf8Path, Utf8PathBuf};

use super::args::CompareArgs;
use crate::app::App;
use foundation::failure::{Because, Failure, Result};

/// Larger files are not profiles: the largest seen in practice has 45 MB.
const LARGEST: u64 = 1 << 30;

/// The profile of a query.
#[derive(Debug)]
pub(super) enum Subject {
    One(Box<Profile>),
    /// A difference that is not merged yet: many queries do not need that.
    Less(Box<Difference>),
}

impl Subject {
    /// Returns it as one profile.
    pub(super) fn merged(self) -> Result<Profile> {
        match self {
            Self::One(profile) => Ok(*profile),
            Self::Less(difference) => difference.merged().map_err(|error| engine(&error)),
        }
    }
}

/// Reads the files, and subtracts the base if one is given.
pub(super) fn files(files: &[Utf8PathBuf], compare: &CompareArgs) -> Result<Subject> {
    let (base, how) = base_of(compare);
    if base.is_empty() {
        let profile = compared(merged(files)?, compare)?;
        return Ok(Subject::One(Box::new(profile)));
    }
    // Both are read at the same time: a large profile takes a while to inflate.
    let (profile, base) = std::thread::scope(|scope| {
        let base = scope.spawn(|| merged(base));
        (merged(files), base.join())
    });
    let base = base.map_err(|_| Failure::step("reading the base panicked"))??;
    Ok(Subject::Less(Box::new(Difference {
        profile: profile?,
        base,
        how,
        normalize: compare.normalize,
    })))
}

/// Subtracts the base, if one is given.
pub(super) fn compared(profile: Profile, compare: &CompareArgs) -> Result<Profile> {
    let (base, _) = base_of(compare);
    if !base.is_empty() {
        return less(profile, merged(base)?, compare);
    }
    if compare.normalize {
        return Err(Failure::usage("`--normalize` needs a base")
            .hint("add `--base FILE` or `--diff_base FILE`"));
    }
    Ok(profile)
}

fn base_of(compare: &CompareArgs) -> (&[Utf8PathBuf], Base) {
    if compare.diff_base.is_empty() {
        (&compare.base, Base::Subtract)
    } else {
        (&compare.diff_base, Base::Compare)
    }
}

/// Maximum number of files that a picture shows as sides.
const MOST_SIDES: usize = 60;

/// Profiles side by side, for forms that keep them apart.
#[derive(Debug)]
pub(super) struct Sides {
    profiles: Vec<(String, Profile)>,
    /// Whether the first is compared with the second.
    pub(super) differ: bool,
}

impl Sides {
    /// The profile as `name`; with a base, both.
    pub(super) fn of_profile(profile: Profile, name: &str, compare: &CompareArgs) -> Result<Self> {
        let (base, _) = base_of(compare);
        if base.is_empty() {
            return Ok(Self {
                profiles: vec![(name.to_owned(), profile)],
                differ: false,
            });
        }
        Ok(Self {
            profiles: vec![
                ("now".to_owned(), profile),
                ("before".to_owned(), merged(base)?),
            ],
            differ: true,
        })
    }

    /// Each file; with a base, all files together and the base.
    pub(super) fn of_files(
        app: &App<'_>,
        files: &[Utf8PathBuf],
        compare: &CompareArgs,
    ) -> Result<Self> {
        let name = |file: &Utf8PathBuf| file.file_name().unwrap_or("profile").to_owned();
        if files.len() == 1 || files.len() > MOST_SIDES || !base_of(compare).0.is_empty() {
            tell_merged(app, files);
            return Self::of_profile(merged(files)?, &name(&files[0]), compare);
        }
        let names: Vec<String> = files.iter().map(name).collect();
        let are_distinct = names.iter().collect::<BTreeSet<_>>().len() == names.len();
        let profiles: Result<Vec<(String, Profile)>> = files
            .iter()
            .zip(names)
            .map(|(file, name)| {
                let name = if are_distinct { name } else { file.to_string() };
                Ok((name, read(file)?))
            })
            .collect();
        Ok(Self {
            profiles: profiles?,
            differ: false,
        })
    }

    pub(super) fn named(&self) -> Vec<(&str, &Profile)> {
        let profiles = self.profiles.iter();
        profiles
            .map(|(name, profile)| (name.as_str(), profile))
            .collect()
    }

    /// The profile that is shown, or compared with the other.
    pub(super) fn first(&self) -> &Profile {
        &self.profiles[0].1
    }
}

/// Says that several files are shown as one.
pub(super) fn tell_merged(app: &App<'_>, files: &[Utf8PathBuf]) {
    if files.len() > 1 {
        app.ui.note(&format!("{} profiles are merged", files.len()));
    }
}

fn less(profile: Profile, base: Profile, compare: &CompareArgs) -> Result<Profile> {
    let how = base_of(compare).1;
    ::pprof::diff(profile, base, how, compare.normalize).map_err(|error| engine(&error))
}

/// Merges several files.
pub(super) fn merged(files: &[Utf8PathBuf]) -> Result<Profile> {
    if let [file] = files {
        return read(file);
    }
    let sources: Result<Vec<Source>> = files
        .iter()
        .map(|file| Ok(Source::new(read(file)?)))
        .collect();
    ::pprof::merge(sources?).map_err(|error| engine(&error))
}

/// Reads one file; `-` is standard input.
pub(super) fn read(file: &Utf8Path) -> Result<Profile> {
    let mut bytes = Vec::new();
    let read = if file == "-" {
        std::io::stdin().take(LARGEST + 1).read_to_end(&mut bytes)
    } else {
        std::fs::File::open(file).and_then(|file| {
            let size = file.metadata().map_or(0, |data| data.len().min(LARGEST));
            bytes.reserve_exact(usize::try_from(size).unwrap_or(0) + 1);
            file.take(LARGEST + 1).read_to_end(&mut bytes)
        })
    };
    read.because(|| format!("cannot read `{file}`"))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::step(format!("`{file}` is larger than 1 GiB")));
    }
    decode(bytes, file.as_str(), Limits::default())
}

/// Decodes a profile from `whence`.
pub(super) fn decode(bytes: Vec<u8>, whence: &str, limits: Limits) -> Result<Profile> {
    ::pprof::decode_within(bytes, limits).map_err(|error| refused(&error, whence))
}

/// The failure for bytes from `whence` that are not a profile.
pub(super) fn refused(error: &::pprof::Error, whence: &str) -> Failure {
    let failure =
        Failure::step(format!("`{whence}` is not a profile that can be read")).cause(error);
    match error {
        ::pprof::Error::NotAProfile { excerpt, .. } => {
            failure.excerpt(excerpt.lines().map(str::to_owned))
        }
        _ => failure,
    }
}

/// The engine's error about a query.
pub(super) fn engine(error: &::pprof::Error) -> Failure {
    match error {
        ::pprof::Error::Query(what) => Failure::usage(what.clone()),
        other => Failure::step("the profile cannot be read").cause(other),
    }
}
