//! Users as administrators make and change them.

use protocols::clearml::error::ApiError;
use serde::Deserialize;
use serde_json::json;

use crate::auth::{ASSIGNABLE, check_new_password, hash_password};
use crate::company::COMPANY;
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::users::{self, NewAccount, Profile};

/// The role of a user when nobody says which.
const DEFAULT_ROLE: &str = "user";

#[derive(Deserialize)]
struct CreateUser {
    name: String,
    company: String,
    email: String,
    role: Option<String>,
    given_name: Option<String>,
    family_name: Option<String>,
    avatar: Option<String>,
    /// Ours: lets the user log in with name and password.
    password: Option<String>,
}

pub(super) async fn create_user(state: &State, call: &Call) -> Reply {
    let CreateUser { name, company, email, role, given_name, family_name, avatar, password } = call.arguments()?;
    check_company(&company)?;
    let role = role.unwrap_or_else(|| DEFAULT_ROLE.to_owned());
    check_role(&role)?;
    let password = digest(&name, password).await?;
    let new = NewAccount {
        role,
        email: Some(email),
        password,
        profile: Profile { name: None, given_name, family_name, avatar },
        ..NewAccount::named(name)
    };
    let id = state.store.write(move |tx| users::create(tx, &new)).await?;
    Ok(json!({"id": id}))
}

#[derive(Deserialize)]
struct EditUser {
    user: String,
    role: Option<String>,
    /// Ours: the new password; an empty one takes it away.
    password: Option<String>,
}

pub(super) async fn edit_user(state: &State, call: &Call) -> Reply {
    let EditUser { user, role, password } = call.arguments()?;
    if let Some(role) = &role {
        check_role(role)?;
    }
    let id = user.clone();
    let account = state.store.read(move |connection| users::require(connection, &id)).await?;
    let sets_password = password.is_some();
    let password = digest(&account.name, password.filter(|given| !given.is_empty())).await?;
    let mut fields = json!({});
    if let Some(role) = &role {
        fields["role"] = json!(role);
    }
    state
        .store
        .write(move |tx| {
            let account = users::require(tx, &user)?;
            if let Some(role) = role {
                users::set_role(tx, &account, &role)?;
            }
            if sets_password {
                users::set_password(tx, &user, password.as_deref())?;
            }
            Ok(())
        })
        .await?;
    Ok(json!({"updated": 1, "fields": fields}))
}

/// What is kept of a password. Takes long, off the reactor.
pub(in crate::services) async fn digest(name: &str, given: Option<String>) -> Result<Option<String>, ApiError> {
    let Some(given) = given else { return Ok(None) };
    check_new_password(name.trim(), &given)?;
    let hashed = tokio::task::spawn_blocking(move || hash_password(&given)).await;
    let password = hashed.map_err(|_| ApiError::internal("the password cannot be digested", &[]))??;
    Ok(Some(password.as_str().to_owned()))
}

fn check_role(role: &str) -> Result<(), ApiError> {
    if ASSIGNABLE.contains(&role) {
        return Ok(());
    }
    Err(ApiError::bad_field("role", &format!("must be one of {}", ASSIGNABLE.join(", "))))
}

/// There is one company here.
pub(in crate::services) fn check_company(company: &str) -> Result<(), ApiError> {
    if company == COMPANY {
        return Ok(());
    }
    Err(ApiError::fields_value("unknown company", &[("company", &company)]))
}
