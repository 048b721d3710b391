//! `--web` in a real browser: what is drawn, clicked, typed and linked to.

use pprof::Source;
use prost::Message;
use serde_json::{Value, json};

use crate::common::browser::Browser;
use crate::common::{Home, said};
use crate::node::{ask, corpus, grown, odd, page_data, profile, send, serve};
use crate::peer::inputs::{small_calls, tangle};

fn write(home: &Home, words: &[&str]) -> String {
    let page = home.path("page.html").to_string();
    let output = home
        .xtask(&["pprof", "open"])
        .args(words)
        .args(["--web", "--output", &page])
        .output()
        .unwrap();
    let told = said(&output);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    assert_eq!(told.stdout.trim(), page);
    page
}

/// Heaps of two nodes in one file, as a fetch saves and merges them.
fn two_nodes(home: &Home) -> String {
    let nodes = [("cp-1", "heap.pb.gz"), ("worker-1", "heap-before.pb.gz")];
    let labelled = nodes.map(|(node, file)| Source::new(profile(file)).label("node", node));
    let merged = pprof::merge(labelled.into()).unwrap();
    let file = home.path("heap.pb.gz");
    std::fs::write(&file, pprof::compress(&merged).unwrap()).unwrap();
    file.to_string()
}

/// The middle of a function's widest box, on the screen.
fn middle(browser: &mut Browser, name: &str) -> (f64, f64) {
    let place = browser.eval(&format!(
        "(() => {{ const of = boxes.filter(of => label(of.g, of.i) === {name:?}).sort((a, b) => b.w - a.w)[0]; \
         const r = canvas.getBoundingClientRect(); \
         return [r.left + of.x + of.w / 2, r.top + of.y + ROW / 2]; }})()"
    ));
    let number = |of: usize| place[of].as_f64().unwrap();
    (number(0), number(1))
}

/// The colour at a place of the flame graph: red, green, blue.
fn colour(browser: &mut Browser, (x, y): (f64, f64)) -> [i64; 3] {
    let data = browser.eval(&format!(
        "(() => {{ const r = canvas.getBoundingClientRect(), ratio = devicePixelRatio; \
         return [...pen.getImageData(({x} - r.left) * ratio, ({y} - r.top + ROW / 2 - 3) * ratio, 1, 1).data]; }})()"
    ));
    [0, 1, 2].map(|of| data[of].as_i64().unwrap())
}

const SAID: &str = "document.getElementById('said').textContent";

#[test]
fn nodes_search_zoom_and_links_work_in_a_browser() {
    let home = Home::new();
    let page = write(&home, &[&two_nodes(&home)]);
    let test = "nodes_search_zoom_and_links_work_in_a_browser";
    let Some(mut browser) = Browser::open(test, &home, &page) else {
        return;
    };
    assert!(
        browser.text(SAID).starts_with("114.03MB · inuse_space"),
        "{}",
        browser.text(SAID)
    );
    // n goes on to the next node.
    browser.keys("n");
    assert!(
        browser.text(SAID).starts_with("85.66MB"),
        "{}",
        browser.text(SAID)
    );
    browser.keys("n");
    assert!(
        browser.text(SAID).starts_with("28.36MB"),
        "{}",
        browser.text(SAID)
    );
    browser.keys("n");
    // What is typed is searched for at once.
    browser.keys("/reconcile");
    assert!(
        browser.text(SAID).contains("matches "),
        "{}",
        browser.text(SAID)
    );
    browser.press("Escape");
    assert!(
        !browser.text(SAID).contains("matches"),
        "{}",
        browser.text(SAID)
    );
    // Hovering tells about both nodes, a click makes it as wide as the page.
    let reconcile = "main.(*controller).reconcile";
    let (x, y) = middle(&mut browser, reconcile);
    browser.hover(x, y);
    let tip = browser.text("document.getElementById('tip').textContent");
    assert!(
        tip.starts_with(reconcile) && tip.contains("cp-1: ") && tip.contains("worker-1: "),
        "{tip}"
    );
    browser.click(x, y, false);
    assert_eq!(browser.text("D.names[G.name[zoom]]"), reconcile);
    let (link, said) = (browser.text("location.href"), browser.text(SAID));
    assert!(link.contains("zoom="), "{link}");
    // From the root below; the same box is found there.
    browser.keys("i");
    let (x, flipped) = middle(&mut browser, reconcile);
    assert!(flipped > y, "{flipped} is below {y}");
    browser.hover(x, flipped);
    let tip = browser.text("document.getElementById('tip').textContent");
    assert!(tip.starts_with(reconcile), "{tip}");
    browser.keys("t");
    let first = browser.text("document.querySelector('#functions tr').textContent");
    assert!(first.contains(reconcile), "{first}");
    drop(browser);
    // A link shows what was on the screen.
    let link = link.strip_prefix("file://").unwrap().to_owned();
    let mut browser = Browser::open(test, &home, &link).unwrap();
    assert_eq!(browser.text(SAID), said);
}

