//! Policy sources in CIL: where the rules of a type are, what is forbidden, and which
//! types an attribute stands for. The compiler's optimiser drops attributes and rules,
//! and `neverallow`, so a binary policy does not have them.

use std::collections::{BTreeMap, BTreeSet};

/// Deeper nesting than this is not read.
const DEEPEST: usize = 64;
/// Forms that are read, with those of macros at each call: more is not a policy.
const MOST_FORMS: usize = 1 << 18;

/// A form with the lines that it takes.
#[derive(Debug, Clone, PartialEq)]
struct Form {
    kind: FormKind,
    first: usize,
    last: usize,
}

#[derive(Debug, Clone, PartialEq)]
enum FormKind {
    Word(String),
    List(Vec<Form>),
}

impl Form {
    fn word(&self) -> Option<&str> {
        match &self.kind {
            FormKind::Word(word) => Some(word),
            FormKind::List(_) => None,
        }
    }

    fn list(&self) -> Option<&[Self]> {
        match &self.kind {
            FormKind::List(list) => Some(list),
            FormKind::Word(_) => None,
        }
    }

    /// All words, at any depth.
    fn words<'a>(&'a self, into: &mut Vec<&'a str>) {
        match &self.kind {
            FormKind::Word(word) => into.push(word),
            FormKind::List(list) => list.iter().for_each(|form| form.words(into)),
        }
    }

    fn replaced(&self, parameters: &BTreeMap<&str, &Self>) -> Self {
        let kind = match &self.kind {
            FormKind::Word(word) => match parameters.get(word.as_str()) {
                Some(form) => return (*form).clone(),
                None => FormKind::Word(word.clone()),
            },
            FormKind::List(list) => {
                FormKind::List(list.iter().map(|form| form.replaced(parameters)).collect())
            }
        };
        Self { kind, ..*self }
    }
}

/// Why a source cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct CilError {
    pub line: usize,
    pub what: &'static str,
}

/// A place in a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub file: String,
    /// The last line of what is there, from 1.
    pub line: usize,
}

/// An `allow` or `neverallow`.
#[derive(Debug, Clone)]
struct Rule {
    source: String,
    target: String,
    class: String,
    permissions: BTreeSet<String>,
    place: Place,
}

/// A permission that a class map stands for.
type Mapped = (String, BTreeSet<String>);

/// The types of each attribute.
type Members = BTreeMap<String, BTreeSet<String>>;

/// The sources of a policy.
#[derive(Debug, Default)]
pub struct Sources {
    types: BTreeMap<String, Place>,
    attributes: BTreeMap<String, Vec<Form>>,
    macros: BTreeMap<String, (Vec<String>, Vec<Form>)>,
    allows: Vec<Rule>,
    forbidden: Vec<Rule>,
    /// By class map and name.
    maps: BTreeMap<(String, String), Vec<Mapped>>,
    members: Members,
    forms: usize,
}

/// Where a rule belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    pub place: Place,
    /// What is at that line.
    pub after: String,
}

/// A rule that allows more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wider {
    pub rule: String,
    /// The types that it allows it to besides.
    pub adds: Vec<String>,
    pub home: Option<Home>,
}

impl Sources {
    /// Reads sources, by path and text.
    ///
    /// # Errors
    /// If a text is not in CIL; with its path.
    pub fn read<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, (String, CilError)> {
        let mut sources = Self::default();
        let mut forms = Vec::new();
        for (path, text) in files {
            let parsed = parse(text).map_err(|error| (path.to_owned(), error))?;
            forms.extend(parsed.into_iter().map(|form| (path.to_owned(), form)));
        }
        // A macro may be called before it is defined.
        for (_, form) in &forms {
            sources.read_macro(form);
        }
        for (path, form) in &forms {
            sources.read_form(path, form, 0);
        }
        let mut members = BTreeMap::new();
        for name in sources.attributes.keys() {
            sources.evaluate(name, &mut Vec::new(), &mut members);
        }
        sources.members = members;
        Ok(sources)
    }

