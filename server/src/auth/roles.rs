//! What each role may do.

/// The role that looks after users.
pub(crate) const ADMIN: &str = "admin";

/// Roles that a user can be given. `system` and `root` are those of the server itself.
pub(crate) const ASSIGNABLE: &[&str] = &[ADMIN, "superuser", "user", "annotator", "guest"];

/// Whether the role is that of an administrator, or above. On a stock server some endpoints are for `system` and `root`
/// alone, which are no people; here the administrators are their users.
pub(crate) fn manages(role: &str) -> bool {
    matches!(role, "system" | "root" | ADMIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_administrators_manage() {
        for role in ["system", "root", "admin"] {
            assert!(manages(role), "{role}");
        }
        for role in ["superuser", "user", "annotator", "guest", "", "Admin"] {
            assert!(!manages(role), "{role}");
        }
    }
}
