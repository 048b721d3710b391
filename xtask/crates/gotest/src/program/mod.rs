//! All packages of a workspace, with declared names looked up as a compiler
//! would. What is outside of the workspace is only a path and a name.

use std::cell::Cell;
use std::sync::OnceLock;

use rustc_hash::FxHashMap;

use crate::ast::{Expr, Field, Signature, Stmt};
use crate::file::{File, Function, TypeDecl};
use crate::parse::Cut;
use crate::workspace::Workspace;

mod resolve;

/// A function of the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct FunctionId {
    pub(crate) file: usize,
    pub(crate) index: usize,
}

/// A parsed file and where it belongs.
#[derive(Debug)]
pub(crate) struct SourceFile<'a> {
    /// Path from the checkout's root.
    pub(crate) path: String,
    pub(crate) file: File<'a>,
    /// Index in [`Program::packages`].
    pub(crate) package: usize,
    pub(crate) is_test: bool,
    bodies: Vec<OnceLock<Vec<Stmt<'a>>>>,
    /// For each import, the names that it may have in the file.
    import_names: OnceLock<Vec<Vec<String>>>,
    /// Steps spent on the analysis of its functions so far.
    work: Cell<u64>,
}

/// Maximum steps of following the functions of one file. Files of Talos take
/// less than a hundredth of it.
const MOST_WORK: u64 = 10_000_000;
/// Maximum number of subtests of the whole program; each is kept.
const MOST_SUBTESTS: usize = 300_000;

/// A package; its own tests belong to it, those of package `x_test` are a
/// separate package.
#[derive(Debug, Default)]
pub(crate) struct Package<'a> {
    pub(crate) path: String,
    functions: FxHashMap<&'a str, FunctionId>,
    methods: FxHashMap<(&'a str, &'a str), FunctionId>,
    types: FxHashMap<&'a str, (usize, usize)>,
    /// File, statement, and index of the name in it.
    variables: FxHashMap<&'a str, (usize, usize, usize)>,
    name: &'a str,
}

#[derive(Debug)]
pub(crate) struct Program<'a> {
    pub(crate) files: Vec<SourceFile<'a>>,
    /// Folder `i` has its package at `2 i` and its external tests at `2 i + 1`.
    pub(crate) packages: Vec<Package<'a>>,
    by_path: FxHashMap<String, usize>,
    /// Steps of following names, types and values.
    work: Cell<u64>,
    subtests: Cell<usize>,
}

