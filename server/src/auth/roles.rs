//! What each role may do.

/// The role that looks after users.
pub(crate) const ADMIN: &str = "admin";

/// Roles that a user can be given. `system` and `root` are those of the server itself.
pub(crate) const ASSIGNABLE: &[&str] = &[ADMIN, "superuser", "user", "annotator", "guest"];

/// Endpoints for those who look after the server. On a stock server some of them are for `system` and `root` alone,
/// which are no people; here the administrators are their users.
const MANAGED: &[&str] = &[
    "auth.create_user",
    "auth.edit_user",
    "auth.get_token_for_user",
    "auth.validate_token",
    "server.config",
    "server.endpoints",
    "server.get_stats",
    "users.create",
    "users.delete",
];

/// Whether the role is that of an administrator, or above.
pub(crate) fn manages(role: &str) -> bool {
    matches!(role, "system" | "root" | ADMIN)
}

/// Whether the role may call the endpoint.
pub(crate) fn is_allowed(endpoint: &str, role: &str) -> bool {
    manages(role) || !MANAGED.contains(&endpoint)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_administrators_manage() {
        for role in ["system", "root", "admin"] {
            assert!(is_allowed("auth.create_user", role), "{role}");
        }
        for role in ["superuser", "user", "annotator", "guest", "", "Admin"] {
            assert!(!is_allowed("auth.create_user", role), "{role}");
            assert!(is_allowed("tasks.get_all", role), "{role}");
        }
    }
}
