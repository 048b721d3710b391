//! `--watch`: the summary, fetched repeatedly. On a terminal it fills the
//! screen and takes keys; otherwise each round is printed.

use std::time::{Duration, Instant};

use tokio::time::{sleep_until, timeout_at};

use super::args::FetchArgs;
use super::cluster::group_of;
use super::fetch::{self, Answer, Fetching, Keeping};
use super::groups::Groups;
use super::kept::Kept;
use super::present::{Form, Presentation};
use super::summary::{Shown, Side, summarize};
use super::target::Target;
use crate::app::App;
use foundation::failure::{Exit, Failure, Result};
use foundation::ui;
use foundation::ui::screen::{Event, Key, Screen};
use foundation::ui::text::sgr;

const EVERY: Duration = Duration::from_secs(5);
/// Without a terminal, q cannot be pressed.
const LONGEST: Duration = Duration::from_hours(24);

type Last = Vec<((String, String, String), Kept)>;

/// What is shown, and how keys have changed it.
struct View {
    show: Presentation,
    controllers: bool,
    text: String,
}

pub(super) fn run(
    app: &App<'_>,
    targets: &[Target],
    args: &FetchArgs,
    show: &Presentation,
) -> Result<u8> {
    let every = args.every.unwrap_or(EVERY);
    let end = Instant::now() + args.length.unwrap_or(LONGEST);
    let mut view = View {
        show: show.clone(),
        controllers: show.form == Form::Controllers,
        text: String::new(),
    };
    if app.ui.has_screen() {
        return on_screen(app, targets, args, &mut view, every, end);
    }
    let mut last = Last::new();
    let mut next = Instant::now();
    while Instant::now() < end {
        let answers = fetch::all(app, targets, args, &now(), Keeping::shown())?;
        if app.signals.count() > 0 {
            break;
        }
        let groups = grouped(answers, &mut last)?;
        view.render(app, &groups)?;
        ui::try_print(&format!("{}\n{}\n", now(), view.text))
            .map_err(|error| Failure::step("the reader has closed the output").cause(error))?;
        next += every;
        app.signals.wait_until(next.min(end));
        if app.signals.count() > 0 {
            break;
        }
    }
    Ok(0)
}

fn now() -> String {
    let now = jiff::Timestamp::now();
    now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn on_screen(
    app: &App<'_>,
    targets: &[Target],
    args: &FetchArgs,
    view: &mut View,
    every: Duration,
    end: Instant,
) -> Result<u8> {
    let mut screen = Screen::open(app.signals)?;
    let (mut last, mut groups) = (Last::new(), Groups::new());
    let mut said = "fetching".to_owned();
    let mut next = Instant::now();
    let mut coming: Option<(Fetching, Vec<Answer>)> = None;
    while Instant::now() < end {
        if coming.is_none() && Instant::now() >= next {
            next = Instant::now() + every;
            let fetching = fetch::start(app, targets, args, &now(), Keeping::shown())?;
            coming = Some((fetching, Vec::new()));
        }
        draw(&mut screen, view, &said, every);
        let wake = async {
            let Some((fetching, come)) = &mut coming else {
                return sleep_until(next.min(end).into()).await;
            };
            match timeout_at(end.into(), fetching.answers.recv()).await {
                Ok(Some(answer)) => come.push(answer),
                // An answer will never arrive, because its task failed.
                Ok(None) => sleep_until(end.into()).await,
                Err(_) => {}
            }
        };
        match screen.event(wake) {
            Event::Key(Key::Char('q') | Key::Escape) => return Ok(0),
            Event::Key(Key::CtrlC) | Event::Stop => {
                return Err(Failure::new(Exit::Interrupted, "interrupted"));
            }
            Event::Key(Key::Char(key)) if view.turn(key) => view.render(app, &groups)?,
            _ => {}
        }
        let complete = coming.take_if(|(_, come)| come.len() == targets.len());
        if let Some((_, come)) = complete {
            said = failures(&come).unwrap_or_else(now);
            let found = grouped(come, &mut last)?;
            if !found.is_empty() {
                groups = found;
                view.render(app, &groups)?;
            }
        }
    }
    Ok(0)
}

fn failures(answers: &[Answer]) -> Option<String> {
    let failed = answers.iter().filter_map(|(target, answer)| {
        let failure = answer.as_ref().err()?;
        Some(format!("{}: {}", target.describe(), failure.what))
    });
    let failed: Vec<String> = failed.collect();
    (!failed.is_empty()).then(|| failed.join("; "))
}

fn draw(screen: &mut Screen<'_>, view: &View, said: &str, every: Duration) {
    let (_, height) = screen.size();
    let height = usize::from(height);
    let mut rows: Vec<String> = view.text.lines().map(str::to_owned).collect();
    rows.truncate(height.saturating_sub(1));
    rows.resize(height.saturating_sub(1), String::new());
    let keys = format!(
        " every {} s   q quit  c {}  s {}   {said}",
        every.as_secs(),
        if view.show.query.cum {
            "by flat"
        } else {
            "by cum"
        },
        if view.controllers {
            "functions"
        } else {
            "controllers"
        },
    );
    rows.push(format!("{}{keys}", sgr("7")));
    screen.draw(&rows);
}

impl View {
    /// Handles a key; returns whether it has a meaning.
    fn turn(&mut self, key: char) -> bool {
        match key {
            'c' => self.show.query.cum = !self.show.query.cum,
            's' => self.controllers = !self.controllers,
            _ => return false,
        }
        true
    }

    fn render(&mut self, app: &App<'_>, groups: &Groups) -> Result<()> {
        self.text.clear();
        let query = &self.show.query;
        let shown = Shown {
            rows: self.show.rows,
            only_controllers: self.controllers,
        };
        for ((service, profile), sides) in groups {
            let summary = summarize(sides, query)?;
            self.text
                .push_str(&summary.text(app, &format!("{service} {profile}"), shown));
        }
        Ok(())
    }
}

/// Groups the answers, with those of the last round beside them.
fn grouped(answers: Vec<Answer>, last: &mut Last) -> Result<Groups> {
    let mut groups = Groups::new();
    let mut seen = Last::new();
    for (target, answer) in answers {
        let Ok(fetched) = answer else { continue };
        let Some(profile) = fetched.profile else {
            return Err(Failure::usage("a trace cannot be watched"));
        };
        let key = (
            target.service.clone(),
            target.kind.to_string(),
            target.node.clone(),
        );
        let before = last.iter().position(|(other, _)| *other == key);
        let before = before.map(|place| last.swap_remove(place).1);
        seen.push((key, profile.clone()));
        groups.entry(group_of(&target)).or_default().push(Side {
            node: target.node,
            profile,
            before,
        });
    }
    last.extend(seen);
    Ok(groups)
}
