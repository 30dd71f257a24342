//! `hostler server user`.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::super::context::Context;
use super::super::lookup::{self, is_id};
use super::door::Door;
use super::password;
use crate::cli::UserCommand;
use crate::exit::Problem;
use crate::output::{Table, local_time};

/// The one company of the server, which the API wants to be told.
const COMPANY: &str = "d1bd92a3b039400cbafc60a7a5b1e52b";

pub(super) async fn run(context: &Context, door: &Door, command: UserCommand) -> anyhow::Result<()> {
    match command {
        UserCommand::List => list(context, door).await,
        UserCommand::Add { name, role, email, password } => {
            let mut user = json!({"name": name, "role": role, "email": email, "company": COMPANY});
            if let Some(password) = password::given(&password)? {
                user["password"] = Value::from(password);
            }
            let answer = door.call("auth.create_user", user).await?;
            let id = answer["id"].as_str().unwrap_or_default();
            context.output.either(&json!({"id": id, "name": name, "role": role}), id)
        }
        UserCommand::Password { user, password, remove } => {
            let user = find(door, &user).await?;
            let password = if remove { String::new() } else { password::wanted(&password)? };
            door.call("auth.edit_user", json!({"user": user.id, "password": password})).await?;
            let done = if remove { "has no password any more" } else { "has another password" };
            let document = json!({"id": user.id, "name": user.name, "has_password": !remove});
            context.output.either(&document, &format!("{} {done}", user.name))
        }
        UserCommand::Remove { user, force } => remove(context, door, &user, force).await,
    }
}

/// A user that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) name: String,
}

/// The user of this name or id.
pub(super) async fn find(door: &Door, name_or_id: &str) -> anyhow::Result<User> {
    let mut conditions = vec![json!({"name": format!("^{}$", lookup::escape(name_or_id))})];
    if is_id(name_or_id) {
        conditions.push(json!({"id": [name_or_id]}));
    }
    for condition in conditions {
        let answer = door.call("users.get_all", condition).await?;
        if let Some(user) = answer["users"].get(0) {
            let text = |field: &str| user[field].as_str().unwrap_or_default().to_owned();
            return Ok(User { id: text("id"), name: text("name") });
        }
    }
    Err(Problem::usage(format!("no user has the name or id {name_or_id:?}; see hostler server user list")))
}

async fn list(context: &Context, door: &Door) -> anyhow::Result<()> {
    let fields = ["id", "name", "role", "created", "has_password"];
    let answer = door.call("users.get_all", json!({"only_fields": fields, "order_by": ["name"]})).await?;
    let mut users = answer["users"].as_array().cloned().unwrap_or_default();
    let answer = door.call("auth.get_credentials", json!({"all_users": true})).await?;
    let mut pairs: BTreeMap<&str, usize> = BTreeMap::new();
    for pair in answer["credentials"].as_array().into_iter().flatten() {
        *pairs.entry(pair["user"]["id"].as_str().unwrap_or_default()).or_default() += 1;
    }
    let mut table = Table::new(&["NAME", "ROLE", "PASSWORD", "CREDENTIALS", "CREATED", "ID"], "there are no users");
    for user in &mut users {
        let count = pairs.get(user["id"].as_str().unwrap_or_default()).copied().unwrap_or(0);
        user["credentials"] = json!(count);
        let text = |field: &str| user[field].as_str().unwrap_or_default();
        table.row([
            text("name").to_owned(),
            text("role").to_owned(),
            if user["has_password"] == true { "yes" } else { "no" }.to_owned(),
            count.to_string(),
            local_time(text("created")),
            text("id").to_owned(),
        ]);
    }
    context.output.table(&Value::Array(users), &table)
}

async fn remove(context: &Context, door: &Door, user: &str, force: bool) -> anyhow::Result<()> {
    let user = find(door, user).await?;
    let answer = door.call("auth.get_credentials", json!({"user": user.id})).await?;
    let mut pairs = answer["credentials"].as_array().into_iter().flatten();
    if !force && pairs.any(|pair| door.is_of_client_file(pair["access_key"].as_str().unwrap_or_default())) {
        return Err(Problem::refused(format!(
            "the credentials in clearml.conf, with which this machine's agent enters, are those of {}; --force removes \
             them all the same",
            user.name
        )));
    }
    door.call("users.delete", json!({"user": user.id})).await?;
    context.output.either(&json!({"id": user.id, "name": user.name}), &format!("{} is removed", user.name))
}
