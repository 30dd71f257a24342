//! Which names projects may have.

use protocols::clearml::error::ApiError;

/// Characters of one part of a name at least.
const PART_LENGTH: usize = 3;

/// Parts of a name at most.
pub(super) const MAX_DEPTH: usize = 10;

/// The parts of a full name, trimmed.
///
/// # Errors
/// 400/12 when a part is too short, 400/409 when there are too many.
pub(super) fn parts(name: &str) -> Result<Vec<String>, ApiError> {
    let parts: Vec<String> = name.trim().trim_matches('/').split('/').map(|part| part.trim().to_owned()).collect();
    if parts.iter().any(|part| part.chars().count() < PART_LENGTH) {
        return Err(ApiError::validation("Project name cannot be blank", &[]));
    }
    check_depth(parts.len())?;
    Ok(parts)
}

/// Refuses a tree that is too deep.
pub(super) fn check_depth(depth: usize) -> Result<(), ApiError> {
    if depth > MAX_DEPTH {
        return Err(ApiError::project_path_exceeds_max("", &[("max_depth", &MAX_DEPTH)]));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_trimmed_and_checked() {
        assert_eq!(parts(" /Trial / Sub/ ").unwrap(), ["Trial", "Sub"]);
        assert_eq!(parts("abc").unwrap(), ["abc"]);
        assert!(parts(&["abc"; MAX_DEPTH].join("/")).is_ok());
        for short in ["", "ab", "abc/d", "abc//def", " / "] {
            assert!(parts(short).unwrap_err().is(400, 12), "{short:?}");
        }
        assert!(parts(&["abc"; MAX_DEPTH + 1].join("/")).unwrap_err().is(400, 409));
    }
}
