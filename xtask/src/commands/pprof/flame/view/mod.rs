//! The state of the screen and its keys. Independent of the terminal: events go
//! in, rows of text come out.

mod keys;
#[cfg(test)]
mod tests;

use ::pprof::flame::Direction;
use ::pprof::unit;
use foundation::ui::text::one_line;
use regex::Regex;

use super::paint::{Ink, Paint, bar};
use super::tree::{Drawn, Side, Tree};

/// Rows that are not the graph's: the title above; below it two lines about the
/// selected call and one of keys.
const AROUND: usize = 4;

const HELP: [&str; 13] = [
    "arrows, h j k l   move          Enter, click again   zoom in",
    "Backspace, u, right click   zoom out          Escape, r   all of it",
    "/   search: a regular expression          n N   next and last match",
    "c   callers of the selected function, its callees, and back to the whole",
    "Tab, Shift-Tab   next node, moment or side",
    "i   root below or above          PgUp PgDn, wheel   scroll",
    "q   quit",
    "",
    "A box is a function in one place of the tree; as wide as it and all it calls",
    "weigh. Boxes narrower than a column are not drawn: zoom in. Colour tells the",
    "package; in a difference red has grown and blue has shrunk.",
    "",
    "any key: back",
];

/// What the event loop must do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Stay,
    Quit,
    Interrupted,
}

/// The state of the screen.
#[derive(Debug)]
pub(super) struct View {
    tree: Tree,
    title: String,
    sides: Vec<Side>,
    side: usize,
    zoom: usize,
    selected: usize,
    scroll: usize,
    /// The root is at the bottom.
    flame: bool,
    help: bool,
    /// The text of the search while it is typed.
    typing: Option<String>,
    pattern: Option<Regex>,
    said: String,
    /// The function whose callers or callees are shown, and the whole tree meanwhile.
    around: Option<(u32, Direction, Box<Tree>)>,
    paint: Paint,
    size: (usize, usize),
}

impl View {
    pub(super) fn new(tree: Tree, title: &str, differ: bool, colour: bool) -> Self {
        let count = tree.flame.sides.len();
        let mut sides: Vec<Side> = Vec::new();
        if differ && count > 1 {
            sides.push(Side::Difference);
        } else if count != 1 {
            sides.push(Side::All);
        }
        sides.extend((0..count).map(Side::One));
        let paint = Paint::new(&tree.flame.names, colour);
        let mut view = Self {
            tree,
            title: one_line(title).into_owned(),
            sides,
            side: 0,
            zoom: 0,
            selected: 0,
            scroll: 0,
            flame: false,
            help: false,
            typing: None,
            pattern: None,
            said: String::new(),
            around: None,
            paint,
            size: (80, 24),
        };
        view.tree.lay(view.side());
        view
    }

    /// A series begins with its last moment, not with the sum of all moments.
    pub(super) fn show_last(&mut self) {
        self.side = self.sides.len() - 1;
        self.tree.lay(self.side());
    }

    fn side(&self) -> Side {
        self.sides[self.side]
    }

    fn side_name(&self) -> String {
        match self.side() {
            Side::All => format!("all {}", self.tree.flame.sides.len()),
            Side::Difference => "difference".into(),
            Side::One(_) if self.sides.len() == 1 => String::new(),
            Side::One(side) => self.tree.flame.sides[side].clone(),
        }
    }

    /// Rows that the graph has.
    fn room(&self) -> usize {
        self.size.1.saturating_sub(AROUND)
    }

    fn above(&self) -> Vec<usize> {
        let mut above = Vec::new();
        let mut call = self.zoom;
        while call != 0 {
            call = self.tree.parent[call];
            above.push(call);
        }
        above.reverse();
        above
    }

    /// The boxes: callers of the zoomed call, each as wide as the screen, and
    /// everything below it.
    fn boxes(&self) -> Vec<Vec<Drawn>> {
        let columns = self.size.0;
        let whole = |call| {
            vec![Drawn {
                call,
                from: 0,
                to: columns,
            }]
        };
        let mut rows: Vec<Vec<Drawn>> = self.above().into_iter().map(whole).collect();
        rows.extend(self.tree.rows(self.zoom, columns));
        rows
    }