#[test]
fn a_difference_is_red_where_it_grew() {
    let home = Home::new();
    let (now, before) = (corpus("heap.pb.gz"), corpus("heap-before.pb.gz"));
    let page = write(&home, &["--diff_base", before.as_str(), now.as_str()]);
    let test = "a_difference_is_red_where_it_grew";
    let Some(mut browser) = Browser::open(test, &home, &page) else {
        return;
    };
    assert!(
        browser.text(SAID).starts_with("28.36MB → 85.66MB"),
        "{}",
        browser.text(SAID)
    );
    let place = middle(&mut browser, "main.(*controller).reconcile");
    let [red, _, blue] = colour(&mut browser, place);
    assert!(red > blue + 30, "red {red}, blue {blue}");
    browser.hover(place.0, place.1);
    let tip = browser.text("document.getElementById('tip').textContent");
    assert!(tip.contains("change: +"), "{tip}");
    // The other way round it has shrunk.
    let page = write(&home, &["--diff_base", now.as_str(), before.as_str()]);
    drop(browser);
    let mut browser = Browser::open(test, &home, &page).unwrap();
    let place = middle(&mut browser, "main.(*controller).reconcile");
    let [red, _, blue] = colour(&mut browser, place);
    assert!(blue > red + 30, "red {red}, blue {blue}");
}

#[test]
fn a_series_has_a_timeline_that_shows_and_compares_moments() {
    let home = Home::new();
    let node = serve(|stream, _, asked| {
        let round = u32::try_from(asked).unwrap();
        let heap = grown(
            "heap.pb.gz",
            f64::from(round + 1),
            1_800_000_000 + i64::from(round) * 60,
        );
        send(stream, &heap);
    });
    let words = ["machined", "heap", "--every", "1s", "--for", "2s"];
    let told = said(&ask(&home, &words, &[&node]).output().unwrap());
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let page = write(&home, &["latest"]);
    let test = "a_series_has_a_timeline_that_shows_and_compares_moments";
    let Some(mut browser) = Browser::open(test, &home, &page) else {
        return;
    };
    let last = browser.text(SAID);
    assert!(
        !last.starts_with("85.66MB"),
        "it begins with the last moment: {last}"
    );
    let place = |browser: &mut Browser, moment: usize| {
        let at = browser.eval(&format!(
            "(() => {{ const r = course.getBoundingClientRect(), [x, y] = place({moment}, r.width, r.height); \
             return [r.left + x, r.top + y]; }})()"
        ));
        (at[0].as_f64().unwrap(), at[1].as_f64().unwrap())
    };
    let (x, y) = place(&mut browser, 0);
    browser.click(x, y, false);
    assert!(
        browser.text(SAID).starts_with("85.66MB"),
        "{}",
        browser.text(SAID)
    );
    let (x, y) = place(&mut browser, 1);
    browser.click(x, y, true);
    assert!(
        browser.text(SAID).starts_with("85.66MB → 171.32MB"),
        "{}",
        browser.text(SAID)
    );
    let chosen = browser.text("document.getElementById('side').selectedOptions[0].textContent");
    assert!(chosen.contains('→'), "{chosen}");
}

