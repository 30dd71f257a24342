//! What it takes to know who may call: credentials, passwords, tokens, identities, roles. All of it without the store;
//! [`crate::authority`] brings the two together.

mod caller;
mod credentials;
pub(crate) mod gate;
pub(crate) mod headers;
mod identity;
pub(crate) mod password;
pub(crate) mod proven;
mod registry;
mod roles;
pub(crate) mod sessions;
pub(crate) mod token;
pub(crate) mod usage;

pub(crate) use caller::{Caller, Origin, Proof};
pub(crate) use credentials::{Secret, random_key, random_secret};
pub(crate) use headers::{Source, TOKEN_COOKIE};
pub(crate) use identity::Identity;
pub(crate) use password::{check_new as check_new_password, hash as hash_password};
pub(crate) use registry::Registry;
pub(crate) use roles::{ADMIN, ASSIGNABLE, manages};
pub(crate) use token::{API_VERSION, LONGEST_LIFETIME, SERVER_VERSION};
