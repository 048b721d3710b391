//! Finds the needs in the condition of a skip, and the program that a call runs.

use crate::analyze::{Origin, Walk};
use crate::ast::{Call, Expr, Stmt};
use crate::need::{self, Need};
use crate::program::{FunctionId, Ty};
use crate::values;

/// Maximum depth of names and helpers that are followed in a condition.
const DEEPEST: usize = 6;
/// Maximum length of the name of a program, a file or a variable, because a need is
/// kept for each caller.
const LONGEST_NAME: usize = 500;

/// Returns the needs without which a test skips itself.
///
/// # Arguments
/// `message`: the message of the skip.
pub(crate) fn of_guard<'p>(walk: &Walk<'p>, cond: &'p Expr<'p>, message: &str) -> Vec<Need> {
    let mut clues = Vec::new();
    in_expr(walk, cond, &mut clues, 0);
    let wants_less = says_is_root(cond);
    let mut needs = Vec::new();
    for clue in clues {
        match clue {
            Clue::User if wants_less => {}
            Clue::User => needs.push(Need::Root),
            Clue::Tool(name) => needs.push(Need::Tool(name)),
            Clue::File(path) => needs.push(need::of_path(&path)),
            Clue::Variable(name) => {
                // `if os.Getenv("X") != ""` skips if it is set.
                if asks_for_absence(cond) {
                    needs.push(Need::Env(name));
                }
            }
            Clue::HostName => {
                if compares_unequal(cond) {
                    needs.push(Need::Buildkit);
                }
            }
            Clue::Cgroups => needs.push(Need::CgroupV1),
        }
    }
    if needs.is_empty()
        && (message.contains("root") || message.contains("privilege"))
        && !wants_less
    {
        needs.push(Need::Root);
    }
    needs.sort();
    needs.dedup();
    needs
}

enum Clue {
    User,
    Tool(String),
    File(String),
    Variable(String),
    HostName,
    Cgroups,
}

fn in_expr<'p>(walk: &Walk<'p>, expr: &'p Expr<'p>, clues: &mut Vec<Clue>, depth: usize) {
    if depth > DEEPEST || !walk.steps() {
        return;
    }
    match expr {
        Expr::Call(call) => {
            if let Expr::Sel(of, _) = &call.fun {
                in_expr(walk, of, clues, depth + 1);
            }
            match walk.ty(&call.fun) {
                Ty::ExternalFunction(path, name) => outside(walk, call, path, name, clues),
                Ty::Function(id) => in_function(walk, id, clues, depth + 1),
                _ => {}
            }
            for arg in &call.args {
                in_expr(walk, arg, clues, depth + 1);
            }
        }
        Expr::Name(name) => {
            if let Some(Origin::Bound(value)) = walk.local(name).map(|local| &local.value)
                && !std::ptr::eq(*value, expr)
            {
                in_expr(walk, value, clues, depth + 1);
            }
        }
        Expr::Binary(_, both) => {
            in_expr(walk, &both.0, clues, depth);
            in_expr(walk, &both.1, clues, depth);
        }
        Expr::Unary(_, inner) | Expr::Star(inner) | Expr::Sel(inner, _) | Expr::Index(inner, _) => {
            in_expr(walk, inner, clues, depth + 1);
        }
        _ => {}
    }
}

fn outside<'p>(walk: &Walk<'p>, call: &'p Call<'p>, path: &str, name: &str, clues: &mut Vec<Clue>) {
    let texts = || -> Vec<String> {
        let first = call.args.first();
        let all = first.and_then(|arg| values::all_texts(walk, arg));
        all.unwrap_or_default()
            .into_iter()
            .map(|(text, _)| text)
            .filter(|text| text.len() <= LONGEST_NAME)
            .collect()
    };
    match (path, name) {
        ("os" | "syscall" | "golang.org/x/sys/unix", "Geteuid" | "Getuid")
        | ("os/user", "Current") => {
            clues.push(Clue::User);
        }
        ("os/exec", "LookPath") => clues.extend(texts().into_iter().map(Clue::Tool)),
        ("os", "Stat" | "Lstat" | "Open" | "ReadFile") | ("golang.org/x/sys/unix", "Access") => {
            clues.extend(
                texts()
                    .into_iter()
                    .filter(|path| path.starts_with('/'))
                    .map(Clue::File),
            );
        }
        ("os", "Getenv" | "LookupEnv") => clues.extend(texts().into_iter().map(Clue::Variable)),
        ("os", "Hostname") => clues.push(Clue::HostName),
        (_, "Mode") if path.contains("/cgroups") => clues.push(Clue::Cgroups),
        _ => {}
    }
}

