//! `--web` in a real browser: what is drawn, clicked, typed and linked to.

use pprof::Source;

use crate::browser::Browser;
use crate::common::{Home, said};
use crate::node::{ask, corpus, grown, profile, send, serve};

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