/// The page of an odd profile, and what it draws: the names from the root.
fn drawn_of(test: &str, home: &Home, bytes: &[u8]) -> Option<(Browser, Vec<String>)> {
    let file = home.path("odd.pb.gz");
    std::fs::write(&file, bytes).unwrap();
    let page = write(home, &[file.as_str()]);
    let mut browser = Browser::open(test, home, &page)?;
    let names = browser.eval("boxes.map(of => label(of.g, of.i))");
    let names = names.as_array().unwrap().iter();
    let names = names
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    Some((browser, names))
}

/// Names that every object of a script has, wherever a profile may have one.
#[test]
fn names_of_the_scripts_own_leave_no_empty_page() {
    let test = "names_of_the_scripts_own_leave_no_empty_page";
    let own: [&[u8]; 6] = [
        b"constructor",
        b"__proto__",
        b"toString",
        b"valueOf",
        b"hasOwnProperty",
        b"length",
    ];
    for unit in own {
        let home = Home::new();
        let opened = drawn_of(test, &home, &odd(unit, unit, &own));
        let Some((mut browser, names)) = opened else {
            return;
        };
        let mut expected = vec!["all".to_owned()];
        expected.extend(own.map(|name| String::from_utf8(name.to_vec()).unwrap()));
        assert_eq!(names, expected);
        let unit = String::from_utf8_lossy(unit).into_owned();
        assert_eq!(browser.text(SAID), format!("100 · {unit}"));
        // The list of functions, and a search for one of them.
        browser.keys("t");
        let rows = browser.eval("document.querySelectorAll('#functions tr').length");
        assert_eq!(rows, own.len());
        browser.keys("/__proto__");
        assert!(
            browser.text(SAID).contains("matches 100"),
            "{}",
            browser.text(SAID)
        );
    }
}

/// Whatever a name is, it is text: nothing of it is run or loaded.
#[test]
fn names_do_not_leave_the_script() {
    let test = "names_do_not_leave_the_script";
    let hostile: [&[u8]; 11] = [
        b"</script><script>document.title='run'</script>",
        b"<!--<script>",
        b"--></script>",
        b"\";document.title='run';//",
        b"'+document.title+'",
        b"\\",
        b"</title><img src=x onerror=document.title='run'>",
        "\u{2028}\u{2029}document.title='run'".as_bytes(),
        // A lone half of a pair, as JSON and WTF-8 have it.
        b"\xed\xa0\x80",
        b"\\ud800",
        "\u{202e}\u{1b}[2J\u{7}\u{0}".as_bytes(),
    ];
    let home = Home::new();
    let opened = drawn_of(test, &home, &odd(hostile[0], hostile[1], &hostile));
    let Some((mut browser, names)) = opened else {
        return;
    };
    assert_eq!(names.len(), hostile.len() + 1);
    for (name, expected) in names[1..].iter().zip(hostile) {
        assert_eq!(*name, String::from_utf8_lossy(expected));
    }
    assert_eq!(browser.text("document.title"), "odd.pb.gz");
    assert_eq!(browser.eval("document.images.length"), 0);
    // The data, what inflates it, and the program, as text and as a script.
    assert_eq!(browser.eval("document.scripts.length"), 4);
    browser.keys("t");
    assert_eq!(browser.eval("document.images.length"), 0);
    assert_eq!(browser.text("document.title"), "odd.pb.gz");
}

/// A stack of a hundred thousand calls is drawn from its root, and from where
/// the page is shown.
#[test]
fn a_stack_without_end_is_drawn_as_far_as_there_is_room() {
    let test = "a_stack_without_end_is_drawn_as_far_as_there_is_room";
    let names: Vec<String> = (0..100_000).map(|of| format!("f{of}")).collect();
    let names: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let home = Home::new();
    let opened = drawn_of(test, &home, &odd(b"space", b"bytes", &names));
    let Some((mut browser, drawn)) = opened else {
        return;
    };
    assert_eq!(drawn[1], "f0");
    assert!(browser.text(SAID).contains("deeper calls"));
    // The root's row has a colour: a canvas that is too tall stays empty.
    let place = middle(&mut browser, "f3");
    assert_ne!(colour(&mut browser, place), [0, 0, 0]);
    browser.keys("t");
    browser.eval("turnTo(D.names.indexOf('f60000'))");
    let (_, y) = middle(&mut browser, "f60000");
    assert!(
        (0.0..700.0).contains(&y),
        "the function is on the screen: {y}"
    );
    browser.eval("go(50000)");
    // Beside its callers, which stand above.
    let drawn = browser.eval("boxes.filter(of => !of.above).map(of => label(of.g, of.i))");
    assert_eq!(drawn[0], "f49999");
    browser.press("Backspace");
    assert_eq!(browser.text("D.names[G.name[zoom]]"), "f49998");
}

