//! Ids of new objects.

use uuid::Uuid;

/// A new id: 32 lowercase hexadecimal digits.
pub(crate) fn new_id() -> String {
    Uuid::new_v4().simple().to_string()
}