    fn read_macro(&mut self, form: &Form) {
        let Some([head, name, parameters, body @ ..]) = form.list() else {
            return;
        };
        let (Some("macro"), Some(name), Some(parameters)) =
            (head.word(), name.word(), parameters.list())
        else {
            return;
        };
        let names = parameters.iter().filter_map(|it| it.list()?.last()?.word());
        let names = names.map(str::to_owned).collect();
        self.macros.insert(name.to_owned(), (names, body.to_vec()));
    }

    fn read_form(&mut self, path: &str, form: &Form, depth: usize) {
        let Some([head, rest @ ..]) = form.list() else {
            return;
        };
        self.forms += 1;
        if self.forms > MOST_FORMS {
            return;
        }
        let place = Place {
            file: path.to_owned(),
            line: form.last,
        };
        match (head.word(), rest) {
            (Some("type"), [name]) => {
                if let Some(name) = name.word() {
                    self.types.insert(name.to_owned(), place);
                }
            }
            (Some("typeattribute"), [name]) => {
                if let Some(name) = name.word() {
                    self.attributes.entry(name.to_owned()).or_default();
                }
            }
            (Some("typeattributeset"), [name, set]) => {
                if let Some(name) = name.word() {
                    self.attributes
                        .entry(name.to_owned())
                        .or_default()
                        .push(set.clone());
                }
            }
            (Some("classmapping"), [map, name, permissions]) => {
                if let (Some(map), Some(name)) = (map.word(), name.word())
                    && let Some(mapped) = class_permissions(permissions)
                {
                    let key = (map.to_owned(), name.to_owned());
                    self.maps.entry(key).or_default().push(mapped);
                }
            }
            (Some(kind @ ("allow" | "neverallow")), [source, target, permissions]) => {
                if let (Some(source), Some(target)) = (source.word(), target.word())
                    && let Some((class, permissions)) = class_permissions(permissions)
                {
                    let rule = Rule {
                        source: source.to_owned(),
                        target: if target == "self" { source } else { target }.to_owned(),
                        class,
                        permissions,
                        place,
                    };
                    let list = if kind == "allow" {
                        &mut self.allows
                    } else {
                        &mut self.forbidden
                    };
                    list.push(rule);
                }
            }
            (Some("call"), [name, arguments @ ..]) if depth < DEEPEST => {
                let called = name.word().and_then(|name| self.macros.get(name)).cloned();
                let Some((parameters, body)) = called else {
                    return;
                };
                let values = arguments.first().and_then(Form::list).unwrap_or_default();
                let values = parameters.iter().map(String::as_str).zip(values).collect();
                for form in &body {
                    // A rule of a macro is where the macro is called.
                    let mut form = form.replaced(&values);
                    form.last = place.line;
                    self.read_form(path, &form, depth + 1);
                }
            }
            (Some("block" | "in" | "optional" | "booleanif" | "true" | "false"), body)
                if depth < DEEPEST =>
            {
                for form in body {
                    self.read_form(path, form, depth + 1);
                }
            }
            _ => {}
        }
    }

    /// The types of an attribute; each is evaluated once.
    fn evaluate(
        &self,
        name: &str,
        path: &mut Vec<String>,
        known: &mut Members,
    ) -> BTreeSet<String> {
        if let Some(members) = known.get(name) {
            return members.clone();
        }
        let Some(sets) = self.attributes.get(name) else {
            return BTreeSet::from([name.to_owned()]);
        };
        if path.len() >= DEEPEST || path.iter().any(|it| it == name) {
            return BTreeSet::new();
        }
        path.push(name.to_owned());
        let mut members = BTreeSet::new();
        for set in sets {
            members.extend(self.set(set, path, known));
        }
        path.pop();
        known.insert(name.to_owned(), members.clone());
        members
    }

    fn set(&self, form: &Form, path: &mut Vec<String>, known: &mut Members) -> BTreeSet<String> {
        let list = match &form.kind {
            FormKind::Word(name) => return self.evaluate(name, path, known),
            FormKind::List(list) => list,
        };
        let all = || self.types.keys().cloned().collect::<BTreeSet<String>>();
        let Some((head, rest)) = list.split_first() else {
            return BTreeSet::new();
        };
        let mut of = |form: &Form| self.set(form, path, known);
        match (head.word(), rest) {
            (Some("all"), []) => all(),
            (Some("not"), [a]) => &all() - &of(a),
            (Some("and"), [a, b]) => &of(a) & &of(b),
            (Some("xor"), [a, b]) => &of(a) ^ &of(b),
            (Some("or"), _) => rest.iter().flat_map(of).collect(),
            _ => list.iter().flat_map(of).collect(),
        }
    }

