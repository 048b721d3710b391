//! Keys and clicks on a real profile, without a terminal.

use ::pprof::flame::{Flame, Split};
use ::pprof::{Profile, Query};

use super::*;
use foundation::ui::screen::{Event, Key};

fn profile(name: &str) -> Profile {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/pprof/");
    ::pprof::decode(std::fs::read(format!("{corpus}{name}")).unwrap()).unwrap()
}

fn view() -> View {
    let profile = profile("cpu.pb.gz");
    let flame = Flame::new(
        &[("one", &profile)],
        &Query::default(),
        Split::Label("node"),
        0.0,
    )
    .unwrap();
    View::new(Tree::new(flame), "cpu", false, false)
}

fn press(view: &mut View, keys: &str) {
    for key in keys.chars() {
        let key = match key {
            '\n' => Key::Enter,
            key => Key::Char(key),
        };
        assert_eq!(view.handle(Event::Key(key)), Next::Stay, "{key:?}");
        view.render((100, 40));
    }
}

/// The screen without escape codes.
fn screen(view: &mut View, size: (u16, u16)) -> Vec<String> {
    let rows = view.render(size);
    assert_eq!(rows.len(), usize::from(size.1));
    let plain = |row: &String| {
        let row = foundation::ui::text::rendered(row);
        let mut parts = row.split('\x1b');
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| {
            text + part.split_once('m').map_or("", |(_, rest)| rest)
        })
    };
    rows.iter().map(plain).collect()
}

#[test]
fn the_whole_stands_above_and_fits() {
    let mut view = view();
    for size in [(100, 40), (37, 9), (20, 5), (3, 4), (300, 80)] {
        let rows = screen(&mut view, size);
        let widest = rows.iter().map(|row| row.chars().count()).max();
        assert!(widest <= Some(usize::from(size.0)), "{size:?}");
    }
    let rows = screen(&mut view, (100, 40));
    assert!(
        rows[0].contains("cpu") && rows[0].contains("610ms"),
        "{}",
        rows[0]
    );
    assert!(rows[1].starts_with("|all"), "{}", rows[1]);
    let all = rows.join("\n");
    assert!(all.contains("reconcile"), "{all}");
}

#[test]
fn zooming_makes_a_call_as_wide_as_the_screen() {
    let mut view = view();
    screen(&mut view, (100, 40));
    press(&mut view, "/reconcile$\n");
    let name = view.tree.name(view.selected).into_owned();
    assert_eq!(name, "main.(*controller).reconcile");
    press(&mut view, "\n");
    let zoom = view.zoom;
    let widest = view.tree.rows(zoom, 100)[0][0];
    assert_eq!(
        (widest.call, widest.from, widest.to),
        (view.selected, 0, 100)
    );
    press(&mut view, "u");
    assert_eq!(view.zoom, view.tree.parent[zoom]);
    view.handle(Event::Key(Key::Escape));
    assert_eq!((view.zoom, view.pattern.is_some()), (0, false));
}

#[test]
fn arrows_walk_the_boxes_and_stop_at_the_edges() {
    let mut view = view();
    screen(&mut view, (100, 40));
    press(&mut view, "k");
    assert_eq!(view.selected, 0);
    press(&mut view, "jj");
    assert_eq!(view.tree.level(view.selected), 2);
    let before = view.selected;
    press(&mut view, "l");
    let moved = view.selected != before;
    press(&mut view, "h");
    assert!(!moved || view.selected == before);
    press(&mut view, &"j".repeat(200));
    assert!(view.tree.heaviest(view.selected).is_none(), "a leaf");
    press(&mut view, &"k".repeat(200));
    assert_eq!(view.selected, 0);
}