/// A link may say anything.
#[test]
fn a_link_to_what_is_not_there_shows_everything() {
    let test = "a_link_to_what_is_not_there_shows_everything";
    let home = Home::new();
    let page = write(&home, &[&two_nodes(&home)]);
    for link in [
        "side=0.5",
        "side=constructor",
        "side=0-0.5",
        "side=-1",
        "side=0-1-0",
        "zoom=1.5",
        "zoom=1e99",
        "zoom=__proto__",
        "find=(",
        "side=%00&zoom=NaN&flame=%3Cscript%3E",
    ] {
        let Some(mut browser) = Browser::open(test, &home, &format!("{page}#{link}")) else {
            return;
        };
        assert!(
            browser.text(SAID).starts_with("114.03MB · inuse_space"),
            "{link}: {}",
            browser.text(SAID)
        );
    }
}

/// Callers and callees of a function, filters and sample types, and a link to all of it.
#[test]
fn callers_filters_and_types_work_in_a_browser() {
    let test = "callers_filters_and_types_work_in_a_browser";
    let home = Home::new();
    let page = write(&home, &[corpus("heap.pb.gz").as_str()]);
    let Some(mut browser) = Browser::open(test, &home, &page) else {
        return;
    };
    let reconcile = "main.(*controller).reconcile";
    let (x, y) = middle(&mut browser, reconcile);
    browser.hover(x, y);
    let tip = browser.text("document.getElementById('tip').textContent");
    assert!(tip.contains("main.go:"), "file and line: {tip}");
    assert!(tip.contains("all its calls: flat "), "{tip}");
    browser.keys("c");
    let said = browser.text(SAID);
    assert!(
        said.contains("callers and callees of main.(*controller).reconcile"),
        "{said}"
    );
    let (_, function) = middle(&mut browser, reconcile);
    let (_, caller) = middle(&mut browser, "main.(*controller).Run");
    assert!(caller < function, "callers are above");
    let link = browser.text("location.href");
    assert!(link.contains("function=main"), "{link}");
    // A click turns to that function.
    let (x, y) = middle(&mut browser, "main.(*controller).Run");
    browser.click(x, y, false);
    let said = browser.text(SAID);
    assert!(said.contains("callees of main.(*controller).Run"), "{said}");
    browser.press("Escape");
    // As `--focus` and `--ignore` count it.
    let counted = |words: &[&str]| {
        let heap = corpus("heap.pb.gz");
        let mut command = home.xtask(&["pprof", "open", "--raw"]);
        let output = command.args(words).arg(heap).output().unwrap();
        let raw = String::from_utf8(output.stdout).unwrap();
        let values = raw
            .lines()
            .filter_map(|line| line.split_once(": "))
            .filter_map(|(values, _)| {
                let values: Vec<i64> = values
                    .split_whitespace()
                    .map(str::parse)
                    .collect::<Result<_, _>>()
                    .ok()?;
                (values.len() == 4).then(|| values[3])
            });
        values.sum::<i64>()
    };
    browser.keys("f");
    for option in ["focus", "ignore"] {
        browser.eval(&format!(
            "(() => {{ const of = document.getElementById({option:?}); of.value = 'reconcile'; of.oninput(); }})()"
        ));
        let shown = browser.eval("value(G, 0)").as_i64().unwrap();
        let unsure = browser.eval("unsure").as_i64().unwrap();
        let wanted = counted(&[&format!("--{option}=reconcile")]);
        assert!(
            shown.abs_diff(wanted) <= unsure.unsigned_abs(),
            "{option}: {shown} {wanted}"
        );
        assert!(
            browser
                .text("location.href")
                .contains(&format!("{option}=reconcile"))
        );
        browser.eval("document.getElementById('reset').onclick()");
    }
    browser.eval("document.activeElement.blur()");
    browser.keys("s");
    let said = browser.text(SAID);
    assert!(said.contains("alloc_objects"), "{said}");
    drop(browser);
    let link = link.strip_prefix("file://").unwrap().to_owned();
    let mut browser = Browser::open(test, &home, &link).unwrap();
    let said = browser.text(SAID);
    assert!(
        said.contains("callees of main.(*controller).reconcile"),
        "{said}"
    );
}

