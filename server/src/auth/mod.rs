//! Who may call: credentials, passwords, tokens, identities, roles.
//!
//! Everything that a caller is checked against is in memory, as the [`Registry`] and the ended sessions. The writer of
//! the store counts the commits that change them ([`crate::signals::Signals::accounts`]), and whoever checks a caller
//! reads them again first when the count is another: what was revoked holds for no request after the answer.

mod authority;
mod caller;
mod credentials;
mod gate;
mod headers;
mod identity;
mod password;
mod proven;
mod registry;
mod roles;
mod sessions;
mod token;
mod usage;

pub(crate) use authority::Authority;
pub(crate) use caller::{Caller, Origin, Proof};
pub(crate) use credentials::{Secret, random_key, random_secret};
pub(crate) use headers::{Source, TOKEN_COOKIE};
pub(crate) use identity::Identity;
pub(crate) use password::{check_new as check_new_password, hash as hash_password};
pub(crate) use registry::Registry;
pub(crate) use roles::{ADMIN, ASSIGNABLE, manages};
pub(crate) use token::{API_VERSION, LONGEST_LIFETIME, SERVER_VERSION};
