//! Rows of the workers, and what is to be known about each while it runs.

mod properties;
mod records;

pub(crate) use properties::{Property, forget_properties, properties, set_properties};
pub(crate) use records::{Worker, forget_expired, get, is_watched, list, put, remove};
