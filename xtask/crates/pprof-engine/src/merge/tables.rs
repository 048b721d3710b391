//! The unified tables: each string, function, mapping and location once. Only
//! what a sample uses is copied.

use std::collections::hash_map::Entry;

use hashbrown::HashTable;
use rustc_hash::FxHashMap;

use crate::error::{Error, Result};
use crate::profile::{Function, Line, Location, Mapping, NO_MAPPING, Profile, Span, Text};

const UNSEEN: u32 = u32::MAX;

/// A location: normalised address, mapping, lines, folded.
type LocationKey = (u64, u32, Vec<(u32, i64, i64)>, bool);

#[derive(Debug, Default)]
pub(super) struct Tables {
    pub(super) bytes: Vec<u8>,
    pub(super) strings: Vec<Span>,
    texts: HashTable<Text>,
    pub(super) functions: Vec<Function>,
    function_places: FxHashMap<(i64, Text, Text, Text), u32>,
    pub(super) mappings: Vec<Mapping>,
    mapping_places: FxHashMap<(u64, u64, Text), u32>,
    pub(super) locations: Vec<Location>,
    location_places: FxHashMap<LocationKey, u32>,
    pub(super) lines: Vec<Line>,
    /// Offsets no longer fit; reported when samples are added.
    full: bool,
}

/// The indices of one source's entries in the result.
pub(super) struct Places {
    texts: Vec<u32>,
    functions: Vec<u32>,
    locations: Vec<u32>,
}

impl Places {
    pub(super) fn new(profile: &Profile) -> Self {
        Self {
            texts: vec![UNSEEN; profile.strings.len()],
            functions: vec![UNSEEN; profile.functions.len()],
            locations: vec![UNSEEN; profile.locations.len()],
        }
    }
}

fn next(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(UNSEEN)
}

impl Tables {
    /// Resets to only the empty string.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
        self.text(b"");
    }

    /// # Errors
    /// When offsets would no longer fit.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<Span> {
        let start = self.bytes.len();
        if self.full || u32::try_from(start + bytes.len()).is_err() {
            return Err(Error::TooLarge {
                what: "the merged profile",
                limit: u64::from(u32::MAX),
            });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(Span::new(start, self.bytes.len()))
    }

    /// Returns the index of a string, adding it if it is new.
    pub(super) fn text(&mut self, text: &[u8]) -> Text {
        use std::hash::BuildHasher;
        // Index 0 is the empty string, whichever text comes first.
        if self.strings.is_empty() && !text.is_empty() {
            self.text(b"");
        }
        let build = rustc_hash::FxBuildHasher;
        let hash = build.hash_one(text);
        let (bytes, strings) = (&self.bytes, &self.strings);
        let at = |place: Text| {
            let span = strings[place as usize];
            &bytes[span.start as usize..span.end()]
        };
        if let Some(place) = self.texts.find(hash, |&place| at(place) == text) {
            return *place;
        }
        if u32::try_from(self.bytes.len() + text.len()).is_err() {
            self.full = true;
            return 0;
        }
        let place = next(self.strings.len());
        let start = self.bytes.len();
        self.bytes.extend_from_slice(text);
        self.strings.push(Span::new(start, self.bytes.len()));
        let (bytes, strings) = (&self.bytes, &self.strings);
        self.texts.insert_unique(hash, place, |&place| {
            let span = strings[place as usize];
            build.hash_one(&bytes[span.start as usize..span.end()])
        });
        place
    }

    /// Returns the index in the result of a source's string.
    pub(super) fn own_text(&mut self, from: &Profile, text: Text, places: &mut Places) -> Text {
        match places.texts.get(text as usize) {
            None => 0,
            Some(&UNSEEN) => {
                let place = self.text(from.text_bytes(text));
                places.texts[text as usize] = place;
                place
            }
            Some(place) => *place,
        }
    }

    /// The first mapping is the main binary: it must stay the first.
    pub(super) fn first_mapping(&mut self, from: &Profile, places: &mut Places) {
        if self.mappings.is_empty() && !from.mappings.is_empty() {
            self.mapping(from, 0, places);
        }
    }

    /// Returns the index in the result of a source's location.
    pub(super) fn location(&mut self, from: &Profile, place: u32, places: &mut Places) -> u32 {
        let known = places.locations[place as usize];
        if known != UNSEEN {
            return known;
        }
        let theirs = &from.locations[place as usize];
        let (mapping, offset) = self.mapping(from, theirs.mapping, places);
        let lines: Vec<(u32, i64, i64)> = from
            .lines(theirs)
            .iter()
            .map(|line| {
                let function = self.function(from, line.function, places);
                (function, line.line, line.column)
            })
            .collect();
        let address = theirs.address.wrapping_add(offset);
        let start = self.mappings.get(mapping as usize).map_or(0, |of| of.start);
        // Relative to the mapping: the same binary may be loaded elsewhere.
        let key = (address.wrapping_sub(start), mapping, lines, theirs.folded);
        let ours = next(self.locations.len());
        let place_of = match self.location_places.entry(key) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let from = next(self.lines.len());
                let lines = entry.key().2.iter();
                self.lines
                    .extend(lines.map(|&(function, line, column)| Line {
                        function,
                        line,
                        column,
                    }));
                self.locations.push(Location {
                    id: u64::from(ours) + 1,
                    mapping,
                    address,
                    lines: (from, next(self.lines.len())),
                    folded: theirs.folded,
                });
                *entry.insert(ours)
            }
        };
        places.locations[place as usize] = place_of;
        place_of
    }

    fn function(&mut self, from: &Profile, place: u32, places: &mut Places) -> u32 {
        let known = places.functions[place as usize];
        if known != UNSEEN {
            return known;
        }
        let theirs = from.functions[place as usize];
        let name = self.own_text(from, theirs.name, places);
        let system_name = self.own_text(from, theirs.system_name, places);
        let file = self.own_text(from, theirs.file, places);
        let ours = next(self.functions.len());
        let key = (theirs.start_line, name, system_name, file);
        let place_of = *self.function_places.entry(key).or_insert(ours);
        if place_of == ours {
            self.functions.push(Function {
                id: u64::from(ours) + 1,
                name,
                system_name,
                file,
                start_line: theirs.start_line,
            });
        }
        places.functions[place as usize] = place_of;
        place_of
    }

    /// Returns the index in the result, and what to add to addresses in it.
    fn mapping(&mut self, from: &Profile, place: u32, places: &mut Places) -> (u32, u64) {
        let Some(theirs) = from.mappings.get(place as usize) else {
            return (NO_MAPPING, 0);
        };
        let file = self.own_text(from, theirs.file, places);
        let build_id = self.own_text(from, theirs.build_id, places);
        let size = theirs.limit.wrapping_sub(theirs.start).wrapping_add(0xfff) & !0xfff;
        let named = if build_id == 0 { file } else { build_id };
        let ours = next(self.mappings.len());
        let place_of = *self
            .mapping_places
            .entry((size, theirs.offset, named))
            .or_insert(ours);
        if place_of == ours {
            self.mappings.push(Mapping {
                id: u64::from(ours) + 1,
                file,
                build_id,
                ..*theirs
            });
        }
        let start = self.mappings[place_of as usize].start;
        (place_of, start.wrapping_sub(theirs.start))
    }
}