    fn is_member(&self, kind: &str, name: &str) -> bool {
        kind == name
            || self
                .members
                .get(name)
                .is_some_and(|members| members.contains(kind))
    }

    /// Whether the type has this attribute in the sources.
    pub fn has_attribute(&self, kind: &str, attribute: &str) -> bool {
        self.members
            .get(attribute)
            .is_some_and(|members| members.contains(kind))
    }

    /// Permissions that a rule gives, by class: class maps are expanded.
    fn expanded(&self, class: &str, permissions: &BTreeSet<String>) -> Vec<Mapped> {
        let mut found = Vec::new();
        for name in permissions {
            match self.maps.get(&(class.to_owned(), name.clone())) {
                Some(mapped) => found.extend(mapped.iter().cloned()),
                None => found.push((class.to_owned(), BTreeSet::from([name.clone()]))),
            }
        }
        found
    }

    /// The `neverallow` that forbids it.
    pub fn forbidding(
        &self,
        source: &str,
        target: &str,
        class: &str,
        permission: &str,
    ) -> Option<&Place> {
        let mut rules = self.forbidden.iter();
        let found = rules.find(|rule| self.is_about(rule, source, target, class, permission));
        found.map(|rule| &rule.place)
    }

    /// The rule that allows it, also if it is in an attribute's name.
    pub fn allowing(
        &self,
        source: &str,
        target: &str,
        class: &str,
        permission: &str,
    ) -> Option<&Place> {
        let mut rules = self.allows.iter();
        let found = rules.find(|rule| self.is_about(rule, source, target, class, permission));
        found.map(|rule| &rule.place)
    }

    fn is_about(
        &self,
        rule: &Rule,
        source: &str,
        target: &str,
        class: &str,
        permission: &str,
    ) -> bool {
        self.is_member(source, &rule.source)
            && self.is_member(target, &rule.target)
            && self
                .expanded(&rule.class, &rule.permissions)
                .iter()
                .any(|(of, names)| {
                    of == class && (names.contains(permission) || names.contains("all"))
                })
    }

    /// Where a rule of this source belongs: after those for the same target, else where
    /// most of the source's rules are, else after its declaration.
    pub fn home(&self, source: &str, target: &str) -> Option<Home> {
        let own: Vec<&Rule> = self
            .allows
            .iter()
            .filter(|rule| rule.source == source)
            .collect();
        let after = |rule: &Rule| Home {
            place: rule.place.clone(),
            after: format!("a rule of {} for {}", rule.source, rule.target),
        };
        if let Some(rule) = own.iter().rev().find(|rule| rule.target == target) {
            return Some(after(rule));
        }
        let mut by_file: BTreeMap<&str, usize> = BTreeMap::new();
        for rule in &own {
            *by_file.entry(&rule.place.file).or_default() += 1;
        }
        let file = by_file.into_iter().max_by_key(|(_, count)| *count);
        if let Some((file, _)) = file
            && let Some(rule) = own.iter().rev().find(|rule| rule.place.file == file)
        {
            return Some(after(rule));
        }
        let declared = self.types.get(source)?;
        Some(Home {
            place: declared.clone(),
            after: format!("the declaration of {source}"),
        })
    }

    /// The rule in the name of each attribute of the source that has rules already, from
    /// the narrowest, with the types that it would allow it to besides.
    pub fn for_attributes(
        &self,
        source: &str,
        target: &str,
        class: &str,
        permissions: &[&str],
    ) -> Vec<Wider> {
        let mut attributes: Vec<(&String, &BTreeSet<String>)> = self
            .members
            .iter()
            .filter(|(_, members)| members.len() > 1 && members.contains(source))
            .filter(|(name, _)| self.allows.iter().any(|rule| rule.source == **name))
            .collect();
        attributes.sort_by_key(|(name, members)| (members.len(), *name));
        let wider = |(name, members): (&String, &BTreeSet<String>)| Wider {
            rule: rule_text(name, target, class, permissions),
            adds: members.iter().filter(|it| *it != source).cloned().collect(),
            home: self.home(name, target),
        };
        attributes.into_iter().map(wider).collect()
    }

