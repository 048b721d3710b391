//! `--web` in a real browser: what is drawn, clicked, typed and linked to.

use pprof::Source;

use crate::browser::Browser;
use crate::common::{Home, said};
use crate::node::{ask, corpus, grown, odd, profile, send, serve};

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
        "(() => {{ const i = drawn.filter(i => D.names[D.name[i]] === {name:?}).sort((a, b) => width[b] - width[a])[0]; \
         const r = canvas.getBoundingClientRect(), scale = chart.clientWidth / width[zoom]; \
         const y = flame ? r.height - (D.level[i] + 0.5) * ROW : (D.level[i] + 0.5) * ROW; \
         return [r.left + (left[i] - left[zoom] + width[i] / 2) * scale, r.top + y]; }})()"
    ));
    let number = |of: usize| place[of].as_f64().unwrap();
    (number(0), number(1))
}

/// The colour at a place of the flame graph: red, green, blue.
fn colour(browser: &mut Browser, (x, y): (f64, f64)) -> [i64; 3] {
    let data = browser.eval(&format!(
        "(() => {{ const r = canvas.getBoundingClientRect(), ratio = devicePixelRatio; \
         return [...g.getImageData(({x} - r.left) * ratio, ({y} - r.top + ROW / 2 - 3) * ratio, 1, 1).data]; }})()"
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
    assert_eq!(browser.text("D.names[D.name[zoom]]"), reconcile);
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
    let first = browser.text("document.querySelector('tbody tr').textContent");
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
    let names = browser.eval("drawn.map(i => D.names[D.name[i]])");
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
        let rows = browser.eval("document.querySelectorAll('tbody tr').length");
        assert_eq!(rows, own.len() + 1);
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
    assert_eq!(browser.eval("document.scripts.length"), 1);
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
    browser.eval("go(50000)");
    let drawn = browser.eval("drawn.map(i => D.names[D.name[i]])");
    assert_eq!(drawn[0], "f49999");
    browser.press("Backspace");
    assert_eq!(browser.text("D.names[D.name[zoom]]"), "f49998");
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
