//! Page, picture and exports say of each function what `--top` says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use super::inputs::{Input, inputs};
use super::parallel::each;
use crate::common::{Home, Said, run};
use crate::node::page_data;

/// Flat and cum by function, without those that are 0.
type Sums = BTreeMap<String, (i64, i64)>;

const FILTERS: [&[&str]; 7] = [
    &[],
    &["--focus=mid|reconcile|ssa"],
    &["--ignore=runtime|small"],
    &["--hide=runtime|mid"],
    &["--show_from=main|ssa"],
    &["--tagfocus=area=network|Link|area3"],
    &["--noinlines", "--tagroot=area"],
];

fn open(home: &Home, words: &[&str], input: &Input) -> Result<Said, String> {
    let mut command = home.xtask(&["pprof", "open"]);
    let told = run(command.args(words).arg(&input.file));
    match told.code {
        Some(0) => Ok(told),
        _ => Err(format!("{words:?}: {}", told.stderr)),
    }
}

/// Unit and sums of `--top`.
fn top(home: &Home, words: &[&str], input: &Input) -> Result<(String, Sums), String> {
    let text = open(home, &[words, &["--top", "--json"]].concat(), input)?;
    let top: Value = serde_json::from_str(&text.stdout).unwrap();
    let mut sums = Sums::new();
    for row in top["rows"].as_array().unwrap() {
        let value = |of: &str| row[of].as_i64().unwrap();
        let name = row["name"].as_str().unwrap().to_owned();
        add(&mut sums, name, (value("flat"), value("cum")));
    }
    Ok((
        top["unit"].as_str().unwrap().to_owned(),
        without_zeros(sums),
    ))
}

fn add(sums: &mut Sums, name: String, (flat, cum): (i64, i64)) {
    let of = sums.entry(name).or_default();
    *of = (of.0 + flat, of.1 + cum);
}

fn without_zeros(mut sums: Sums) -> Sums {
    sums.retain(|_, value| *value != (0, 0));
    sums
}

/// Counts a stack from the root to the leaf: each function once.
fn count(sums: &mut Sums, stack: &[&str], value: i64) {
    let mut seen: Vec<&str> = Vec::new();
    for name in stack {
        if !seen.contains(name) {
            add(sums, (*name).to_owned(), (0, value));
            seen.push(name);
        }
    }
    if let Some(leaf) = stack.last() {
        add(sums, (*leaf).to_owned(), (value, 0));
    }
}

fn index(of: &Value) -> usize {
    usize::try_from(of.as_u64().unwrap()).unwrap()
}

/// What the page's table of functions shows, and what its tree adds up to, if all calls are in it.
fn page(text: &str, sample_type: &str) -> (Sums, Option<Sums>) {
    let data = page_data(text);
    let list = |of: &Value| of.as_array().unwrap().clone();
    let number = |of: &Value| of.as_i64().unwrap();
    let names: Vec<String> = list(&data["names"])
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    let types = list(&data["types"]);
    let drawing = types.iter().find(|of| of["type"] == sample_type).unwrap();
    let mut table = Sums::new();
    for (flat, cum) in list(&drawing["flat"]).iter().zip(list(&drawing["cum"])) {
        let values = list(flat).into_iter().zip(list(&cum)).zip(&names).skip(1);
        for ((flat, cum), name) in values {
            add(&mut table, name.clone(), (number(&flat), number(&cum)));
        }
    }
    if drawing["elided"] != 0 {
        return (without_zeros(table), None);
    }
    let (level, name) = (list(&drawing["level"]), list(&drawing["name"]));
    let mut tree = Sums::new();
    for totals in list(&drawing["totals"]) {
        let totals: Vec<i64> = list(&totals).iter().map(number).collect();
        let levels: Vec<usize> = level.iter().map(index).collect();
        let mut path: Vec<&str> = Vec::new();
        for place in 1..totals.len() {
            path.truncate(levels[place] - 1);
            path.push(&names[index(&name[place])]);
            let below = (place + 1..totals.len()).take_while(|of| levels[*of] > levels[place]);
            let callees = below.filter(|of| levels[*of] == levels[place] + 1);
            let own = totals[place] - callees.map(|of| totals[of]).sum::<i64>();
            if own != 0 {
                count(&mut tree, &path, own);
            }
        }
    }
    (without_zeros(table), Some(without_zeros(tree)))
}

