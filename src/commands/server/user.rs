//! `hostler server user`.

use serde_json::{Value, json};

use super::super::context::Context;
use super::door::Door;
use crate::cli::UserCommand;
use crate::output::{Table, local_time};

pub(super) async fn run(context: &Context, door: &Door, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::List => list(context, door).await,
    }
}

async fn list(context: &Context, door: &Door) -> anyhow::Result<()> {
    let answer = door.call("users.get_all", json!({"order_by": ["name"]})).await?;
    let users = answer["users"].as_array().cloned().unwrap_or_default();
    let mut table = Table::new(&["NAME", "CREATED", "ID"], "there are no users");
    for user in &users {
        let text = |name: &str| user[name].as_str().unwrap_or_default();
        table.row([text("name").to_owned(), local_time(text("created")), text("id").to_owned()]);
    }
    context.output.table(&Value::Array(users), &table)
}
