//! Whether nodes run the init that was built: Go's build id of the program in the initramfs, and
//! of process 1 on each node. A console and a digest say which files a node was started with,
//! this says which program it runs.

use std::fs::File;
use std::io::BufReader;
use std::thread::JoinHandle;
use std::time::Duration;

use camino::Utf8Path;
use foundation::ctx::go_binary::{START, build_id};
use foundation::ctx::node_api::NodeApi;
use foundation::failure::{Exit, Failure, Result};
use foundation::typed;
use foundation::ui::text::one_line;
use foundation::wait::{Wait, Waited};

use super::Dev;
use crate::commands::cluster::{choose, existing_name, look_up, reach};

/// The API of a node answers a while after its ready line.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(500);
const PROCESS_1: &str = "/proc/1/exe";

/// The build id of the init in an initramfs, which is read while nodes boot.
pub(super) struct BuiltInit(JoinHandle<std::io::Result<Option<String>>>);

impl BuiltInit {
    pub(super) fn read(initramfs: &Utf8Path) -> Self {
        let path = initramfs.to_owned();
        let open = move || File::open(&path).map(BufReader::new);
        Self(std::thread::spawn(move || {
            talos::initramfs::first_program(open).map(|start| text_of(&start))
        }))
    }

    /// # Errors
    /// Why it is unknown.
    pub(super) fn id(self) -> Result<String, String> {
        match self.0.join() {
            Ok(Ok(Some(id))) => Ok(id),
            Ok(Ok(None)) => Err("the init of the initramfs has no build id of Go".to_owned()),
            Ok(Err(error)) => Err(format!("cannot look into the initramfs: {error}")),
            Err(_) => Err("cannot look into the initramfs".to_owned()),
        }
    }
}

fn text_of(program: &[u8]) -> Option<String> {
    build_id(program).map(|id| String::from_utf8_lossy(&id).into_owned())
}

impl Dev<'_, '_> {
    /// Says of each node that was rebooted whether it runs the init with this build id.
    pub(super) fn tell_running(&self, built: &Result<String, String>) -> Result<()> {
        let id = match built {
            Ok(id) => id,
            Err(why) => {
                self.app.ui.note(&format!(
                    "which init nodes run was not compared: {}",
                    one_line(why)
                ));
                return Ok(());
            }
        };
        let name = existing_name(self.app, &self.args.which)?;
        let view = look_up(self.app, &self.args.which)?;
        for node in choose(&view, &self.nodes)? {
            let Some(ip) = node.ip else {
                continue;
            };
            let api = reach::api_of(&self.app.ctx, &name, ip)?;
            let start = match self.process_1(&api)? {
                Waited::Found(start) => start,
                Waited::Interrupted => return Ok(()),
                Waited::TimedOut => {
                    self.app.ui.note(&format!(
                        "which init {} runs was not compared: its API did not answer",
                        one_line(&node.name)
                    ));
                    continue;
                }
            };
            let running = text_of(&start);
            if running.as_ref() != Some(id) {
                let running = running.as_deref().unwrap_or("a program without a build id");
                return Err(Failure::new(
                    Exit::NodeDied,
                    format!(
                        "`{}` runs another init than the one that was built",
                        node.name
                    ),
                )
                .cause(format!("it runs {running}, and {id} was built"))
                .hint(typed!("cluster status --verbose --name {}", view.name)));
            }
            self.app.ui.progress(&format!(
                "{} runs the init of this build ({})",
                one_line(&node.name),
                one_line(id.rsplit('/').next().unwrap_or(id))
            ));
        }
        Ok(())
    }

    /// Waits for the first bytes of the program of process 1.
    fn process_1(&self, api: &NodeApi) -> Result<Waited<Vec<u8>>> {
        let wait = Wait::default().within(PATIENCE).or_signal(self.app.signals);
        wait.look_every(LOOK, || Ok(api.start_of(PROCESS_1.into(), START).ok()))
    }
}
