//! Suites that define their own name: `func (suite *ResetSuite) SuiteName() string`
//! returns `api.ResetSuite`. Talos' integration tests are run by these names.

use serde::{Deserialize, Serialize};

use crate::ast::{Expr, Stmt};
use crate::constraint::Target;
use crate::discover::parsed_files;
use crate::lex::unquote;
use crate::program::{FunctionId, Program};
use crate::workspace::{Source, Unread, Workspace};

/// A suite that defines its own name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NamedSuite {
    /// `api.ResetSuite`; with `*` for parts that are known only at run time:
    /// `provision.UpgradeSuite.*-TR*`.
    pub name: String,
    /// Its tests, sorted.
    pub methods: Vec<String>,
    /// From the checkout's root.
    pub file: String,
    /// 1-based.
    pub line: usize,
}

impl NamedSuite {
    /// Whether this name may be this suite's.
    pub fn is_called(&self, name: &str) -> bool {
        let mut pieces = self.name.split('*');
        let first = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else {
            return false;
        };
        let mut last = None;
        for piece in pieces {
            match rest.find(piece) {
                Some(at) => rest = &rest[at + piece.len()..],
                None => return false,
            }
            last = Some(piece);
        }
        rest.is_empty() || last == Some("")
    }
}

/// All named suites in and below a folder, by name.
///
/// # Errors
/// When a source cannot be read: a suite may be in it.
pub fn named_suites(
    source: &dyn Source,
    workspace: &Workspace,
    target: &Target,
    below: &str,
) -> Result<Vec<NamedSuite>, Unread> {
    let inside = |dir: &str| dir == below || dir.starts_with(&format!("{below}/"));
    if let Some(unread) = workspace.unread.iter().find(|it| inside(&it.path)) {
        return Err(unread.clone());
    }
    let wanted: Vec<(usize, String)> = workspace
        .folders
        .iter()
        .enumerate()
        .filter(|(_, folder)| inside(&folder.dir))
        .flat_map(|(index, folder)| {
            let files = folder.files.iter();
            files.map(move |(name, _)| (index, format!("{}/{name}", folder.dir)))
        })
        .collect();
    parsed_files(source, &wanted, target, |files, unread| {
        if let Some(unread) = unread.pop() {
            return Err(unread);
        }
        let program = Program::new(workspace, files);
        let mut suites: Vec<NamedSuite> = program
            .files
            .iter()
            .enumerate()
            .flat_map(|(file, source)| {
                let functions = source.file.functions.iter().enumerate();
                functions.map(move |(index, _)| FunctionId { file, index })
            })
            .filter_map(|id| named(&program, id))
            .collect();
        suites.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(suites)
    })
}

fn named(program: &Program<'_>, id: FunctionId) -> Option<NamedSuite> {
    let function = program.function(id);
    let receiver = function.receiver.as_ref()?;
    if function.name != "SuiteName" {
        return None;
    }
    let name = program.body(id).iter().rev().find_map(returned)?;
    let package = program.files[id.file].package;
    let methods = program.methods(package, receiver.ty.type_name());
    Some(NamedSuite {
        name,
        methods: methods
            .into_iter()
            .filter(|(name, _)| name.starts_with("Test"))
            .map(|(name, _)| name.to_owned())
            .collect(),
        file: program.files[id.file].path.clone(),
        line: program.files[id.file].file.line(function.at),
    })
}

/// Returns a literal, or a format with `*` for its values.
fn returned(statement: &Stmt<'_>) -> Option<String> {
    let Stmt::Return(values) = statement else {
        return None;
    };
    match values.first()? {
        Expr::Str(text) => Some(unquote(text)),
        Expr::Call(call) => {
            let Expr::Str(format) = call.args.first()? else {
                return None;
            };
            let format = unquote(format);
            let mut pieces = format.split('%');
            let mut name = pieces.next().unwrap_or_default().to_owned();
            for piece in pieces {
                name.push('*');
                // Drop the letter of the verb.
                name.push_str(piece.get(1..).unwrap_or_default());
            }
            Some(name)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_run_completes_is_a_pattern() {
        let suite = |name: &str| NamedSuite {
            name: name.to_owned(),
            methods: Vec::new(),
            file: String::new(),
            line: 1,
        };
        let upgrade = suite("provision.UpgradeSuite.*-TR*");
        assert!(upgrade.is_called("provision.UpgradeSuite.v1.10.0-v1.11.6-TR1"));
        assert!(!upgrade.is_called("provision.UpgradeSuite.v1.10.0"));
        assert!(suite("api.ResetSuite").is_called("api.ResetSuite"));
        assert!(!suite("api.ResetSuite").is_called("api.Reset"));
        assert!(!suite("api.Reset").is_called("api.ResetSuite"));
    }
}
