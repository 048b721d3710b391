//! Turns functions into rows: suites, their methods, subtests, and the needs of
//! each.

use std::rc::Rc;

use rustc_hash::FxHashMap;

use crate::analyze::Unit;
use crate::graph::Graph;
use crate::names::{self, Kind};
use crate::need::{Need, Needed, Test};
use crate::overrides;
use crate::program::{FunctionId, Program};
use crate::values::rewritten;
use crate::workspace::Unread;

pub(super) struct Rows<'p> {
    pub(super) program: &'p Program<'p>,
    pub(super) graph: Graph,
    pub(super) deep: bool,
    pub(super) tests: Vec<Test>,
    /// The first file of which some tests may be missing.
    pub(super) left_out: Option<Unread>,
}

/// Rows of a whole checkout; Talos has some thousand.
const MOST_ROWS: usize = 300_000;

/// A row before its needs are known.
struct Row {
    test: Test,
    /// The functions and closures that run with the test.
    units: Vec<Rc<Unit>>,
    functions: Vec<FunctionId>,
}

/// Methods of a suite that run around each of its tests, in testify's order.
const AROUND: [&str; 8] = [
    "SetupSuite",
    "SetupTest",
    "BeforeTest",
    "SetupSubTest",
    "TearDownSubTest",
    "AfterTest",
    "TearDownTest",
    "TearDownSuite",
];

