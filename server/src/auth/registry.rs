//! Users and credentials, in memory.

use std::collections::HashMap;

use super::credentials::Secret;
use super::password::{Password, looks_like_key};
use super::{Caller, Identity, Origin, Proof, manages};

/// A snapshot of all users and credentials.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    users: HashMap<String, User>,
    /// Ids of the users with a password, by name.
    by_name: HashMap<String, String>,
    keys: HashMap<String, Key>,
}

#[derive(Debug)]
struct User {
    identity: Identity,
    password: Option<Password>,
}

#[derive(Debug)]
struct Key {
    user: String,
    secret: Secret,
}

impl Registry {
    /// Adds a user, with what its password is checked with.
    pub(crate) fn add_user(&mut self, identity: Identity, password: Option<String>) {
        let id = identity.user_id.clone();
        if password.is_some() {
            self.by_name.insert(identity.user_name.clone(), id.clone());
        }
        self.users.insert(id, User { identity, password: password.map(Password::new) });
    }

    /// Adds credentials.
    pub(crate) fn add_key(&mut self, key: String, user: String, secret: Secret) {
        self.keys.insert(key, Key { user, secret });
    }

    /// The user of this id.
    pub(crate) fn identity(&self, id: &str) -> Option<&Identity> {
        self.users.get(id).map(|user| &user.identity)
    }

    /// The password of the user of this id, if it has one.
    pub(crate) fn password_of(&self, id: &str) -> Option<&Password> {
        self.users.get(id)?.password.as_ref()
    }

    /// Whether anybody can log in with a password.
    pub(crate) fn has_passwords(&self) -> bool {
        !self.by_name.is_empty()
    }

    /// Whether there are credentials with this key.
    pub(crate) fn has_key(&self, key: &str) -> bool {
        self.keys.contains_key(key)
    }

    /// The caller with this key, if the secret is right.
    pub(crate) fn by_key(&self, key: &str, secret: &str) -> Option<Caller> {
        let found = self.keys.get(key).filter(|found| found.secret.holds(secret))?;
        let origin = Origin::Key(key.to_owned());
        Some(Caller { identity: self.identity(&found.user)?.clone(), proof: Proof { origin, session: None } })
    }

    /// The caller of this name, who has this password. That it was given is for the caller of this to check.
    pub(crate) fn by_name(&self, name: &str) -> Option<(Caller, &Password)> {
        if looks_like_key(name) {
            return None;
        }
        let user = self.users.get(self.by_name.get(name)?)?;
        let password = user.password.as_ref()?;
        let origin = Origin::Password { user: user.identity.user_id.clone(), fingerprint: password.fingerprint() };
        Some((Caller { identity: user.identity.clone(), proof: Proof { origin, session: None } }, password))
    }

    /// The user `id` as it is now, if what comes from `origin` may still act for it.
    pub(crate) fn by_origin(&self, id: &str, origin: &Origin) -> Option<&Identity> {
        let holder = match origin {
            Origin::Key(key) => &self.users.get(&self.keys.get(key)?.user)?.identity,
            Origin::Password { user, fingerprint } => {
                let user = self.users.get(user)?;
                let same = user.password.as_ref().is_some_and(|password| password.fingerprint() == *fingerprint);
                same.then_some(&user.identity)?
            }
        };
        // A token for somebody else is only as good as its maker is an administrator.
        (holder.user_id == id || manages(&holder.role)).then(|| self.identity(id))?
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry() -> Registry {
        let mut registry = Registry::default();
        registry.add_user(Identity::of_user("a", "Ada", "admin"), None);
        registry.add_user(Identity::of_user("b", "Bob", "user"), Some("$phc$1".to_owned()));
        registry.add_key("KA".to_owned(), "a".to_owned(), Secret::digest("secret"));
        registry.add_key("KB".to_owned(), "b".to_owned(), Secret::digest("other"));
        registry
    }

    fn key(key: &str) -> Origin {
        Origin::Key(key.to_owned())
    }

    #[test]
    fn only_the_right_secret_of_the_key_is_taken() {
        let registry = registry();
        assert_eq!(registry.by_key("KA", "secret").unwrap().identity.user_id, "a");
        for (key, secret) in [("KA", "other"), ("KA", ""), ("KX", "secret")] {
            assert_eq!(registry.by_key(key, secret), None, "{key} {secret}");
        }
    }

    #[test]
    fn a_right_ends_with_what_it_comes_from() {
        let mut registry = registry();
        let password = registry.by_name("Bob").unwrap().0.proof.origin;
        assert!(registry.by_origin("b", &password).is_some());
        assert!(registry.by_origin("b", &key("KB")).is_some());
        assert!(registry.by_origin("b", &key("KA")).is_some(), "an administrator may act for others");
        assert!(registry.by_origin("a", &key("KB")).is_none(), "others may not");
        assert!(registry.by_origin("x", &key("KA")).is_none(), "the user is gone");
        registry.keys.remove("KA");
        assert!(registry.by_origin("b", &key("KA")).is_none(), "the key is gone");
        registry.add_user(Identity::of_user("b", "Bob", "user"), Some("$phc$2".to_owned()));
        assert!(registry.by_origin("b", &password).is_none(), "the password is another");
    }
}
