//! A flame graph as a picture for documents, callers beneath their callees. The title
//! of each box shows its weight, and that of its function in the whole profile.

use std::fmt::Write;

use pprof_engine::{flame::Flame, unit};

use super::{Node, Tree};

const WIDTH: f64 = 1200.0;
const ROW: f64 = 17.0;
const MARGIN: f64 = 10.0;
/// Height above each side's graph.
const HEAD: f64 = 26.0;
/// Approximate width of a character.
const LETTER: f64 = 6.6;
/// Narrower boxes cannot be seen.
const NARROWEST: f64 = 0.3;

/// The colour of calls that were too small to draw.
const SMALL: &str = "#ddd";

/// Draws all sides, one above the other.
pub fn svg(flame: &Flame, title: &str) -> String {
    let trees: Vec<(usize, Vec<Node>, i64)> = (0..flame.sides.len())
        .map(|side| {
            let tree = Tree::of_side(flame, side);
            (side, tree.kept(), tree.total())
        })
        .collect();
    let height: f64 = trees.iter().map(|(_, nodes, _)| side_height(nodes)).sum();
    let height = height + 2.0 * MARGIN + HEAD;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"monospace\" font-size=\"11\">\n\
         <style>rect:hover{{stroke:#000}} text{{pointer-events:none}}</style>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"{MARGIN}\" y=\"22\" font-size=\"15\">"
    );
    escape(&mut out, &format!("{title} ({})", flame.sample_type));
    out.push_str("</text>\n");
    let mut top = MARGIN + HEAD;
    for (side, nodes, total) in &trees {
        draw(&mut out, flame, *side, nodes, *total, top);
        top += side_height(nodes);
    }
    out.push_str("</svg>\n");
    out
}

fn side_height(nodes: &[Node]) -> f64 {
    let deepest = nodes.iter().map(|node| node.level).max().unwrap_or(0);
    HEAD + ROW * f64::from(deepest + 1)
}

#[allow(clippy::cast_precision_loss)] // a drawing
fn draw(out: &mut String, flame: &Flame, side: usize, nodes: &[Node], total: i64, top: f64) {
    let format = |value: i64| unit::label(value, &flame.unit, "auto");
    let _ = write!(out, "<text x=\"{MARGIN}\" y=\"{}\">", top + HEAD - 8.0);
    escape(out, &format!("{}: {}", flame.sides[side], format(total)));
    out.push_str("</text>\n");
    let scale = (WIDTH - 2.0 * MARGIN) / total.max(1) as f64;
    let bottom = top + side_height(nodes) - ROW;
    // Start of the next callee per level.
    let mut ends: Vec<f64> = vec![MARGIN];
    for node in nodes {
        let level = node.level as usize;
        ends.truncate(level);
        let left = ends.last().copied().unwrap_or(MARGIN);
        let width = node.total as f64 * scale;
        if let Some(end) = ends.last_mut() {
            *end += width;
        }
        ends.push(left);
        if width < NARROWEST {
            continue;
        }
        let name = node.label(flame);
        let y = bottom - ROW * f64::from(node.level);
        let share = unit::percentage(node.total, total);
        out.push_str("<g><title>");
        escape(
            out,
            &format!("{name}: {} ({})", format(node.total), share.trim()),
        );
        if node.small == 0 {
            let of = &flame.functions[node.name as usize];
            let (flat, cum) = (format(of.flat[side]), format(of.cum[side]));
            let _ = write!(out, "\nall its calls: flat {flat}, cum {cum}");
        }
        let colour = match node.small {
            0 => colour(&name),
            _ => SMALL.to_owned(),
        };
        let _ = writeln!(
            out,
            "</title><rect x=\"{left:.1}\" y=\"{y:.0}\" width=\"{width:.1}\" height=\"{}\" fill=\"{colour}\"/>",
            ROW - 1.0,
        );
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a few hundred
        let room = ((width - 6.0) / LETTER).max(0.0) as usize;
        if room >= 3 {
            let _ = write!(out, "<text x=\"{:.1}\" y=\"{:.0}\">", left + 3.0, y + 12.0);
            escape(out, &shortened(&name, room));
            out.push_str("</text>");
        }
        out.push_str("</g>\n");
    }
}

/// Returns the colour of a package, the same everywhere.
fn colour(name: &str) -> String {
    let after = name.rfind('/').map_or(0, |at| at + 1);
    let package = name[after..]
        .find('.')
        .map_or(name, |at| &name[..after + at]);
    let hash = package.bytes().fold(2_166_136_261_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(16_777_619)
    });
    format!(
        "hsl({},{}%,{}%)",
        10 + hash % 50,
        65 + hash / 64 % 25,
        62 + hash / 4096 % 14
    )
}

fn shortened(name: &str, room: usize) -> String {
    if name.chars().count() <= room {
        return name.to_owned();
    }
    let mut short: String = name.chars().take(room - 1).collect();
    short.push('…');
    short
}

/// Escapes text for XML; characters that XML does not allow are replaced.
fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
}
