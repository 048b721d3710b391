//! `include`: files that are part of a Makefile.

use super::Make;
use crate::error::{Error, Place, Result};
use crate::limits::MAX_MAKES;
use crate::parse::Makefile;
use crate::variables::Origin;

/// Folders in which make looks for a name without a folder.
const FOLDERS: &[&str] = &["/usr/gnu/include", "/usr/local/include", "/usr/include"];

/// A file that `include` names.
#[derive(Debug, Clone)]
pub(super) struct Included {
    place: Place,
    name: String,
    exists: bool,
    optional: bool,
}

impl Make<'_, '_> {
    /// Reads the files of an `include`.
    pub(super) fn include(
        &mut self,
        names: &str,
        optional: bool,
        depth: usize,
        place: &Place,
    ) -> Result<()> {
        let names = self.expand(names, place)?;
        self.needs_now(&[&names], "`include`", place)?;
        if depth >= MAX_MAKES {
            return Err(Error::malformed(
                place,
                format!("files that include each other, {MAX_MAKES} deep"),
            ));
        }
        for pattern in names.split_ascii_whitespace() {
            if pattern.starts_with('~') {
                return Err(Error::unsupported(place, "`~` in an `include`"));
            }
            let mut found = Vec::new();
            if pattern.contains(['*', '?', '[']) {
                found = self.session.world.glob(pattern);
            }
            // Without a match it is a name.
            if found.is_empty() {
                found.push(pattern.to_owned());
            }
            for name in found {
                self.include_file(name, optional, depth, place)?;
            }
        }
        Ok(())
    }

    fn include_file(
        &mut self,
        name: String,
        optional: bool,
        depth: usize,
        place: &Place,
    ) -> Result<()> {
        let mut path = name.clone();
        let mut content = self.session.world.read(&path);
        for folder in FOLDERS {
            if content.is_none() && !name.starts_with('/') {
                path = format!("{folder}/{name}");
                content = self.session.world.read(&path);
            }
        }
        self.included.push(Included {
            place: place.clone(),
            name,
            exists: content.is_some(),
            optional,
        });
        let Some(content) = content else {
            return Ok(());
        };
        self.spend_bytes(content.len(), place)?;
        self.hold(content.len(), place)?;
        let makefile = Makefile::parse_bytes(&path, &content)?;
        self.name_makefile(&path);
        self.read_file(&makefile, depth + 1)
    }

    /// Adds a name to `$(MAKEFILE_LIST)`.
    pub(super) fn name_makefile(&mut self, name: &str) {
        let old = self.variables.get("MAKEFILE_LIST");
        let mut list = old.map_or_else(String::new, |old| old.value.clone());
        if !list.is_empty() {
            list.push(' ');
        }
        list.push_str(name);
        self.variables
            .set("MAKEFILE_LIST", list, false, Origin::Default);
    }

    /// make first makes the files that it reads, and then starts again.
    pub(super) fn check_included(&mut self) -> Result<()> {
        for file in self.included.clone() {
            self.spend_search(&file.name, &file.place)?;
            let rule = self.rule_for(&file.name, self.rules.phony.contains(&file.name))?;
            if rule.is_some_and(|rule| rule.makes(file.exists)) {
                return Err(Error::unsupported(
                    &file.place,
                    format!("`include` of `{}`, which a rule makes", file.name),
                ));
            }
            if !file.exists && !file.optional {
                return Err(Error::malformed(
                    &file.place,
                    format!("`include` of `{}`, which does not exist", file.name),
                ));
            }
        }
        let own = self.makefile.name.clone();
        let place = Place {
            file: own.clone(),
            line: 0,
        };
        self.spend_search(&own, &place)?;
        let own = self.rule_for(&own, false)?;
        if let Some(rule) = own.filter(|rule| rule.makes(true)) {
            return Err(Error::unsupported(
                &rule.place.unwrap_or(place),
                "a rule that makes the Makefile itself",
            ));
        }
        Ok(())
    }
}
