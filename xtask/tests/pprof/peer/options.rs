//! Each form either honours an option, and then the answer is another one, or refuses it.

use std::collections::BTreeSet;

use camino::Utf8Path;

use super::inputs::{Input, inputs};
use super::parallel::each;
use crate::common::{Home, Said, run};

const FORMS: [&[&str]; 17] = [
    &["--top"],
    &["--tree"],
    &["--peek=main"],
    &["--goroutines"],
    &["--controllers"],
    &["--list=main"],
    &["--traces"],
    &["--tags"],
    &["--raw"],
    &["--comments"],
    &["--proto"],
    &["--web"],
    &["--dot"],
    &["--callgrind"],
    &["--folded"],
    &["--speedscope"],
    &["--svg"],
];

/// `BASE` is the profile to compare with.
const OPTIONS: [&[&str]; 34] = [
    &["--mean"],
    &["--unit=s"],
    &["--divide_by=3"],
    &["--nodecount=2"],
    &["--nodefraction=0.3"],
    &["--edgefraction=0.3"],
    &["--no-trim"],
    &["--cum"],
    &["--filefunctions"],
    &["--files"],
    &["--lines"],
    &["--addresses"],
    &["--showcolumns", "--lines"],
    &["--noinlines"],
    &["--relative_percentages", "--focus=mid"],
    &["--drop_negative", "--base=BASE"],
    &["--normalize", "--base=BASE"],
    &["--base=BASE"],
    &["--diff_base=BASE"],
    &["--focus=mid"],
    &["--ignore=mid"],
    &["--hide=mid"],
    &["--show=mid"],
    &["--show_from=mid"],
    &["--prune_from=mid"],
    &["--tagfocus=area=network"],
    &["--tagignore=area=network"],
    &["--tagshow=bytes"],
    &["--taghide=bytes"],
    &["--tagroot=area"],
    &["--tagleaf=area"],
    &["--all_frames"],
    &["--sample_index=0"],
    &["--source_path=SOURCES"],
];

/// An option may leave the answer as it is.
const UNCHANGED: &[(&str, &str)] = &[
    // The page of so few calls has all of them: see the comparison of sums.
    ("--web", "--no-trim"),
    // It adds callers, which have no source.
    ("--list", "--tagroot"),
];

fn answer(home: &Home, form: &[&str], option: &[&str], input: &Input) -> (Said, String) {
    let base = input.base.as_str();
    let sources = home.path("sources");
    let option = option.iter().map(|word| {
        word.replace("BASE", base)
            .replace("SOURCES", sources.as_str())
    });
    let name = format!("{}{}", form.concat(), option.clone().collect::<String>());
    let output = home.path(&name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    let mut command = home.xtask(&["pprof", "open", "--output", output.as_str()]);
    command.args(form).args(option).arg(&input.file);
    let said = run(&mut command);
    let text = std::fs::read(&output).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (said, text.unwrap_or_default())
}

#[test]
fn a_form_honours_an_option_or_refuses_it() {
    let home = Home::new();
    let inputs = inputs(Utf8Path::new(&home.root));
    home.write("sources/src/a.go", &"a line\n".repeat(40));
    let input = inputs
        .iter()
        .find(|input| input.name == "made-everything")
        .unwrap();
    let mut cases = Vec::new();
    for form in FORMS {
        for option in OPTIONS {
            cases.push((form, option));
        }
    }
    let plain = each(&FORMS, |form| Some(answer(&home, form, &[], input).1));
    let wrong = each(&cases, |(form, option)| {
        let (said, text) = answer(&home, form, option, input);
        let last = option[0];
        let without: Vec<&str> = option[1..].to_vec();
        match said.code {
            Some(2) if said.stderr.contains("would ignore it") => None,
            Some(0) => {
                let place = FORMS.iter().position(|of| of == form).unwrap();
                let before = if without.is_empty() {
                    plain[place].clone()
                } else {
                    answer(&home, form, &without, input).1
                };
                let name = last.split('=').next().unwrap();
                let form = form[0].split('=').next().unwrap();
                let is_known = UNCHANGED.contains(&(form, name));
                (before == text)
                    .then(|| format!("{form} {name} changes nothing"))
                    .filter(|_| !is_known)
            }
            _ => Some(format!(
                "{form:?} {option:?}: {:?} {}",
                said.code, said.stderr
            )),
        }
    });
    let wrong: BTreeSet<String> = wrong.into_iter().collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
