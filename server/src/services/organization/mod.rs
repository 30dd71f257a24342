//! The `organization` service: what concerns more than one kind of object.

mod counts;
mod export;
mod usages;

use serde::Deserialize;
use serde_json::json;

pub(crate) use export::{Exports, download_for_get_all};

use crate::company::{COMPANY, COMPANY_NAME};
use crate::http::{Call, Reply};
use crate::state::State;
use crate::store::projects::{Scope, TagsOf, tags};

/// Runs one action of the service; `download_for_get_all`, whose answer is no envelope, is [`download_for_get_all`].
pub(crate) async fn dispatch(state: &State, action: &str, call: Call) -> Option<Reply> {
    match action {
        "get_entities_count" => Some(counts::get_entities_count(state, &call).await),
        "get_project_usages" => Some(usages::get_project_usages(state, &call).await),
        "get_tags" => Some(get_tags(state, &call).await),
        "get_user_companies" => Some(Ok(json!({"companies": [{"id": COMPANY, "name": COMPANY_NAME}]}))),
        "prepare_download_for_get_all" => Some(export::prepare_download_for_get_all(state, &call)),
        _ => None,
    }
}

#[derive(Deserialize)]
struct GetTags {
    #[serde(default)]
    include_system: bool,
}

/// The tags of tasks and models, each once.
async fn get_tags(state: &State, call: &Call) -> Reply {
    let GetTags { include_system } = call.arguments()?;
    state
        .store
        .read(move |connection| {
            let all = |column| {
                let mut all = tags(connection, TagsOf::Tasks, column, &Scope::Everything)?;
                all.extend(tags(connection, TagsOf::Models, column, &Scope::Everything)?);
                all.sort();
                all.dedup();
                Ok::<_, crate::store::StoreError>(all)
            };
            let mut answer = json!({"tags": all("tags")?});
            if include_system {
                answer["system_tags"] = json!(all("system_tags")?);
            }
            Ok(answer)
        })
        .await
}
