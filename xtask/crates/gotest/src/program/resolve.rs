//! Resolves names and types in a file of the program.

use super::{Program, Ty};
use crate::ast::{Expr, Stmt};
use crate::file::Import;

impl Program<'_> {
    /// The meaning of `value.name`.
    pub(crate) fn member<'p>(&'p self, of: &Ty<'p>, name: &'p str) -> Ty<'p> {
        match of {
            Ty::Import(path) => match self.by_path.get(*path) {
                Some(package) => self.in_package(*package, name).unwrap_or(Ty::Unknown),
                None => Ty::ExternalFunction(path, name),
            },
            Ty::Named(package, ty) => {
                if let Some(id) = self.method(*package, ty, name) {
                    return Ty::Function(id);
                }
                for (package, ty) in self.embedding(*package, ty) {
                    if let Some((file, fields)) = self.struct_fields(&Ty::Named(package, ty))
                        && self.looked_through(fields.len())
                        && let Some(field) = fields.iter().find(|field| field.name == name)
                    {
                        return self.resolve(file, &field.ty);
                    }
                }
                Ty::Unknown
            }
            Ty::Struct(file, fields) if self.looked_through(fields.len()) => {
                match fields.iter().find(|field| field.name == name) {
                    Some(field) => self.resolve(*file, &field.ty),
                    None => fields
                        .iter()
                        .filter(|field| field.embedded)
                        .map(|field| self.member(&self.resolve(*file, &field.ty), name))
                        .find(|member| !matches!(member, Ty::Unknown))
                        .unwrap_or(Ty::Unknown),
                }
            }
            Ty::Type(inner) => self.member(inner, name),
            _ => Ty::Unknown,
        }
    }

    fn looked_through(&self, steps: usize) -> bool {
        self.took(steps);
        true
    }

    /// The meaning of a name in a file, outside of functions.
    pub(crate) fn lookup<'p>(&'p self, file: usize, name: &'p str) -> Ty<'p> {
        let source = &self.files[file];
        if let Some(known) = self.in_package(source.package, name) {
            return known;
        }
        if let Some(import) = self.import(file, name) {
            return Ty::Import(import);
        }
        match name {
            "new" | "make" | "append" | "len" | "cap" | "copy" | "delete" | "panic" | "print"
            | "println" | "recover" | "close" | "min" | "max" | "clear" => Ty::Builtin(name),
            _ => Ty::Unknown,
        }
    }

    fn in_package<'p>(&'p self, package: usize, name: &'p str) -> Option<Ty<'p>> {
        let found = &self.packages[package];
        if let Some(id) = found.functions.get(name) {
            return Some(Ty::Function(*id));
        }
        if let Some((name, _)) = found.types.get_key_value(name) {
            return Some(Ty::Type(Box::new(Ty::Named(package, name))));
        }
        let (file, _, _) = found.variables.get(name)?;
        let (ty, value) = self.variable(package, name)?;
        Some(match (ty, value) {
            (Some(ty), _) => self.resolve(*file, ty),
            (None, Some(value)) => self.shallow(*file, value),
            (None, None) => Ty::Unknown,
        })
    }

    /// A package's variable or constant: its type and value as written.
    pub(crate) fn variable<'p>(
        &'p self,
        package: usize,
        name: &str,
    ) -> Option<(Option<&'p Expr<'p>>, Option<&'p Expr<'p>>)> {
        let (file, statement, which) = self.packages[package].variables.get(name)?;
        match &self.files[*file].file.variables[*statement] {
            Stmt::Bind { ty, values, .. } => Some((ty.as_ref(), values.get(*which))),
            _ => None,
        }
    }

    /// The type of a package variable's value, without names of functions.
    fn shallow<'p>(&'p self, file: usize, value: &'p Expr<'p>) -> Ty<'p> {
        match value {
            Expr::Composite(Some(ty), _) => self.resolve(file, ty),
            Expr::Star(inner) => self.shallow(file, inner),
            Expr::Func(literal) => Ty::Closure(file, &literal.signature),
            _ => Ty::Unknown,
        }
    }

    /// A type expression.
    pub(crate) fn resolve<'p>(&'p self, file: usize, ty: &'p Expr<'p>) -> Ty<'p> {
        match ty {
            // Variables are not followed: `var a a` has no end.
            Expr::Name(name) => {
                let package = self.files[file].package;
                match self.packages[package].types.get_key_value(name) {
                    Some((name, _)) if !self.packages[package].functions.contains_key(name) => {
                        Ty::Named(package, name)
                    }
                    _ => Ty::Unknown,
                }
            }
            Expr::Sel(of, name) => {
                let Expr::Name(alias) = &**of else {
                    return Ty::Unknown;
                };
                let Some(path) = self.import(file, alias) else {
                    return Ty::Unknown;
                };
                match self.by_path.get(path) {
                    Some(package) => match self.packages[*package].types.get_key_value(name) {
                        Some((name, _)) => Ty::Named(*package, name),
                        None => Ty::Unknown,
                    },
                    None => Ty::External(path, name),
                }
            }
            Expr::Star(inner) | Expr::Index(inner, _) => self.resolve(file, inner),
            Expr::List(inner) | Expr::Map(inner) => {
                Ty::Elements(Box::new(self.resolve(file, inner)))
            }
            Expr::Struct(fields) => Ty::Struct(file, fields),
            Expr::FuncType(signature) => Ty::Closure(file, signature),
            _ => Ty::Unknown,
        }
    }

    /// The import path of a name in a file.
    fn import(&self, file: usize, name: &str) -> Option<&str> {
        let source = &self.files[file];
        let imports = &source.file.imports;
        let names = source
            .import_names
            .get_or_init(|| imports.iter().map(|import| self.names_of(import)).collect());
        let at = names
            .iter()
            .position(|names| names.iter().any(|known| known == name));
        self.took(at.unwrap_or(names.len()));
        let at = at?;
        Some(&imports[at].path)
    }

    /// The names that an import may have in its file.
    fn names_of(&self, import: &Import<'_>) -> Vec<String> {
        match (import.alias, self.by_path.get(&import.path)) {
            (Some(alias), _) => vec![alias.to_owned()],
            (None, Some(package)) => vec![self.packages[*package].name.to_owned()],
            (None, None) => guessed(&import.path),
        }
    }
}

/// The names that a package outside the workspace may have: the last part of its path,
/// without a version, without `go-` and the like.
fn guessed(path: &str) -> Vec<String> {
    let mut parts = path.rsplit('/');
    let mut last = parts.next().unwrap_or_default();
    let is_version = |part: &str| {
        part.strip_prefix('v')
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
    };
    if is_version(last) {
        last = parts.next().unwrap_or(last);
    }
    // gopkg.in/yaml.v3
    let last = match last.rsplit_once('.') {
        Some((stem, version)) if is_version(version) || version == "go" => stem,
        _ => last,
    };
    let trimmed = last.strip_prefix("go-").unwrap_or(last);
    let trimmed = trimmed.strip_suffix("-go").unwrap_or(trimmed);
    let mut names = vec![last.to_owned()];
    if trimmed != last {
        names.push(trimmed.to_owned());
    }
    if let Some((_, end)) = trimmed.rsplit_once('-') {
        names.extend([trimmed.replace('-', ""), end.to_owned()]);
    }
    names
}
