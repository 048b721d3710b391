//! What text becomes: the messages of profile.proto that texts have something
//! for. All strings are indices into `strings`, whose first is empty.

use pprof_engine::Fields;

/// A whole profile.
#[derive(Debug, Default)]
pub(super) struct Profile {
    pub(super) sample_type: Vec<ValueType>,
    pub(super) sample: Vec<Sample>,
    pub(super) mapping: Vec<Mapping>,
    pub(super) location: Vec<Location>,
    pub(super) function: Vec<Function>,
    pub(super) string_table: Vec<Vec<u8>>,
    pub(super) drop_frames: i64,
    pub(super) keep_frames: i64,
    pub(super) duration_nanos: i64,
    pub(super) period_type: Option<ValueType>,
    pub(super) period: i64,
}

/// What a sample's value counts.
#[derive(Debug, Clone, Copy)]
pub(super) struct ValueType {
    pub(super) kind: i64,
    pub(super) unit: i64,
}

/// A stack, leaf first, with one value per sample type.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) location_id: Vec<u64>,
    pub(super) value: Vec<i64>,
    pub(super) label: Vec<Label>,
}

/// `str`, or `num` in `num_unit`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(super) struct Label {
    pub(super) key: i64,
    pub(super) str: i64,
    pub(super) num: i64,
    pub(super) num_unit: i64,
}

/// The one that has all addresses; whether functions, files and lines are known.
#[derive(Debug)]
pub(super) struct Mapping {
    pub(super) named: bool,
}

/// An address, or a place in the source whose address is not told.
#[derive(Debug, Default)]
pub(super) struct Location {
    pub(super) id: u64,
    pub(super) mapping_id: u64,
    pub(super) address: u64,
    /// Function and line.
    pub(super) line: Option<(u64, i64)>,
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) id: u64,
    pub(super) name: i64,
    pub(super) filename: i64,
}

impl Profile {
    /// In profile.proto's fields and their order.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Fields::default();
        for of in &self.sample_type {
            out.message(1, |inner| of.put(inner));
        }
        for of in &self.sample {
            out.message(2, |inner| of.put(inner));
        }
        for of in &self.mapping {
            out.message(3, |inner| of.put(inner));
        }
        for of in &self.location {
            out.message(4, |inner| of.put(inner));
        }
        for of in &self.function {
            out.message(5, |inner| of.put(inner));
        }
        for text in &self.string_table {
            out.bytes(6, text);
        }
        out.signed(7, self.drop_frames);
        out.signed(8, self.keep_frames);
        out.signed(10, self.duration_nanos);
        if let Some(of) = &self.period_type {
            out.message(11, |inner| of.put(inner));
        }
        out.signed(12, self.period);
        out.into_bytes()
    }
}

impl ValueType {
    fn put(self, out: &mut Fields) {
        out.signed(1, self.kind);
        out.signed(2, self.unit);
    }
}

impl Sample {
    fn put(&self, out: &mut Fields) {
        out.packed(1, self.location_id.iter().copied());
        let values = self.value.iter().map(|value| value.cast_unsigned());
        out.packed(2, values);
        for of in &self.label {
            out.message(3, |inner| {
                inner.signed(1, of.key);
                inner.signed(2, of.str);
                inner.signed(3, of.num);
                inner.signed(4, of.num_unit);
            });
        }
    }
}

impl Mapping {
    fn put(&self, out: &mut Fields) {
        out.number(1, 1);
        out.number(3, u64::MAX);
        for field in 7..=9 {
            out.number(field, u64::from(self.named));
        }
    }
}

impl Location {
    fn put(&self, out: &mut Fields) {
        out.number(1, self.id);
        out.number(2, self.mapping_id);
        out.number(3, self.address);
        if let Some((function, line)) = self.line {
            out.message(4, |inner| {
                inner.number(1, function);
                inner.signed(2, line);
            });
        }
    }
}

impl Function {
    fn put(&self, out: &mut Fields) {
        out.number(1, self.id);
        out.signed(2, self.name);
        out.signed(3, self.name);
        out.signed(4, self.filename);
    }
}