    /// The narrowest class map that has all of these, with the permissions of this and
    /// of other classes that it would add, as `class permission`.
    pub fn class_map(
        &self,
        source: &str,
        target: &str,
        class: &str,
        permissions: &[&str],
    ) -> Option<Wider> {
        let fitting = self.maps.iter().filter_map(|((map, name), mapped)| {
            let of_class: BTreeSet<&str> = mapped
                .iter()
                .filter(|(of, _)| of == class)
                .flat_map(|(_, names)| names.iter().map(String::as_str))
                .collect();
            if !permissions.iter().all(|it| of_class.contains(it)) {
                return None;
            }
            let all = mapped
                .iter()
                .flat_map(|(of, names)| names.iter().map(move |it| (of, it)));
            let adds: BTreeSet<String> = all
                .filter(|(of, it)| *of != class || !permissions.contains(&it.as_str()))
                .map(|(of, it)| format!("{of} {it}"))
                .collect();
            let rule = format!("(allow {source} {target} ({map} ({name})))");
            Some(Wider {
                rule,
                adds: adds.into_iter().collect(),
                home: None,
            })
        });
        fitting.min_by_key(|wider| wider.adds.len())
    }
}

/// A rule with exactly these permissions.
pub fn rule_text(source: &str, target: &str, class: &str, permissions: &[&str]) -> String {
    format!(
        "(allow {source} {target} ({class} ({})))",
        permissions.join(" ")
    )
}

/// `(file (read write))`
fn class_permissions(form: &Form) -> Option<Mapped> {
    let [class, permissions] = form.list()? else {
        return None;
    };
    let mut names = Vec::new();
    permissions.words(&mut names);
    let names = names.into_iter().map(str::to_owned).collect();
    Some((class.word()?.to_owned(), names))
}