/// A helper such as `isRoot()`: the needs anywhere in its body.
fn in_function(walk: &Walk<'_>, id: FunctionId, clues: &mut Vec<Clue>, depth: usize) {
    let inner = walk.beside(id.file);
    let declared = walk.program.function(id);
    // Only helpers of the tests and short predicates, not the code under test.
    let answers = declared
        .signature
        .results
        .iter()
        .any(|result| result.ty.type_name() == "bool");
    if walk.program.files[id.file].is_test || answers {
        in_statements(&inner, walk.program.body(id), clues, depth);
    }
}

fn in_statements<'p>(walk: &Walk<'p>, body: &'p [Stmt<'p>], clues: &mut Vec<Clue>, depth: usize) {
    for statement in body {
        match statement {
            Stmt::Expr(expr) => in_expr(walk, expr, clues, depth),
            Stmt::Return(exprs) => {
                for expr in exprs {
                    in_expr(walk, expr, clues, depth);
                }
            }
            Stmt::Bind { values, .. } => {
                for expr in values {
                    in_expr(walk, expr, clues, depth);
                }
            }
            Stmt::If { cond, .. } => in_expr(walk, cond, clues, depth),
            Stmt::Block(_) | Stmt::Range { .. } | Stmt::Jump => {}
        }
    }
}

fn operator_with<'e>(expr: &'e Expr<'_>, wanted: fn(&Expr<'_>) -> bool) -> Option<&'e str> {
    match expr {
        Expr::Binary("&&" | "||", both) => {
            operator_with(&both.0, wanted).or_else(|| operator_with(&both.1, wanted))
        }
        Expr::Binary(op, both) if wanted(&both.0) || wanted(&both.1) => Some(op),
        _ => None,
    }
}

/// Whether it is like `os.Geteuid() == 0`, which skips *as* root.
fn says_is_root(cond: &Expr<'_>) -> bool {
    operator_with(cond, |side| matches!(side, Expr::Number("0"))) == Some("==")
}

/// Whether the code behind the condition runs only where a program or a file is there.
pub(crate) fn asks_for_presence<'p>(walk: &Walk<'p>, cond: &'p Expr<'p>) -> bool {
    if operator_with(cond, |side| matches!(side, Expr::Name("nil"))) != Some("==") {
        return false;
    }
    let mut clues = Vec::new();
    in_expr(walk, cond, &mut clues, 0);
    let mut clues = clues.into_iter();
    clues.any(|clue| matches!(clue, Clue::Tool(_) | Clue::File(_)))
}

fn asks_for_absence(cond: &Expr<'_>) -> bool {
    matches!(cond, Expr::Unary("!", _))
        || operator_with(cond, |side| matches!(side, Expr::Str("\"\"" | "``"))) == Some("==")
}

fn compares_unequal(cond: &Expr<'_>) -> bool {
    operator_with(cond, |side| matches!(side, Expr::Str(_) | Expr::Name(_))) == Some("!=")
}

/// The program that a call starts, if the source names it.
pub(crate) fn program_of<'p>(
    walk: &Walk<'p>,
    call: &'p Call<'p>,
    path: &str,
    name: &str,
) -> Option<String> {
    let place = match (path, name) {
        ("os/exec", "Command") => 0,
        ("os/exec", "CommandContext") => 1,
        // siderolabs/go-cmd: Run(name, args…), RunContext(ctx, name, args…).
        (_, "Run") if path.contains("siderolabs/go-cmd") => 0,
        (_, "RunContext" | "RunWithOptions") if path.contains("siderolabs/go-cmd") => 1,
        _ => return None,
    };
    let texts = values::all_texts(walk, call.args.get(place)?)?;
    let (first, _) = texts.into_iter().next()?;
    let is_one = !first.contains('/') || first.starts_with('/');
    (is_one && first.len() <= LONGEST_NAME).then_some(first)
}
