//! `hostler explain git URL`.

use std::sync::Arc;

use drivers::command::SystemCommands;
use drivers::git::{Explanation, explain};

use super::super::context::Context;
use crate::cli::ExplainGitArgs;
use crate::exit::{Exit, Problem};

pub(super) fn run(context: &Context, args: &ExplainGitArgs) -> anyhow::Result<Exit> {
    if args.url.trim().is_empty() {
        return Err(Problem::usage("an empty text is no repository"));
    }
    let config = context.config()?;
    let commands = SystemCommands::inheriting(Arc::default());
    let explanation = explain(&args.url, &config.agent.git, &commands)?;
    context.output.either(&serde_json::to_value(&explanation)?, &text(&explanation))?;
    Ok(if explanation.works { Exit::Success } else { Exit::Refused })
}

fn text(explanation: &Explanation) -> String {
    let Explanation { asked, url, rule, credential, works, answer } = explanation;
    let verdict = if *works { "works" } else { "does not work" };
    format!(
        "repository  {asked}\nasked as    {url}\nrule        {rule}\ncredential  {credential}\nresult      {verdict}: {answer}"
    )
}
