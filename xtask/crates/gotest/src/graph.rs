//! The call graph, and the needs along its paths. Only functions that a test reaches
//! are analyzed; needs then propagate from where they arise to all callers, shortest
//! path first.

use std::collections::VecDeque;
use std::rc::Rc;

use rustc_hash::{FxHashMap, FxHashSet};

use crate::analyze::{self, Calls, Found, Unit};
use crate::need::{Need, Needed};
use crate::program::{FunctionId, Program};

/// Maximum number of needs of one function.
const MOST_NEEDS: usize = 30;

#[derive(Debug, Default)]
pub(crate) struct Graph {
    units: FxHashMap<FunctionId, Rc<Unit>>,
    /// Per function and need: where it arises, and the next function there.
    reasons: FxHashMap<FunctionId, Vec<(Found, Option<FunctionId>)>>,
}

impl Graph {
    pub(crate) fn unit<'p>(&mut self, program: &'p Program<'p>, id: FunctionId) -> Rc<Unit> {
        let unit = self.units.entry(id);
        Rc::clone(unit.or_insert_with(|| Rc::new(analyze::function(program, id))))
    }

    pub(crate) fn known(&self, id: FunctionId) -> Option<&Unit> {
        self.units.get(&id).map(|unit| &**unit)
    }

    /// Analyzes everything that these functions reach, and finds the reasons of
    /// needs.
    pub(crate) fn complete<'p>(&mut self, program: &'p Program<'p>, from: &[Rc<Unit>]) {
        let mut seen: FxHashSet<FunctionId> = self.units.keys().copied().collect();
        let mut open: Vec<FunctionId> = Vec::new();
        for unit in from.iter().chain(self.units.values()) {
            open.extend(unit.calls.iter().map(|call| call.id));
        }
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                let unit = self.unit(program, id);
                open.extend(unit.calls.iter().map(|call| call.id));
                // The subtests of a helper count for its caller too.
                for subtest in &unit.subtests {
                    open.extend(subtest.unit.calls.iter().map(|call| call.id));
                }
            }
        }
        self.reason();
    }

    fn reason(&mut self) {
        let mut callers: FxHashMap<FunctionId, Vec<(FunctionId, bool)>> = FxHashMap::default();
        let mut open: VecDeque<(FunctionId, Found, Option<FunctionId>)> = VecDeque::new();
        let mut ids: Vec<_> = self.units.keys().copied().collect();
        // The order of a hash map must not change the reasons.
        ids.sort_unstable();
        for id in ids {
            let unit = &self.units[&id];
            for call in all_calls(unit) {
                callers.entry(call.id).or_default().push((id, call.certain));
            }
            for found in unit.needs.iter().filter(|found| found.certain) {
                open.push_back((id, found.clone(), None));
            }
        }
        while let Some((id, found, next)) = open.pop_front() {
            let reasons = self.reasons.entry(id).or_default();
            let is_known = reasons.iter().any(|(known, _)| known.need == found.need);
            if is_known || reasons.len() >= MOST_NEEDS {
                continue;
            }
            reasons.push((found.clone(), next));
            for (caller, certain) in callers.get(&id).into_iter().flatten() {
                // A skip applies to every caller.
                if *certain || found.skips {
                    open.push_back((*caller, found.clone(), Some(id)));
                }
            }
        }
    }

    /// Adds the needs of a unit, its own and those of its calls.
    pub(crate) fn needs_of(
        &self,
        program: &Program<'_>,
        own: Option<FunctionId>,
        unit: &Unit,
        limit: u64,
        needs: &mut Vec<Needed>,
    ) {
        let name = |id: FunctionId| {
            let function = program.function(id);
            match &function.receiver {
                Some(receiver) => format!("{}.{}", receiver.ty.type_name(), function.name),
                None => function.name.to_owned(),
            }
        };
        let first: Vec<String> = own.map(name).into_iter().collect();
        for found in unit.needs.iter().filter(|found| found.certain) {
            program.took(10);
            if program.is_beyond(limit) || needs.len() >= MOST_NEEDS {
                return;
            }
            add(program, needs, found, first.clone());
        }
        for call in &unit.calls {
            program.took(1);
            for (found, _) in self.reasons.get(&call.id).into_iter().flatten() {
                if !call.certain && !found.skips {
                    continue;
                }
                if program.is_beyond(limit) || needs.len() >= MOST_NEEDS {
                    return;
                }
                let mut through = first.clone();
                let mut at = Some(call.id);
                while let Some(id) = at {
                    through.push(name(id));
                    program.took(10);
                    at = self.next(id, &found.need);
                    if through.len() > 50 {
                        break;
                    }
                }
                add(program, needs, found, through);
            }
        }
    }

    fn next(&self, id: FunctionId, need: &Need) -> Option<FunctionId> {
        let reasons = self.reasons.get(&id)?;
        reasons.iter().find(|(found, _)| found.need == *need)?.1
    }
}

fn all_calls(unit: &Unit) -> Vec<Calls> {
    let mut calls = unit.calls.clone();
    let mut before: Option<&Rc<Unit>> = None;
    for subtest in &unit.subtests {
        // The iterations of a loop share one unit.
        if !before.is_some_and(|before| Rc::ptr_eq(before, &subtest.unit)) {
            calls.extend(all_calls(&subtest.unit));
        }
        before = Some(&subtest.unit);
    }
    calls
}

fn add(program: &Program<'_>, needs: &mut Vec<Needed>, found: &Found, through: Vec<String>) {
    let known = needs.iter_mut().find(|known| known.need == found.need);
    if let Some(known) = known {
        // The shorter way is the better reason.
        if known.through.len() <= through.len() {
            return;
        }
        *known = needed(program, found, through);
        return;
    }
    needs.push(needed(program, found, through));
}

fn needed(program: &Program<'_>, found: &Found, through: Vec<String>) -> Needed {
    let source = &program.files[found.file];
    let line = source.file.line(found.at);
    Needed {
        need: found.need.clone(),
        skips: found.skips,
        because: format!("{}:{line}", source.path),
        through,
    }
}