#[test]
fn a_click_selects_and_a_second_zooms() {
    let mut view = view();
    screen(&mut view, (100, 40));
    let target = view.tree.rows(0, 100)[2][0];
    let click = Event::Click(u16::try_from(target.from).unwrap(), 3);
    view.handle(click);
    assert_eq!((view.selected, view.zoom), (target.call, 0));
    view.handle(click);
    assert_eq!(view.zoom, target.call);
    view.handle(Event::RightClick(0, 0));
    assert_eq!(view.zoom, view.tree.parent[target.call]);
    // A click beside the graph does nothing.
    let before = view.selected;
    view.handle(Event::Click(0, 0));
    view.handle(Event::Click(0, 39));
    assert_eq!(view.selected, before);
}

#[test]
fn a_click_finds_its_box_when_the_root_is_below() {
    let mut view = view();
    screen(&mut view, (100, 40));
    press(&mut view, "i");
    let rows = screen(&mut view, (100, 40));
    assert!(rows[36].starts_with("|all"), "{}", rows[36]);
    view.handle(Event::Click(0, 36));
    assert_eq!(view.selected, 0);
    press(&mut view, "k");
    assert_eq!(
        view.tree.level(view.selected),
        1,
        "up is away from the root"
    );
}

#[test]
fn c_turns_to_callers_then_callees_then_back() {
    let mut view = view();
    screen(&mut view, (100, 40));
    press(&mut view, "c");
    let rows = screen(&mut view, (100, 40));
    assert!(rows.last().unwrap().contains("select a function first"));
    press(&mut view, "/main.fib$\n");
    press(&mut view, "c");
    let rows = screen(&mut view, (100, 40));
    assert!(
        rows[0].contains("160ms  callers of main.fib"),
        "{}",
        rows[0]
    );
    assert!(rows[1].starts_with("|main.fib"), "{}", rows[1]);
    assert!(rows[2].contains("reconcile"), "{}", rows[2]);
    press(&mut view, "c");
    let rows = screen(&mut view, (100, 40));
    assert!(rows[0].contains("callees of main.fib"), "{}", rows[0]);
    assert!(rows[2].contains("main.fib"), "it calls itself: {}", rows[2]);
    press(&mut view, "c");
    let rows = screen(&mut view, (100, 40));
    assert!(rows[1].starts_with("|all"), "{}", rows[1]);
}

#[test]
fn searching_says_how_much_it_found() {
    let mut view = view();
    screen(&mut view, (100, 40));
    press(&mut view, "/main.fib\n");
    let rows = screen(&mut view, (100, 40));
    let keys = rows.last().unwrap();
    // As `--top` has it: recursion counts once.
    assert!(keys.contains("160ms 26.23%"), "{keys}");
    let first = view.selected;
    press(&mut view, "nN");
    assert_eq!(view.selected, first);
    press(&mut view, "/no.such.thing\n");
    let rows = screen(&mut view, (100, 40));
    assert!(rows.last().unwrap().contains("nothing matches"));
    press(&mut view, "/(\n");
    let rows = screen(&mut view, (100, 40));
    assert!(rows.last().unwrap().contains("invalid regular expression"));
}

#[test]
fn tab_goes_through_both_sides_of_a_difference() {
    let (now, before) = (profile("heap.pb.gz"), profile("heap-before.pb.gz"));
    let sides = [("now", &now), ("before", &before)];
    let flame = Flame::new(&sides, &Query::default(), Split::Label("node"), 0.0).unwrap();
    let totals = flame.calls[0].totals.clone();
    let mut view = View::new(Tree::new(flame), "heap", true, true);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(screen(&mut view, (100, 40))[0].clone());
        view.handle(Event::Key(Key::Tab));
    }
    for (title, want) in seen.iter().zip(["difference", "now", "before"]) {
        assert!(title.contains(want), "{title}");
    }
    let change = unit::label(totals[0] - totals[1], "bytes", "auto");
    assert!(seen[0].contains(&change), "{}", seen[0]);
}

#[test]
fn help_comes_and_goes_and_q_quits() {
    let mut view = view();
    press(&mut view, "?");
    assert!(view.render((100, 40)).join("\n").contains("any key"));
    press(&mut view, "q");
    assert!(!view.help);
    assert_eq!(view.handle(Event::Key(Key::Char('q'))), Next::Quit);
    assert_eq!(view.handle(Event::Stop), Next::Interrupted);
}
