use super::*;
use pprof_engine::flame::Split;
use pprof_engine::{Profile, Query};

fn flame(files: &[&str]) -> Flame {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/pprof/");
    let profiles: Vec<(&str, Profile)> = files
        .iter()
        .map(|file| {
            let bytes = std::fs::read(format!("{corpus}{file}.pb.gz")).unwrap();
            (*file, crate::decode(bytes).unwrap())
        })
        .collect();
    let sides: Vec<(&str, &Profile)> = profiles.iter().map(|(name, of)| (*name, of)).collect();
    Flame::new(&sides, &Query::default(), Split::Label("node"), 0.0).unwrap()
}

#[test]
fn folded_lines_sum_up_to_the_total() {
    let flame = flame(&["cpu"]);
    let text = folded(&flame).unwrap();
    let mut sum = 0;
    for line in text.lines() {
        let (stack, value) = line.rsplit_once(' ').unwrap();
        assert!(!stack.is_empty());
        sum += value.parse::<i64>().unwrap();
    }
    assert_eq!(sum, flame.calls[0].totals[0]);
    assert!(text.contains("main.(*controller).Run;main.(*controller).reconcile;"));
}

#[test]
fn several_sides_are_told_apart_in_the_first_frame() {
    let text = folded(&flame(&["heap", "heap-before"])).unwrap();
    assert!(
        text.lines()
            .all(|line| line.starts_with("heap;") || line.starts_with("heap-before;"))
    );
    assert!(text.contains("\nheap-before;"));
}

#[test]
fn no_frame_is_split_at_a_semicolon_of_its_name() {
    let mut flame = flame(&["cpu"]);
    let name = flame.calls[1].name as usize;
    flame.names[name] = "f[interface { A(); B() }]".into();
    let text = folded(&flame).unwrap();
    assert!(text.contains("f[interface { A(), B() }];"), "{text}");
}

/// Opened calls are closed in order, time never runs backwards, and the end is
/// the total.
#[test]
fn speedscope_events_nest() {
    let flame = flame(&["cpu"]);
    let text = speedscope(&flame, "a title");
    let events = text.split("\"events\":[").nth(1).unwrap();
    let events = events.split("]}").next().unwrap();
    let (mut open, mut last) = (Vec::new(), 0);
    for event in events.trim_matches(['{', '}']).split("},{") {
        let field = |name: &str| {
            let from = event.split(&format!("\"{name}\":")).nth(1).unwrap();
            from.split(',').next().unwrap().trim_matches('"').to_owned()
        };
        let at: i64 = field("at").parse().unwrap();
        assert!(at >= last, "{event}");
        last = at;
        if field("type") == "O" {
            open.push(field("frame"));
        } else {
            assert_eq!(open.pop(), Some(field("frame")));
        }
    }
    assert!(open.is_empty());
    assert_eq!(last, flame.calls[0].totals[0]);
}

#[test]
fn trees_have_nothing_negative() {
    let mut flame = flame(&["heap"]);
    for call in &mut flame.calls {
        call.totals[0] = -call.totals[0];
    }
    let tree = Tree::of_side(&flame, 0);
    assert!(
        tree.nodes
            .iter()
            .all(|node| node.own >= 0 && node.total >= node.own)
    );
    for text in [
        firefox(&flame, "t", 0.0),
        speedscope(&flame, "t"),
        svg(&flame, "t"),
    ] {
        assert!(!text.contains("NaN"));
    }
}

#[test]
fn a_picture_is_xml_whatever_names_are() {
    let mut flame = flame(&["cpu"]);
    let name = flame.calls[1].name as usize;
    flame.names[name] = "<script>&\u{1}".into();
    let text = svg(&flame, "<b>");
    assert!(!text.contains("<script>") && !text.contains("<b>") && !text.contains('\u{1}'));
    assert!(text.contains("&lt;script&gt;&amp;\u{fffd}"));
    let opened = text.matches("<g>").count();
    assert!(opened > 10);
    assert_eq!(opened, text.matches("</g>").count());
}