/// With several sides their names come first.
fn folded(text: &str, has_sides: bool) -> Sums {
    let mut sums = Sums::new();
    for line in text.lines() {
        let (stack, value) = line.rsplit_once(' ').unwrap();
        let stack: Vec<&str> = stack.split(';').skip(usize::from(has_sides)).collect();
        count(&mut sums, &stack, value.parse().unwrap());
    }
    sums
}

fn speedscope(text: &str) -> Sums {
    let file: Value = serde_json::from_str(text).unwrap();
    let mut sums = Sums::new();
    for profile in file["profiles"].as_array().unwrap() {
        let (mut stack, mut before): (Vec<&str>, i64) = (Vec::new(), 0);
        for event in profile["events"].as_array().unwrap() {
            let at = event["at"].as_i64().unwrap();
            if at > before {
                count(&mut sums, &stack, at - before);
            }
            before = at;
            let frame = index(&event["frame"]);
            let name = file["shared"]["frames"][frame]["name"].as_str().unwrap();
            if event["type"] == "O" {
                stack.push(name);
            } else {
                assert_eq!(stack.pop(), Some(name));
            }
        }
        assert!(stack.is_empty(), "{stack:?}");
    }
    sums
}

fn firefox(text: &str) -> Sums {
    let file: Value = serde_json::from_str(text).unwrap();
    let mut sums = Sums::new();
    for thread in file["threads"].as_array().unwrap() {
        let samples = &thread["samples"];
        let stacks = samples["stack"].as_array().unwrap().iter();
        for (stack, weight) in stacks.zip(samples["weight"].as_array().unwrap()) {
            let (mut path, mut next) = (Vec::new(), Some(index(stack)));
            while let Some(stack) = next {
                let table = &thread["stackTable"];
                let frame = index(&table["frame"][stack]);
                let function = index(&thread["frameTable"]["func"][frame]);
                let name = index(&thread["funcTable"]["name"][function]);
                path.push(thread["stringArray"][name].as_str().unwrap());
                next = Some(&table["prefix"][stack])
                    .filter(|of| !of.is_null())
                    .map(index);
            }
            path.reverse();
            let weight = weight.as_f64().unwrap();
            let weight = match samples["weightType"].as_str() {
                Some("tracing-ms") => (weight * 1e6).round(),
                _ => weight,
            };
            #[allow(clippy::cast_possible_truncation)] // it was one
            count(&mut sums, &path, weight as i64);
        }
    }
    sums
}

/// The numbers of functions in the titles of boxes, as they are printed.
fn svg(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for part in text.split("<title>").skip(1) {
        let title = part.split_once("</title>").unwrap().0;
        let Some((call, function)) = title.split_once("\nall its calls: ") else {
            continue;
        };
        let name = call.rsplit_once(": ").unwrap().0;
        let name = name.replace("&lt;", "<").replace("&gt;", ">");
        let numbers = found.entry(name.replace("&amp;", "&")).or_default();
        if !numbers.iter().any(|of| of == function) {
            numbers.push(function.to_owned());
        }
    }
    found
}

fn unequal(what: &str, input: &Input, words: &[&str], found: &Sums, top: &Sums) -> Option<String> {
    if found == top {
        return None;
    }
    let names = found.keys().chain(top.keys());
    let name = names
        .clone()
        .find(|name| found.get(*name) != top.get(*name))
        .unwrap();
    Some(format!(
        "{} {words:?}: {name}: {what} {:?}, top {:?}",
        input.name,
        found.get(name),
        top.get(name)
    ))
}