    pub(super) fn render(&mut self, size: (u16, u16)) -> Vec<String> {
        self.size = (usize::from(size.0), usize::from(size.1));
        let (width, room) = (self.size.0, self.room());
        if self.help {
            return HELP.iter().map(|line| (*line).to_owned()).collect();
        }
        let boxes = self.boxes();
        self.scroll = self.scroll.min(boxes.len().saturating_sub(room));
        let value = self.format(self.tree.value(self.zoom, self.side()));
        let around = match &self.around {
            Some((name, Direction::Callers, _)) => {
                format!("  callers of {}", self.tree.flame.names[*name as usize])
            }
            Some((name, Direction::Callees, _)) => {
                format!("  callees of {}", self.tree.flame.names[*name as usize])
            }
            None => String::new(),
        };
        let title = format!(
            " {}  {}  {}  {value}{around}",
            self.title,
            self.tree.flame.sample_type,
            self.side_name()
        );
        let mut rows = vec![bar(&title, width)];
        let callers = self.above().len();
        let drawn: Vec<String> = boxes
            .iter()
            .enumerate()
            .skip(self.scroll)
            .take(room)
            .map(|(level, boxes)| self.row(boxes, level < callers))
            .collect();
        let empty = room - drawn.len().min(room);
        let blank = std::iter::repeat_n(String::new(), empty);
        if self.flame {
            rows.extend(blank);
            rows.extend(drawn.into_iter().rev());
        } else {
            rows.extend(drawn);
            rows.extend(blank);
        }
        rows.extend(self.foot(boxes.len() > room));
        rows
    }

    fn row(&self, boxes: &[Drawn], is_caller: bool) -> String {
        let mut row = String::new();
        let mut at = 0;
        for of in boxes {
            row.push_str(&" ".repeat(of.from.saturating_sub(at)));
            let name = self.tree.name(of.call);
            let hit = self.is_hit(of.call);
            let ink = Ink {
                selected: of.call == self.selected,
                same: self.is_same(of.call),
                hit,
                dim: is_caller || (self.pattern.is_some() && !hit),
                change: (self.side() == Side::Difference).then(|| self.change(of.call)),
            };
            let name_place = self.tree.flame.calls[of.call].name;
            row.push_str(&self.paint.cell(name_place, &name, of.to - of.from, ink));
            at = of.to;
        }
        row
    }

    /// Whether it is another place of the selected function.
    fn is_same(&self, call: usize) -> bool {
        let name = |call: usize| self.tree.flame.calls[call].name;
        let is_function = |call: usize| call != 0 && !self.tree.is_small(call);
        call != self.selected
            && is_function(call)
            && is_function(self.selected)
            && name(call) == name(self.selected)
    }

    /// The change from -1, gone, to 1, new.
    #[allow(clippy::cast_precision_loss)] // a colour
    fn change(&self, call: usize) -> f64 {
        let now = self.tree.value(call, Side::One(0)) as f64;
        let before = self.tree.value(call, Side::One(1)) as f64;
        (now - before) / now.abs().max(before.abs()).max(1.0)
    }

    fn foot(&self, scrolls: bool) -> [String; 3] {
        let width = self.size.0;
        let call = self.selected;
        let value = self.tree.value(call, self.side());
        let share = |of: i64| unit::percentage(value, of).trim().to_owned();
        let all = share(self.tree.value(0, self.side()));
        let shown = share(self.tree.value(self.zoom, self.side()));
        let numbers = match self.side() {
            Side::Difference => {
                let (now, before) = (
                    self.tree.value(call, Side::One(0)),
                    self.tree.value(call, Side::One(1)),
                );
                format!(
                    "now {}, before {}, change {}",
                    self.format(now),
                    self.format(before),
                    unit::signed(value, &self.tree.flame.unit, "auto")
                )
            }
            Side::All => {
                let sides = self.tree.flame.sides.iter().enumerate();
                let each = sides.map(|(side, name)| {
                    let value = self.tree.value(call, Side::One(side));
                    format!("{name} {}", self.format(value))
                });
                let each: Vec<String> = each.collect();
                format!(
                    "{}  {all} of all  ({})",
                    self.format(value),
                    each.join(", ")
                )
            }
            Side::One(_) => format!(
                "{}  {all} of all, {shown} of what is shown",
                self.format(value)
            ),
        };
        let scroll = if scrolls { "  PgDn more" } else { "" };
        let keys = match &self.typing {
            Some(typed) => format!("/{typed}_"),
            None if !self.said.is_empty() => self.said.clone(),
            None => {
                format!(
                    "q quit  Enter zoom  u out  / search  c callers  Tab node  i flip  ? help{scroll}"
                )
            }
        };
        [
            fit(&format!(" {}", self.tree.name(call)), width),
            fit(&format!(" {numbers}"), width),
            bar(&format!(" {keys}"), width),
        ]
    }

    fn format(&self, value: i64) -> String {
        unit::label(value, &self.tree.flame.unit, "auto")
    }
}

/// Cuts the text to this number of columns.
pub(super) fn fit(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}