/// The type or the nature of an expression.
#[derive(Debug, Clone)]
pub(crate) enum Ty<'p> {
    Unknown,
    /// An imported package.
    Import(&'p str),
    /// Declared in the package with this index.
    Named(usize, &'p str),
    /// A name of a package outside the workspace.
    External(&'p str, &'p str),
    /// A list, map or channel of these.
    Elements(Box<Ty<'p>>),
    Struct(usize, &'p [Field<'p>]),
    Function(FunctionId),
    ExternalFunction(&'p str, &'p str),
    /// A value of a function type, or a literal.
    Closure(usize, &'p Signature<'p>),
    Builtin(&'p str),
    /// A type's name, not a value.
    Type(Box<Ty<'p>>),
}

impl<'a> Program<'a> {
    pub(crate) fn new(workspace: &Workspace, files: Vec<(usize, String, File<'a>)>) -> Self {
        let mut packages: Vec<Package<'a>> = Vec::new();
        packages.resize_with(workspace.folders.len() * 2, Package::default);
        let mut by_path = FxHashMap::default();
        for (index, folder) in workspace.folders.iter().enumerate() {
            packages[2 * index].path.clone_from(&folder.import_path);
            packages[2 * index + 1].path.clone_from(&folder.import_path);
            by_path.insert(folder.import_path.clone(), 2 * index);
        }
        let mut sources = Vec::with_capacity(files.len());
        for (folder, path, file) in files {
            let is_test = path.ends_with("_test.go");
            let external = is_test && file.package.ends_with("_test");
            let package = 2 * folder + usize::from(external);
            packages[package].add(&file, sources.len());
            let bodies = file.functions.iter().map(|_| OnceLock::new()).collect();
            sources.push(SourceFile {
                path,
                file,
                package,
                is_test,
                bodies,
                import_names: OnceLock::new(),
                work: Cell::new(0),
            });
        }
        Self {
            files: sources,
            packages,
            by_path,
            work: Cell::new(0),
            subtests: Cell::new(0),
        }
    }

    /// Counts `steps`.
    #[inline]
    pub(crate) fn took(&self, steps: usize) {
        self.work.set(self.work.get() + steps as u64);
    }

    /// Limit for the count of steps in this file.
    pub(crate) fn limit(&self, file: usize) -> u64 {
        self.work.get() + MOST_WORK.saturating_sub(self.files[file].work.get())
    }

    #[inline]
    pub(crate) fn is_beyond(&self, limit: u64) -> bool {
        self.work.get() > limit
    }

    /// Runs `work` for the functions of this file, and counts its steps.
    pub(crate) fn for_file<T>(&self, file: usize, work: impl FnOnce() -> T) -> T {
        let before = self.work.get();
        let done = work();
        let known = &self.files[file];
        known.work.set(known.work.get() + self.work.get() - before);
        if known.work.get() > MOST_WORK {
            known.file.is_cut(Cut::Work);
        }
        done
    }

    /// Counts one more subtest; false if there are too many.
    pub(crate) fn another_subtest(&self) -> bool {
        self.subtests.set(self.subtests.get() + 1);
        self.subtests.get() <= MOST_SUBTESTS
    }

    pub(crate) fn function(&self, id: FunctionId) -> &Function<'a> {
        &self.files[id.file].file.functions[id.index]
    }

    pub(crate) fn body(&self, id: FunctionId) -> &[Stmt<'a>] {
        let source = &self.files[id.file];
        source.bodies[id.index].get_or_init(|| source.file.body(&source.file.functions[id.index]))
    }

    /// Returns a method of a declared type, including those of embedded types;
    /// the shallowest wins.
    pub(crate) fn method(&self, package: usize, ty: &str, name: &str) -> Option<FunctionId> {
        self.embedding(package, ty)
            .into_iter()
            .find_map(|(package, ty)| self.packages[package].methods.get(&(ty, name)).copied())
    }

    /// All methods of a type by name, sorted; the shallowest of each name.
    pub(crate) fn methods(&self, package: usize, ty: &str) -> Vec<(&'a str, FunctionId)> {
        let mut found: Vec<(&str, FunctionId)> = Vec::new();
        for (package, ty) in self.embedding(package, ty) {
            let methods = &self.packages[package].methods;
            self.took(methods.len());
            for ((of, name), id) in methods.iter().filter(|((of, _), _)| *of == ty) {
                debug_assert_eq!(*of, ty);
                if !found.iter().any(|(known, _)| known == name) {
                    found.push((name, *id));
                }
            }
        }
        found.sort_unstable_by_key(|(name, _)| *name);
        found
    }

    /// Returns a type and the types that it embeds, breadth first.
    fn embedding<'p>(&'p self, package: usize, ty: &'p str) -> Vec<(usize, &'p str)> {
        let mut all: Vec<(usize, &str)> = vec![(package, ty)];
        let mut next = 0;
        while next < all.len() && all.len() < 100 {
            let (package, ty) = all[next];
            next += 1;
            let Some((file, decl)) = self.type_decl(package, ty) else {
                continue;
            };
            match &decl.ty {
                Expr::Struct(fields) => {
                    self.took(fields.len());
                    for field in fields.iter().filter(|field| field.embedded) {
                        if let Ty::Named(package, ty) = self.resolve(file, &field.ty)
                            && !all.contains(&(package, ty))
                        {
                            all.push((package, ty));
                        }
                    }
                }
                // `type A = B`; a defined type has its own methods, but
                // following it does no harm.
                other => {
                    if let Ty::Named(package, ty) = self.resolve(file, other)
                        && !all.contains(&(package, ty))
                    {
                        all.push((package, ty));
                    }
                }
            }
        }
        all
    }

    /// Whether a type embeds one of that name from outside the workspace.
    pub(crate) fn embeds_external(&self, package: usize, ty: &str, path: &str) -> bool {
        self.embedding(package, ty).into_iter().any(|(package, ty)| {
            let Some((file, decl)) = self.type_decl(package, ty) else {
                return false;
            };
            let Expr::Struct(fields) = &decl.ty else {
                return false;
            };
            fields.iter().any(|field| {
                field.embedded
                    && matches!(self.resolve(file, &field.ty), Ty::External(from, _) if from == path)
            })
        })
    }

    fn type_decl(&self, package: usize, ty: &str) -> Option<(usize, &TypeDecl<'a>)> {
        let (file, index) = self.packages[package].types.get(ty)?;
        Some((*file, &self.files[*file].file.types[*index]))
    }

    /// A struct's fields in their order.
    pub(crate) fn struct_fields<'p>(&'p self, ty: &Ty<'p>) -> Option<(usize, &'p [Field<'p>])> {
        match ty {
            Ty::Struct(file, fields) => Some((*file, fields)),
            Ty::Named(package, name) => match self.type_decl(*package, name)? {
                (
                    file,
                    TypeDecl {
                        ty: Expr::Struct(fields),
                        ..
                    },
                ) => Some((file, fields)),
                _ => None,
            },
            _ => None,
        }
    }
}

impl<'a> Package<'a> {
    fn add(&mut self, file: &File<'a>, at: usize) {
        if self.name.is_empty() {
            self.name = file.package;
        }
        for (index, function) in file.functions.iter().enumerate() {
            let id = FunctionId { file: at, index };
            match &function.receiver {
                Some(receiver) => {
                    let key = (receiver.ty.type_name(), function.name);
                    self.methods.insert(key, id);
                }
                None => {
                    self.functions.insert(function.name, id);
                }
            }
        }
        for (index, decl) in file.types.iter().enumerate() {
            self.types.insert(decl.name, (at, index));
        }
        for (index, statement) in file.variables.iter().enumerate() {
            if let Stmt::Bind { names, .. } = statement {
                for (which, name) in names.iter().enumerate() {
                    self.variables.insert(name, (at, index, which));
                }
            }
        }
    }
}
