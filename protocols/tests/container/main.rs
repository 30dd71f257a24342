//! The arguments of containers, as a table: what is understood, how it is understood, and what is refused.

#![expect(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]
#![expect(clippy::print_stderr, reason = "how far the fuzzer came")]

mod accepted;
mod policy;
mod properties;
mod refused;

use protocols::container::{ContainerSpec, Note, Origin, parse};
use serde_json::{Map, Value};

/// What arguments mean.
fn spec(arguments: &str) -> Result<(ContainerSpec, Vec<Note>), String> {
    let arguments = parse(arguments, Origin::Task).map_err(|error| error.to_string())?;
    ContainerSpec::of(&arguments).map_err(|error| error.to_string())
}

/// The fields that are not as they are without arguments; limits stand beside the others.
fn said(spec: &ContainerSpec) -> Value {
    let flat = |spec: &ContainerSpec| {
        let mut value = serde_json::to_value(spec).expect("a specification is JSON");
        let fields = value.as_object_mut().expect("a specification is an object");
        let Some(Value::Object(limits)) = fields.remove("limits") else { panic!("limits are an object") };
        fields.extend(limits);
        fields.clone()
    };
    let default = flat(&ContainerSpec::default());
    Value::Object(flat(spec).into_iter().filter(|(name, value)| default[name] != *value).collect::<Map<_, _>>())
}
