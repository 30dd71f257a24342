//! What a person reads when everything runs.

use std::path::Path;

use super::super::ready::ServerReady;
use crate::output::quote;

/// Where everything is, and the three lines to paste next.
pub(super) fn banner(server: &ServerReady, config_file: &Path, workers: usize, queues: &[String]) -> String {
    let config = config_file.display().to_string();
    let serving = match workers {
        1 => format!("1 worker serves {}", queues.join(", ")),
        workers => format!("{workers} workers serve {}", queues.join(", ")),
    };
    format!(
        "
  web     {web}
  API     {api}
  files   {files}
  config  {config}
  agent   {serving}

In another terminal:

  export CLEARML_CONFIG_FILE={pasted}
  pip install clearml
  python your_script.py

Ctrl-C stops everything.
",
        web = server.web_server,
        api = server.api_server,
        files = server.files_server,
        pasted = quote(&config),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_can_be_pasted() {
        let server = ServerReady {
            api_server: "http://h:1".to_owned(),
            web_server: "http://h:2".to_owned(),
            files_server: "http://h:3".to_owned(),
            config_file: "/my data/clearml.conf".into(),
            pid: 1,
        };
        let text = banner(&server, Path::new("/my data/clearml.conf"), 2, &["a".to_owned(), "b".to_owned()]);
        assert!(text.contains("export CLEARML_CONFIG_FILE='/my data/clearml.conf'\n"), "{text}");
        assert!(text.contains("2 workers serve a, b"), "{text}");
    }
}
