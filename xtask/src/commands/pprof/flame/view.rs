//! What is on the screen and what keys make of it. Knows no terminal: rows of
//! text come out, events go in.

use ::pprof::unit;
use regex::{Regex, RegexBuilder};

use super::paint::{Ink, Paint, bar};
use super::tree::{Drawn, Side, Tree};
use crate::ui::screen::{Event, Key};

/// Rows that are not the graph's: title above; two lines about the selected
/// call and one of keys below.
const AROUND: usize = 4;

const HELP: [&str; 12] = [
    "arrows, h j k l   move          Enter, click again   zoom in",
    "Backspace, u, right click   zoom out          Escape, r   all of it",
    "/   search: a regular expression          n N   next and last match",
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
    /// The root below.
    flame: bool,
    help: bool,
    /// What is being typed.
    typing: Option<String>,
    pattern: Option<Regex>,
    said: String,
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
            title: title.to_owned(),
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
            paint,
            size: (80, 24),
        };
        view.tree.lay(view.side());
        view
    }

    /// A series begins with its last moment, not with the sum of all.
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

    /// Callers of what is zoomed into, each as wide as the screen, and what is
    /// below.
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
        let title = format!(
            " {}  {}  {}  {value}",
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
            let hit = self
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.is_match(name));
            let ink = Ink {
                selected: of.call == self.selected,
                hit,
                dim: is_caller || (self.pattern.is_some() && !hit),
                change: (self.side() == Side::Difference).then(|| self.change(of.call)),
            };
            let name_place = self.tree.flame.calls[of.call].name;
            row.push_str(&self.paint.cell(name_place, name, of.to - of.from, ink));
            at = of.to;
        }
        row
    }

    /// From -1, all gone, to 1, new.
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
                    "now {}, before {}, change {}{}",
                    self.format(now),
                    self.format(before),
                    if value > 0 { "+" } else { "" },
                    self.format(value)
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
                format!("q quit  Enter zoom  u out  / search  Tab node  i flip  ? help{scroll}")
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

    /// # Returns
    /// What the loop must do; the state has changed.
    pub(super) fn handle(&mut self, event: Event) -> Next {
        if self.help {
            match event {
                Event::Key(Key::CtrlC) | Event::Stop => return Next::Interrupted,
                Event::Key(_) | Event::Click(..) => self.help = false,
                _ => {}
            }
            return Next::Stay;
        }
        match event {
            Event::Stop | Event::Key(Key::CtrlC) => return Next::Interrupted,
            Event::Key(key) if self.typing.is_some() => self.typed(key),
            Event::Key(Key::Char('q')) => return Next::Quit,
            Event::Key(key) => self.key(key),
            Event::Click(column, row) => self.click(usize::from(column), usize::from(row)),
            Event::RightClick(..) => self.zoom_to(self.tree.parent[self.zoom]),
            Event::Wheel(rows) => {
                self.scroll_by(isize::from(if self.flame { -rows } else { rows }));
            }
            Event::Resize | Event::Tick => {}
        }
        Next::Stay
    }

    fn key(&mut self, key: Key) {
        self.said.clear();
        let page = isize::try_from(self.room()).unwrap_or(1);
        match key {
            // On the screen, not in the tree: flipped, the callers are below.
            Key::Up | Key::Char('k') => self.step(self.flame),
            Key::Down | Key::Char('j') => self.step(!self.flame),
            Key::Left | Key::Char('h') => self.beside(false),
            Key::Right | Key::Char('l') => self.beside(true),
            Key::Enter => self.zoom_to(self.selected),
            Key::Backspace | Key::Char('u') => self.zoom_to(self.tree.parent[self.zoom]),
            Key::Escape | Key::Char('r') => {
                self.pattern = None;
                self.zoom_to(0);
            }
            Key::Char('/') => self.typing = Some(String::new()),
            Key::Char('n') => self.next_match(true),
            Key::Char('N') => self.next_match(false),
            Key::Tab => self.turn(1),
            Key::BackTab => self.turn(self.sides.len() - 1),
            Key::Char('i') => self.flame = !self.flame,
            Key::Char('?') => self.help = true,
            Key::PageDown => self.scroll_by(if self.flame { -page } else { page }),
            Key::PageUp => self.scroll_by(if self.flame { page } else { -page }),
            Key::Home => self.select(self.zoom),
            _ => {}
        }
    }

    fn typed(&mut self, key: Key) {
        let Some(typed) = &mut self.typing else {
            return;
        };
        match key {
            Key::Char(c) => typed.push(c),
            Key::Backspace => {
                typed.pop();
            }
            Key::Escape => self.typing = None,
            Key::Enter => {
                let typed = self.typing.take().unwrap_or_default();
                self.search(&typed);
            }
            _ => {}
        }
    }

    fn search(&mut self, text: &str) {
        self.pattern = None;
        if text.is_empty() {
            return;
        }
        let compiled = RegexBuilder::new(text)
            .case_insensitive(true)
            .size_limit(1 << 20)
            .build();
        match compiled {
            Ok(pattern) => {
                self.pattern = Some(pattern);
                self.said = format!("/{text}  {}", self.matched());
                if !self.is_hit(self.selected) {
                    self.next_match(true);
                }
            }
            Err(_) => self.said = format!("`{text}` is no regular expression"),
        }
    }

    fn is_hit(&self, call: usize) -> bool {
        let name = self.tree.name(call);
        self.pattern
            .as_ref()
            .is_some_and(|pattern| pattern.is_match(name))
    }

    /// How much of what is shown lies below matches; below two it counts once.
    fn matched(&self) -> String {
        let (mut count, mut sum) = (0, 0_i64);
        let mut call = self.zoom;
        while call < self.tree.end[self.zoom] {
            if self.is_hit(call) {
                count += 1;
                sum = sum.saturating_add(self.tree.value(call, self.side()));
                call = self.tree.end[call];
            } else {
                call += 1;
            }
        }
        let whole = self.tree.value(self.zoom, self.side());
        let share = unit::percentage(sum, whole);
        format!("{count} places, {} {}", self.format(sum), share.trim())
    }

    fn next_match(&mut self, forward: bool) {
        let count = self.tree.flame.calls.len();
        let steps = 1..=count;
        let places = steps.map(|step| {
            let step = if forward { step } else { count - step % count };
            (self.selected + step) % count
        });
        let visible = |call: &usize| self.tree.value(*call, self.side()) != 0;
        let mut places = places.filter(|call| self.is_hit(*call));
        let found = places.find(visible);
        match found {
            Some(call) => {
                if !self.tree.is_in(call, self.zoom) {
                    self.zoom_to(0);
                }
                self.select(call);
            }
            None if self.pattern.is_some() => self.said = "nothing matches".into(),
            None => {}
        }
    }

    fn turn(&mut self, by: usize) {
        self.side = (self.side + by) % self.sides.len();
        self.tree.lay(self.side());
        // What weighs nothing there cannot be looked into.
        while self.zoom != 0 && self.tree.rows(self.zoom, 1).is_empty() {
            self.zoom = self.tree.parent[self.zoom];
        }
        if !self.tree.is_in(self.selected, self.zoom) {
            self.selected = self.zoom;
        }
    }

    /// To the heaviest callee, or to the caller.
    fn step(&mut self, deeper: bool) {
        let to = if deeper {
            let above = self.selected < self.zoom && self.tree.is_in(self.zoom, self.selected);
            if above {
                // On the way down to what is zoomed into.
                let callers = self.above();
                let place = callers.iter().position(|call| *call == self.selected);
                let next = place.and_then(|place| callers.get(place + 1).copied());
                Some(next.unwrap_or(self.zoom))
            } else {
                self.tree.heaviest(self.selected)
            }
        } else {
            Some(self.tree.parent[self.selected])
        };
        if let Some(to) = to {
            self.select(to);
        }
    }

    fn beside(&mut self, right: bool) {
        let boxes = self.boxes();
        let level = self.tree.level(self.selected);
        let Some(row) = boxes.get(level) else { return };
        let place = row.iter().position(|of| of.call >= self.selected);
        let place = place.unwrap_or(row.len().saturating_sub(1));
        let next = if right {
            place + 1
        } else {
            place.wrapping_sub(1)
        };
        if let Some(of) = row.get(next) {
            self.select(of.call);
        }
    }

    fn select(&mut self, call: usize) {
        self.selected = call;
        let (level, room) = (self.tree.level(call), self.room().max(1));
        if level < self.scroll {
            self.scroll = level;
        } else if level >= self.scroll + room {
            self.scroll = level + 1 - room;
        }
    }

    fn zoom_to(&mut self, call: usize) {
        self.zoom = call;
        self.select(call);
    }

    fn scroll_by(&mut self, rows: isize) {
        let most = self.boxes().len().saturating_sub(self.room());
        self.scroll = self.scroll.saturating_add_signed(rows).min(most);
    }

    fn click(&mut self, column: usize, row: usize) {
        let Some(line) = row.checked_sub(1).filter(|line| *line < self.room()) else {
            return;
        };
        let line = if self.flame {
            self.room() - 1 - line
        } else {
            line
        };
        let boxes = self.boxes();
        let row = boxes.get(line + self.scroll).into_iter().flatten();
        let mut hit = row.filter(|of| (of.from..of.to).contains(&column));
        let Some(call) = hit.next().map(|of| of.call) else {
            return;
        };
        if call == self.selected {
            self.zoom_to(call);
        } else {
            self.select(call);
        }
    }
}

/// Cut to so many columns.
pub(super) fn fit(text: &str, width: usize) -> String {
    text.chars().take(width).collect()
}

#[cfg(test)]
mod tests;
