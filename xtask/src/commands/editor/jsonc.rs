//! Edits JSON with comments, as editors write it: what is not changed keeps its
//! bytes.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstInputValue, CstNode, CstObject, CstRootNode};
use serde_json::{Map, Number, Value};

/// Where the entries of a file are.
#[derive(Debug, Clone)]
pub(super) enum List {
    /// The file is the array.
    Root,
    /// The array is the value `key` of the file's object; `version` is what a
    /// new file begins with.
    Key {
        key: &'static str,
        version: &'static str,
    },
}

/// Entries of an array, each known by the value of `label`.
#[derive(Debug, Clone)]
pub(super) struct Entries {
    pub(super) list: List,
    pub(super) label: &'static str,
    pub(super) wanted: Vec<CstInputValue>,
}

/// A value below the names of objects.
#[derive(Debug, Clone)]
pub(super) struct Setting {
    pub(super) path: &'static [&'static str],
    pub(super) value: CstInputValue,
}

/// What comes of an edit: the new text, or why there is none.
type Edited = Result<String, String>;

fn parse(text: &str) -> Result<CstRootNode, String> {
    if text.starts_with('\u{feff}') {
        return Err("it begins with a byte order mark".to_owned());
    }
    let strict = ParseOptions {
        allow_comments: true,
        allow_trailing_commas: true,
        allow_loose_object_property_names: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    CstRootNode::parse(text, &strict).map_err(|error| error.to_string())
}

/// Ends a text that was empty before as editors do.
fn finished(root: &CstRootNode, before: &str) -> String {
    let text = root.to_string();
    if before.trim().is_empty() && !text.ends_with('\n') {
        return text + "\n";
    }
    text
}

fn array(root: &CstRootNode, list: &List, creates: bool) -> Result<Option<CstArray>, String> {
    let missing = root.value().is_none();
    if missing && !creates {
        return Ok(None);
    }
    match list {
        List::Root => {
            let array = root.array_value_or_create();
            array
                .map(Some)
                .ok_or_else(|| "it is not an array".to_owned())
        }
        List::Key { key, version } => {
            let object = root.object_value_or_create();
            let object = object.ok_or_else(|| "it is not an object".to_owned())?;
            if missing {
                object.append("version", CstInputValue::from(*version));
            }
            if !creates && object.get(key).is_none() {
                return Ok(None);
            }
            let array = object.array_value_or_create(key);
            array
                .map(Some)
                .ok_or_else(|| format!("`{key}` in it is not an array"))
        }
    }
}

fn labelled(array: &CstArray, label: &str, name: &Value) -> Option<CstNode> {
    let mut elements = array.elements().into_iter();
    elements.find(|element| {
        let property = element.as_object().and_then(|object| object.get(label));
        let value = property.and_then(|property| property.value());
        value.and_then(|value| value.to_serde_value()).as_ref() == Some(name)
    })
}

impl Entries {
    /// Adds the entries, or replaces those that differ.
    ///
    /// # Errors
    /// Why the text cannot be edited.
    pub(super) fn added_to(&self, text: &str) -> Edited {
        let root = parse(text)?;
        let Some(array) = array(&root, &self.list, true)? else {
            return Ok(text.to_owned());
        };
        for entry in &self.wanted {
            let wanted = value_of(entry);
            match labelled(&array, self.label, &wanted[self.label]) {
                Some(found) if found.to_serde_value().as_ref() == Some(&wanted) => {}
                Some(found) => {
                    if let Some(object) = found.as_object() {
                        object.replace_with(entry.clone());
                    }
                }
                None => {
                    array.ensure_multiline();
                    array.append(entry.clone());
                }
            }
        }
        Ok(finished(&root, text))
    }

    /// Removes the entries; `None` if then only the frame of a new file is left.
    ///
    /// # Errors
    /// Why the text cannot be edited.
    pub(super) fn removed_from(&self, text: &str) -> Result<Option<String>, String> {
        let root = parse(text)?;
        let Some(array) = array(&root, &self.list, false)? else {
            return Ok(Some(text.to_owned()));
        };
        for entry in &self.wanted {
            let name = &value_of(entry)[self.label];
            while let Some(found) = labelled(&array, self.label, name) {
                found.remove();
            }
        }
        let left = root.to_string();
        let is_frame = match &self.list {
            List::Root => root.to_serde_value() == Some(Value::Array(Vec::new())),
            List::Key { key, version } => {
                let frame = serde_json::json!({"version": version, *key: []});
                root.to_serde_value() == Some(frame)
            }
        };
        Ok((!is_frame || has_comment(&left)).then_some(left))
    }
}

impl Setting {
    /// Sets the value, unless there is another one. Returns whether it is set.
    ///
    /// # Errors
    /// Why the text cannot be edited.
    pub(super) fn added_to(&self, text: &str) -> Result<(String, bool), String> {
        let root = parse(text)?;
        let not_object = || "it is not an object".to_owned();
        let mut object = root.object_value_or_create().ok_or_else(not_object)?;
        let Some((last, above)) = self.path.split_last() else {
            return Ok((text.to_owned(), false));
        };
        for name in above {
            let below = object.object_value_or_create(name);
            object = below.ok_or_else(|| format!("`{name}` in it is not an object"))?;
        }
        if let Some(found) = object.get(last) {
            let value = found.value().and_then(|value| value.to_serde_value());
            return Ok((text.to_owned(), value == Some(value_of(&self.value))));
        }
        object.append(last, self.value.clone());
        Ok((finished(&root, text), true))
    }

    /// Removes the value if it is as set, and objects that it leaves empty;
    /// `None` if then nothing is left.
    ///
    /// # Errors
    /// Why the text cannot be edited.
    pub(super) fn removed_from(&self, text: &str) -> Result<Option<String>, String> {
        let root = parse(text)?;
        let Some((last, above)) = self.path.split_last() else {
            return Ok(Some(text.to_owned()));
        };
        let mut objects: Vec<CstObject> = root.object_value().into_iter().collect();
        for name in above {
            let below = objects.last().and_then(|object| object.object_value(name));
            objects.extend(below);
        }
        let found = objects.last().and_then(|object| object.get(last));
        let found = found.filter(|_| objects.len() == self.path.len());
        let value = |found: &jsonc_parser::cst::CstObjectProp| {
            found.value().and_then(|value| value.to_serde_value())
        };
        match found {
            Some(found) if value(&found) == Some(value_of(&self.value)) => found.remove(),
            _ => return Ok(Some(text.to_owned())),
        }
        for (object, name) in objects.iter().zip(above).rev() {
            let below = object.get(name);
            let is_empty = below
                .as_ref()
                .and_then(jsonc_parser::cst::CstObjectProp::object_value)
                .is_some_and(|below| {
                    below.properties().is_empty() && !has_comment(&below.to_string())
                });
            if let Some(below) = below.filter(|_| is_empty) {
                below.remove();
            }
        }
        let left = root.to_string();
        let is_empty = root.to_serde_value() == Some(Value::Object(Map::new()));
        Ok((!is_empty || has_comment(&left)).then_some(left))
    }
}

/// For a text without strings: frames have none with a slash.
fn has_comment(text: &str) -> bool {
    text.contains("//") || text.contains("/*")
}

fn value_of(input: &CstInputValue) -> Value {
    match input {
        CstInputValue::Null => Value::Null,
        CstInputValue::Bool(value) => Value::Bool(*value),
        CstInputValue::Number(text) => text.parse::<Number>().map_or(Value::Null, Value::Number),
        CstInputValue::String(text) => Value::String(text.clone()),
        CstInputValue::Array(values) => values.iter().map(value_of).collect(),
        CstInputValue::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), value_of(value)));
            Value::Object(fields.collect())
        }
    }
}
