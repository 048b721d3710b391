//! Keys and mouse events of the view.

use ::pprof::flame::Direction;
use ::pprof::unit;
use regex::RegexBuilder;

use super::{Next, Tree, View};
use foundation::ui::screen::{Event, Key};

impl View {
    /// Handles an event; returns what the loop must do next.
    pub(in super::super) fn handle(&mut self, event: Event) -> Next {
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
            Event::Resize | Event::Other => {}
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
                if let Some((_, _, whole)) = self.around.take() {
                    self.tree = *whole;
                    self.tree.lay(self.side());
                }
                self.zoom_to(0);
            }
            Key::Char('/') => self.typing = Some(String::new()),
            Key::Char('n') => self.next_match(true),
            Key::Char('N') => self.next_match(false),
            Key::Tab => self.turn(1),
            Key::BackTab => self.turn(self.sides.len() - 1),
            Key::Char('c') => self.turn_around(),
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
            Err(_) => self.said = format!("invalid regular expression `{text}`"),
        }
    }

    pub(super) fn is_hit(&self, call: usize) -> bool {
        let pattern = self.pattern.as_ref();
        pattern.is_some_and(|pattern| {
            !self.tree.is_small(call) && pattern.is_match(&self.tree.name(call))
        })
    }

    /// The share of the visible stacks with a match: a match below another one
    /// is not counted twice.
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
        // A call without weight on this side cannot be zoomed into.
        while self.zoom != 0 && self.tree.rows(self.zoom, 1).is_empty() {
            self.zoom = self.tree.parent[self.zoom];
        }
        if !self.tree.is_in(self.selected, self.zoom) {
            self.selected = self.zoom;
        }
    }

    /// From the whole to the callers of the selected function, to its callees, and back.
    fn turn_around(&mut self) {
        let (name, direction, whole) = match self.around.take() {
            Some((name, Direction::Callers, whole)) => (name, Direction::Callees, whole),
            Some((_, Direction::Callees, whole)) => {
                self.tree = *whole;
                self.tree.lay(self.side());
                self.zoom_to(0);
                return;
            }
            None => {
                let call = &self.tree.flame.calls[self.selected];
                if self.selected == 0 || call.small > 0 {
                    self.said = "select a function first".into();
                    return;
                }
                let name = call.name;
                let callers = Tree::new(self.tree.flame.around(name, Direction::Callers));
                let whole = Box::new(std::mem::replace(&mut self.tree, callers));
                (name, Direction::Callers, whole)
            }
        };
        if direction == Direction::Callees {
            self.tree = Tree::new(whole.flame.around(name, direction));
        }
        self.tree.lay(self.side());
        self.zoom_to(0);
        self.around = Some((name, direction, whole));
    }

    /// Selects the heaviest callee, or the caller.
    fn step(&mut self, deeper: bool) {
        let to = if deeper {
            let above = self.selected < self.zoom && self.tree.is_in(self.zoom, self.selected);
            if above {
                // The callers of the zoomed call have one box each.
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
