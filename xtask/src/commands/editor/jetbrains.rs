//! Run configurations of the editors of JetBrains: one file each, so nothing is
//! merged. There are no macros for the cursor in them.

use super::{Content, File, Setup};
use crate::commands::tasks::{PLACE, TASKS};

pub(super) fn files(setup: &Setup) -> Vec<File> {
    let tasks = TASKS.iter().filter(|task| !task.args.contains(&PLACE));
    tasks
        .map(|task| {
            let words = setup.start.command(task, PLACE);
            let line = shlex::try_join(words.iter().map(String::as_str)).unwrap_or_default();
            let cwd = match &setup.start.cwd {
                None => "$PROJECT_DIR$",
                Some(cwd) => cwd.as_str(),
            };
            let name: String = task
                .label
                .chars()
                .filter(|it| *it != ':')
                .map(|it| if it == ' ' { '_' } else { it })
                .collect();
            let text = configuration(task.label, &line, cwd);
            let path = format!(".idea/runConfigurations/{name}.xml");
            File::new(path, Content::Whole(text))
        })
        .collect()
}

fn configuration(name: &str, line: &str, cwd: &str) -> String {
    let [name, line, cwd] = [name, line, cwd].map(escaped);
    format!(
        r#"<component name="ProjectRunConfigurationManager">
  <configuration default="false" name="{name}" type="ShConfigurationType">
    <option name="SCRIPT_TEXT" value="{line}" />
    <option name="INDEPENDENT_SCRIPT_PATH" value="true" />
    <option name="SCRIPT_PATH" value="" />
    <option name="SCRIPT_OPTIONS" value="" />
    <option name="INDEPENDENT_SCRIPT_WORKING_DIRECTORY" value="true" />
    <option name="SCRIPT_WORKING_DIRECTORY" value="{cwd}" />
    <option name="INDEPENDENT_INTERPRETER_PATH" value="true" />
    <option name="INTERPRETER_PATH" value="" />
    <option name="INTERPRETER_OPTIONS" value="" />
    <option name="EXECUTE_IN_TERMINAL" value="true" />
    <option name="EXECUTE_SCRIPT_FILE" value="false" />
    <envs />
    <method v="2" />
  </configuration>
</component>
"#
    )
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('"', "&quot;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}