/// Files are sides, each under its name.
#[test]
fn several_files_are_sides_of_one_page() {
    let home = Home::new();
    let (now, before) = (corpus("heap.pb.gz"), corpus("heap-before.pb.gz"));
    let page = write(&home, &[before.as_str(), now.as_str()]);
    let text = std::fs::read_to_string(&page).unwrap();
    assert_eq!(
        page_data(&text)["sides"],
        json!(["heap-before.pb.gz", "heap.pb.gz"])
    );
}

/// Totals next to each function, by name: `from` is `callers` or `callees`.
fn direct(browser: &mut Browser, from: &str) -> Value {
    browser.eval(&format!(
        "Object.fromEntries(D.names.map((name, i) => [name, i]).filter(([name, i]) => i && (i % 50 === 0 || /Now|mid|area/.test(name))) \
         .map(([name, i]) => {{ pivot = i; sandwich(); const g = {from}; \
         return [name, [...Array(g.n).keys()].filter(i => g.level[i] === 1) \
         .map(i => [isSmall(g, i) ? '' : label(g, i), g.totals[0][i]])]; }}))"
    ))
}

/// Callers and callees next to a function are counted in the whole profile, not in what is drawn.
#[test]
fn callers_are_exact_where_calls_are_left_out() {
    let test = "callers_are_exact_where_calls_are_left_out";
    let home = Home::new();
    let file = home.path("small.pb");
    std::fs::write(&file, small_calls().encode_to_vec()).unwrap();
    let mut found = Vec::new();
    for option in [&[][..], &["--no-trim"]] {
        let page = write(&home, &[&[file.as_str()], option].concat());
        let Some(mut browser) = Browser::open(test, &home, &page) else {
            return;
        };
        let elided = browser.eval("T().elided").as_i64().unwrap();
        assert_eq!(elided == 0, !option.is_empty(), "{elided}");
        found.push(["callers", "callees"].map(|from| direct(&mut browser, from)));
    }
    let [cut, whole] = &found[..] else { panic!() };
    for (cut, whole) in cut.iter().zip(whole) {
        let (mut named, mut small) = (0, 0);
        for (function, calls) in whole.as_object().unwrap() {
            let calls = calls.as_array().unwrap();
            let sum = |calls: &[Value]| calls.iter().filter_map(|of| of[1].as_i64()).sum::<i64>();
            let shown = cut[function].as_array().unwrap();
            assert_eq!(sum(shown), sum(calls), "{function}: {shown:?}");
            for call in shown {
                if call[0] == "" {
                    small += 1;
                } else {
                    assert!(calls.contains(call), "{function}: {call}");
                    named += 1;
                }
            }
        }
        assert!(named > 100 && small > 0, "{named} named, {small} small");
    }
}

/// Large enough to be sent, and opened at once.
#[test]
fn a_page_stays_below_a_megabyte() {
    let home = Home::new();
    let file = home.path("tangle.pb");
    let profile = tangle(3, 40_000, 3000, 5000);
    std::fs::write(&file, profile.encode_to_vec()).unwrap();
    let page = write(&home, &[file.as_str()]);
    let size = std::fs::metadata(&page).unwrap().len();
    assert!((300_000..1_000_000).contains(&size), "{size} bytes");
}