impl Rows<'_> {
    pub(super) fn all(&mut self) {
        let program = self.program;
        let mut order: Vec<usize> = (0..program.files.len())
            .filter(|file| program.files[*file].is_test)
            .collect();
        // In go's order: first the package's own tests, then those of `x_test`.
        order.sort_by_key(|file| (program.files[*file].package, *file));
        let mut rows = Vec::new();
        for file in order {
            let source = &program.files[file];
            for (index, function) in source.file.functions.iter().enumerate() {
                let Some(kind) = names::kind(&source.file, function) else {
                    continue;
                };
                if rows.len().max(self.tests.len()) >= MOST_ROWS {
                    self.left_out.get_or_insert_with(|| Unread {
                        path: source.path.clone(),
                        why: format!(
                            "only the first {MOST_ROWS} tests are read; more were left out"
                        ),
                    });
                    break;
                }
                let id = FunctionId { file, index };
                let test = self.test(id, function.name.to_owned(), kind, function.at);
                if self.deep {
                    self.expand(id, test, &mut rows);
                } else {
                    self.tests.push(test);
                }
            }
        }
        if self.deep {
            let units: Vec<Rc<Unit>> = rows.iter().flat_map(|row| row.units.clone()).collect();
            self.graph.complete(program, &units);
            let settled: Vec<Test> = rows.into_iter().map(|row| self.settle(row)).collect();
            self.tests = settled;
            // go lists tests, benchmarks, fuzz targets and examples separately.
            overrides::apply(&mut self.tests);
        }
    }

    fn test(&self, id: FunctionId, name: String, kind: Kind, at: usize) -> Test {
        let source = &self.program.files[id.file];
        Test {
            package: self.program.packages[source.package].path.clone(),
            name,
            kind,
            file: source.path.clone(),
            line: source.file.line(at),
            needs: Vec::new(),
        }
    }

    fn expand(&mut self, id: FunctionId, test: Test, rows: &mut Vec<Row>) {
        let unit = self.graph.unit(self.program, id);
        let name = test.name.clone();
        let mut functions = vec![id];
        // A suite whose set-up skips is skipped as a whole.
        for suite in &unit.suites {
            functions.extend(self.program.method(suite.package, &suite.ty, "SetupSuite"));
        }
        rows.push(Row {
            test,
            units: vec![Rc::clone(&unit)],
            functions,
        });
        self.inside(id, &name, &[Rc::clone(&unit)], &[id], &unit, rows, 0);
    }

    /// Subtests and suite methods of a unit.
    #[expect(clippy::too_many_arguments, reason = "what is around a subtest")]
    fn inside(
        &mut self,
        id: FunctionId,
        name: &str,
        around: &[Rc<Unit>],
        functions: &[FunctionId],
        unit: &Unit,
        rows: &mut Vec<Row>,
        depth: usize,
    ) {
        if depth > 8 || rows.len() >= MOST_ROWS {
            return;
        }
        let mut unique = Unique::default();
        for suite in &unit.suites {
            self.suite(name, around, functions, suite, rows, depth);
        }
        for subtest in &unit.subtests {
            let name = unique.name(name, &rewritten(&subtest.name));
            let mut units = around.to_vec();
            units.push(Rc::clone(&subtest.unit));
            rows.push(Row {
                test: self.test(id, name.clone(), Kind::Subtest, subtest.at),
                units: units.clone(),
                functions: functions.to_vec(),
            });
            self.inside(id, &name, &units, functions, &subtest.unit, rows, depth + 1);
        }
    }

    fn suite(
        &mut self,
        name: &str,
        around: &[Rc<Unit>],
        functions: &[FunctionId],
        suite: &crate::analyze::Suite,
        rows: &mut Vec<Row>,
        depth: usize,
    ) {
        let program = self.program;
        let methods = program.methods(suite.package, &suite.ty);
        let mut common = functions.to_vec();
        let mut units = around.to_vec();
        for (method, id) in &methods {
            if AROUND.contains(method) {
                common.push(*id);
                units.push(self.graph.unit(program, *id));
            }
        }
        for (method, id) in methods {
            let declared = program.function(id);
            let is_test = method.starts_with("Test") && declared.signature.params.is_empty();
            if !is_test {
                continue;
            }
            if rows.len() >= MOST_ROWS {
                return;
            }
            let unit = self.graph.unit(program, id);
            let name = format!("{name}/{method}");
            let mut all = units.clone();
            all.push(Rc::clone(&unit));
            let mut functions = common.clone();
            functions.push(id);
            rows.push(Row {
                test: self.method_row(name.clone(), functions.first().copied(), id, declared.at),
                units: all.clone(),
                functions: functions.clone(),
            });
            self.inside(id, &name, &all, &functions, &unit, rows, depth + 1);
        }
    }

    /// Returns a method's row: with its own file, but the runner's package.
    fn method_row(
        &self,
        name: String,
        runner: Option<FunctionId>,
        id: FunctionId,
        at: usize,
    ) -> Test {
        let mut test = self.test(id, name, Kind::Method, at);
        if let Some(runner) = runner {
            let package = self.program.files[runner.file].package;
            test.package
                .clone_from(&self.program.packages[package].path);
        }
        test
    }

    fn settle(&self, row: Row) -> Test {
        let mut test = row.test;
        let mut needs: Vec<Needed> = Vec::new();
        let own = row.functions.last().copied();
        let (program, graph) = (self.program, &self.graph);
        let file = row.functions.first().map_or(0, |id| id.file);
        let limit = program.limit(file);
        program.for_file(file, || {
            for unit in &row.units {
                graph.needs_of(program, own, unit, limit, &mut needs);
            }
            for function in &row.functions {
                if let Some(unit) = graph.known(*function) {
                    graph.needs_of(program, Some(*function), unit, limit, &mut needs);
                }
            }
        });
        // Only the name of a disk is used that the test did not create.
        if !needs.iter().any(|needed| needed.need == Need::Loop) {
            needs.retain(|needed| needed.need != Need::PartitionNodes);
        }
        needs.sort_by(|a, b| a.need.cmp(&b.need));
        test.needs = needs;
        test
    }
}

/// Names that a test's subtests get: the second of one name is `name#01`
/// (src/testing/match.go, unique).
#[derive(Debug, Default)]
struct Unique {
    seen: FxHashMap<String, u32>,
}

impl Unique {
    fn name(&mut self, parent: &str, subtest: &str) -> String {
        let base = format!("{parent}/{subtest}");
        let mut turn = self.seen.get(&base).copied().unwrap_or_default();
        loop {
            let name = if turn == 0 && !subtest.is_empty() {
                base.clone()
            } else {
                format!("{base}#{turn:02}")
            };
            turn += 1;
            self.seen.insert(base.clone(), turn);
            if name == base || !self.seen.contains_key(&name) {
                self.seen.entry(name.clone()).or_insert(1);
                return name;
            }
        }
    }
}