fn parse(text: &str) -> Result<Vec<Form>, CilError> {
    let mut done = Vec::new();
    // The first line of each open list, and what is in it.
    let mut open: Vec<(usize, Vec<Form>)> = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match c {
            '\n' => {
                line += 1;
                1
            }
            c if c.is_whitespace() => c.len_utf8(),
            ';' => rest.find('\n').unwrap_or(rest.len()),
            '(' => {
                if open.len() >= DEEPEST {
                    return Err(CilError {
                        line,
                        what: "lists are nested too deep",
                    });
                }
                open.push((line, Vec::new()));
                1
            }
            ')' => {
                let closed = open.pop();
                let (first, list) = closed.ok_or(CilError {
                    line,
                    what: "unexpected `)`",
                })?;
                let form = Form {
                    kind: FormKind::List(list),
                    first,
                    last: line,
                };
                open.last_mut().map_or(&mut done, |it| &mut it.1).push(form);
                1
            }
            c => {
                let end = if c == '"' {
                    let close = rest[1..].find('"');
                    close.ok_or(CilError {
                        line,
                        what: "a string does not end",
                    })? + 2
                } else {
                    let is_end = |c: char| c.is_whitespace() || "();\"".contains(c);
                    rest.find(is_end).unwrap_or(rest.len())
                };
                let form = Form {
                    kind: FormKind::Word(rest[..end].to_owned()),
                    first: line,
                    last: line,
                };
                line += rest[..end].matches('\n').count();
                open.last_mut().map_or(&mut done, |it| &mut it.1).push(form);
                end
            }
        };
        rest = &rest[length..];
    }
    match open.first() {
        Some((line, _)) => Err(CilError {
            line: *line,
            what: "a list does not end",
        }),
        None => Ok(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPES: &str = "\
(typeattribute pod_p)
(typeattribute any_p)
(typeattributeset any_p pod_p)
(typeattributeset any_p init_t)
(macro pod_p ((type ARG1))
    (typeattributeset pod_p ARG1)
    (allow ARG1 self (process (fork)))
)
(classmap fs (ro rw))
(classmapping fs ro (file (read open)))
(classmapping fs rw (file (read open write)))
(classmapping fs rw (dir (write add_name)))
(neverallow any_p security_t (security (load_policy setenforce)))
";
    const PODS: &str = "\
(type pod_t) ; (not code
(call pod_p (pod_t))
(type etcd_t)
(call pod_p (etcd_t))
(allow pod_p data_t
    (fs (ro)))
(allow pod_p tmpfs_t (fs (rw)))
(allow pod_t sock_t (file (write)))
";

    fn sources() -> Sources {
        Sources::read([
            ("pods.cil", PODS),
            ("types.cil", TYPES),
            ("init.cil", "(type init_t)"),
        ])
        .unwrap()
    }

    fn at(home: Option<Home>) -> String {
        home.map_or("none".into(), |home| {
            format!("{}:{} {}", home.place.file, home.place.line, home.after)
        })
    }

    #[test]
    fn a_rule_belongs_where_the_rules_of_its_source_are() {
        let sources = sources();
        assert_eq!(
            at(sources.home("pod_p", "data_t")),
            "pods.cil:6 a rule of pod_p for data_t"
        );
        assert_eq!(
            at(sources.home("pod_p", "other_t")),
            "pods.cil:7 a rule of pod_p for tmpfs_t"
        );
        assert_eq!(
            at(sources.home("etcd_t", "other_t")),
            "pods.cil:4 a rule of etcd_t for etcd_t"
        );
        assert_eq!(
            at(sources.home("init_t", "other_t")),
            "init.cil:1 the declaration of init_t"
        );
        assert_eq!(at(sources.home("missing_t", "other_t")), "none");
    }

    #[test]
    fn what_is_forbidden_and_what_is_wider() {
        let sources = sources();
        let found = sources.forbidding("etcd_t", "security_t", "security", "setenforce");
        assert_eq!(found.map(|place| place.line), Some(13));
        assert_eq!(
            sources.forbidding("etcd_t", "security_t", "security", "check"),
            None
        );
        assert!(
            sources
                .allowing("pod_t", "data_t", "file", "open")
                .is_some()
        );
        assert!(
            sources
                .allowing("pod_t", "data_t", "file", "write")
                .is_none()
        );
        let wider = sources.for_attributes("pod_t", "data_t", "file", &["write"]);
        assert_eq!(wider.len(), 1);
        assert_eq!(wider[0].rule, "(allow pod_p data_t (file (write)))");
        assert_eq!(wider[0].adds, ["etcd_t"]);
        let map = sources
            .class_map("pod_t", "data_t", "file", &["write"])
            .unwrap();
        assert_eq!(map.rule, "(allow pod_t data_t (fs (rw)))");
        assert_eq!(
            map.adds,
            ["dir add_name", "dir write", "file open", "file read"]
        );
        assert!(sources.has_attribute("pod_t", "any_p"));
    }

    #[test]
    fn sources_that_grow_at_each_call_end() {
        let grow = |n: usize| {
            format!(
                "(macro m{n} () (call m{0}) (call m{0}))\n\
                (typeattribute a{n})(typeattributeset a{n} (or a{0} a{0}))\n",
                n - 1
            )
        };
        let deep: String = (1..40).map(grow).collect();
        let text = format!("(macro m0 () (type x))\n{deep}(call m39)");
        let sources = Sources::read([("deep.cil", text.as_str())]).unwrap();
        assert!(sources.has_attribute("a0", "a39"));
    }

    #[test]
    fn broken_sources_are_errors_with_a_line() {
        let error = |text: &str| parse(text).unwrap_err().to_string();
        assert_eq!(error("\n(a"), "line 2: a list does not end");
        assert_eq!(error("a)\n"), "line 1: unexpected `)`");
        assert_eq!(error("(a \"b)"), "line 1: a string does not end");
        assert_eq!(error(&"(".repeat(100)), "line 1: lists are nested too deep");
    }
}
