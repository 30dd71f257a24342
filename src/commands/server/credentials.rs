//! `hostler server credentials`.

use serde_json::{Value, json};

use super::super::context::Context;
use super::door::Door;
use super::user;
use crate::cli::CredentialsCommand;
use crate::exit::Problem;
use crate::output::{Table, local_time, note};

pub(super) async fn run(context: &Context, door: &Door, command: CredentialsCommand) -> anyhow::Result<()> {
    match command {
        CredentialsCommand::List { user } => list(context, door, user.as_deref()).await,
        CredentialsCommand::Create { user, label } => create(context, door, &user, label).await,
        CredentialsCommand::Revoke { access_key, force } => revoke(context, door, &access_key, force).await,
    }
}

async fn list(context: &Context, door: &Door, user: Option<&str>) -> anyhow::Result<()> {
    let body = match user {
        Some(user) => json!({"user": user::find(door, user).await?.id}),
        None => json!({"all_users": true}),
    };
    let answer = door.call("auth.get_credentials", body).await?;
    let pairs = answer["credentials"].as_array().cloned().unwrap_or_default();
    let headings = ["ACCESS KEY", "USER", "LABEL", "CREATED", "LAST USED", "FROM"];
    let mut table = Table::new(&headings, "there are no credentials");
    for pair in &pairs {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        table.row([
            text(&pair["access_key"]),
            text(&pair["user"]["name"]),
            text(&pair["label"]),
            local_time(&text(&pair["created"])),
            local_time(&text(&pair["last_used"])),
            text(&pair["last_used_from"]),
        ]);
    }
    context.output.table(&Value::Array(pairs), &table)
}

async fn create(context: &Context, door: &Door, user: &str, label: Option<String>) -> anyhow::Result<()> {
    let user = user::find(door, user).await?;
    let answer = door.call("auth.create_credentials", json!({"user": user.id, "label": label})).await?;
    let mut pair = answer["credentials"].clone();
    let quoted = |field: &str| pair[field].to_string();
    // As it goes into a clearml.conf.
    let text = format!(
        "api.credentials {{\n    access_key = {}\n    secret_key = {}\n}}",
        quoted("access_key"),
        quoted("secret_key")
    );
    pair["user"] = json!({"id": user.id, "name": user.name});
    context.output.either(&pair, &text)?;
    if !context.output.json {
        note("the secret is kept nowhere: put these lines into the user's clearml.conf now");
    }
    Ok(())
}

async fn revoke(context: &Context, door: &Door, access_key: &str, force: bool) -> anyhow::Result<()> {
    if !force && door.is_of_client_file(access_key) {
        return Err(Problem::refused(
            "these are the credentials in clearml.conf, with which this machine's agent enters; --force revokes them \
             all the same",
        ));
    }
    door.call("auth.revoke_credentials", json!({"access_key": access_key})).await?;
    context.output.either(&json!({"access_key": access_key}), &format!("{access_key} is revoked"))
}