/// All forms of an input with the filters; counts pages that leave calls out.
fn check(
    home: &Home,
    (input, sample_type, filter): (&Input, &str, &[&str]),
    trimmed: &AtomicUsize,
) -> Result<(), String> {
    let index = format!("--sample_index={sample_type}");
    let words = [filter, &[index.as_str()]].concat();
    let top = top(home, &words, input);
    let file = home.path(&format!(
        "{}-{sample_type}-{}.out",
        input.name,
        filter.concat().replace(['|', '/'], "-")
    ));
    let export = |form: &str, more: &[&str]| {
        let words = [&words[..], more, &[form, "--output", file.as_str()]].concat();
        open(home, &words, input).map(|_| std::fs::read_to_string(&file).unwrap())
    };
    let (unit, top) = match top {
        Ok(top) => top,
        // An expression that the profile cannot answer: no form does.
        Err(refused) => {
            let drawn = export("--folded", &[]);
            return drawn.map_or(Ok(()), |_| Err(refused));
        }
    };
    let mut unequals = Vec::new();
    let mut compare = |what: &str, found: &Sums, top: &Sums| {
        unequals.extend(unequal(what, input, &words, found, top));
    };
    for trim in [&[][..], &["--no-trim"]] {
        let (table, tree) = page(&export("--web", trim)?, sample_type);
        compare("page", &table, &top);
        if let Some(tree) = tree {
            compare("tree of the page", &tree, &top);
        } else {
            assert!(trim.is_empty(), "{}: calls are left out", input.name);
            trimmed.fetch_add(1, Ordering::Relaxed);
        }
    }
    // Other tools have no values below zero: these are left out.
    let told = open(home, &[&words[..], &["--folded"]].concat(), input)?.stderr;
    if told.contains("below zero are left out") {
        assert!(input.is_below_zero, "{}: {told}", input.name);
        return unequals.pop().map_or(Ok(()), Err);
    }
    let has_sides = input.name == "made-nodes";
    let separated = top.iter().map(|(name, of)| (name.replace(';', ","), *of));
    let separated: Sums = separated.collect();
    compare(
        "folded",
        &folded(&export("--folded", &[])?, has_sides),
        &separated,
    );
    compare(
        "speedscope",
        &speedscope(&export("--speedscope", &[])?),
        &top,
    );
    compare("firefox", &firefox(&export("--firefox", &[])?), &top);
    if !has_sides {
        let boxes = svg(&export("--svg", &[])?);
        let format = |value: i64| pprof::unit::label(value, &unit, "auto");
        for (name, numbers) in &boxes {
            let (flat, cum) = top.get(name).copied().unwrap_or_default();
            let expected = format!("flat {}, cum {}", format(flat), format(cum));
            assert_eq!(numbers, &[expected], "{} {words:?} {name}", input.name);
        }
        let large = top.values().map(|(_, cum)| *cum).max().unwrap_or(0);
        let mut large = top.iter().filter(|(_, of)| of.1 == large && large > 0);
        assert!(
            large.all(|(name, _)| boxes.contains_key(name)),
            "{} {words:?}: a large function is not drawn",
            input.name
        );
    }
    unequals.pop().map_or(Ok(()), Err)
}

#[test]
fn pictures_and_exports_add_up_to_top() {
    let home = Home::new();
    let inputs = inputs(&home.root);
    let all = std::env::var_os("XTASK_TEST_REAL").is_some();
    let mut cases = Vec::new();
    for (place, input) in inputs.iter().enumerate() {
        for (index, sample_type) in input.types.iter().enumerate() {
            for (row, filter) in FILTERS.iter().enumerate() {
                if all || row == 0 || (place + index + row) % FILTERS.len() == 0 {
                    cases.push((input, sample_type, *filter));
                }
            }
        }
    }
    let trimmed = AtomicUsize::new(0);
    let wrong = each(&cases, |(input, sample_type, filter)| {
        check(&home, (input, sample_type, filter), &trimmed).err()
    });
    assert!(trimmed.into_inner() > 0, "no page leaves out small calls");
    assert!(
        wrong.is_empty(),
        "of {} cases:\n{}",
        cases.len(),
        wrong.join("\n")
    );
}
