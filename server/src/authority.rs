//! Who may call: checks callers and makes tokens.
//!
//! Everything that a caller is checked against is in memory, as the [`Registry`] and the ended sessions. The writer of
//! the store counts the commits that change them ([`Signals::accounts`]), and whoever checks a caller reads them again
//! first when the count is another: what was revoked holds for no request after the answer.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::http::HeaderMap;
use protocols::clearml::error::ApiError;
use tokio::sync::Mutex;

use crate::auth::gate::Gate;
use crate::auth::headers::{self, Offer, Source};
use crate::auth::password::{Password, looks_like_key};
use crate::auth::proven::Proven;
use crate::auth::sessions::EndedSessions;
use crate::auth::token::{Claims, LONGEST_LIFETIME, Signer, TokenError};
use crate::auth::usage::{Usage, Use};
use crate::auth::{Caller, Identity, Origin, Proof, Registry, manages};
use crate::signals::Signals;
use crate::store::{Store, users};
use crate::time;

/// Checks credentials and makes tokens, from memory.
#[derive(Debug)]
pub(crate) struct Authority {
    signer: Signer,
    store: Store,
    signals: Signals,
    registry: RwLock<Arc<Registry>>,
    ended: RwLock<EndedSessions>,
    /// The count of changes that the two have seen.
    loaded: AtomicU64,
    loading: Mutex<()>,
    usage: Usage,
    gate: Gate,
    proven: Proven,
}

impl Authority {
    /// Reads the signing key, creating it if there is none, readable by its owner only.
    pub(crate) fn open(key_file: &Path, store: Store, signals: Signals) -> std::io::Result<Self> {
        Ok(Self {
            signer: Signer::open(key_file)?,
            store,
            signals,
            registry: RwLock::default(),
            ended: RwLock::default(),
            loaded: AtomicU64::new(u64::MAX),
            loading: Mutex::default(),
            usage: Usage::default(),
            gate: Gate::new(),
            proven: Proven::new(),
        })
    }

    /// Reads users, credentials and ended sessions again if they have changed.
    ///
    /// # Errors
    /// The store cannot be read. Nobody is let in on old knowledge.
    pub(crate) async fn refresh(&self) -> Result<(), ApiError> {
        if self.loaded.load(Ordering::Acquire) == self.signals.accounts() {
            return Ok(());
        }
        let _turn = self.loading.lock().await;
        // Taken before the read: a change during it is read the next time.
        let count = self.signals.accounts();
        if self.loaded.load(Ordering::Acquire) == count {
            return Ok(());
        }
        let last = self.ended.read().unwrap_or_else(PoisonError::into_inner).last();
        let (registry, ended) = self
            .store
            .read(move |connection| Ok((users::registry(connection)?, users::ended_after(connection, last)?)))
            .await?;
        self.usage.retain(|key| registry.has_key(key));
        *self.registry.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(registry);
        self.ended.write().unwrap_or_else(PoisonError::into_inner).extend(ended);
        self.loaded.store(count, Ordering::Release);
        Ok(())
    }

    /// Finds out who calls the API: `Authorization: Basic` or `Bearer`, or the cookie, unless another site's page
    /// made the browser send it.
    ///
    /// # Errors
    /// 401 with the subcode that tells clients what to do; 429 for who guesses passwords.
    pub(crate) async fn identify_call(&self, headers: &HeaderMap, source: Source) -> Result<Caller, ApiError> {
        let by_cookie = !headers.contains_key(axum::http::header::AUTHORIZATION);
        if by_cookie && headers::is_from_another_site(headers) {
            return Err(ApiError::no_credentials("", &[]));
        }
        self.identify(headers, source).await
    }

    /// Finds out who sent a request, as [`Authority::identify_call`], but a link on another site's page is fine.
    ///
    /// # Errors
    /// As [`Authority::identify_call`].
    pub(crate) async fn identify(&self, headers: &HeaderMap, source: Source) -> Result<Caller, ApiError> {
        self.refresh().await?;
        let caller = match Offer::of(headers)? {
            Offer::Secret { name, secret } => self.by_secret(&name, secret, source).await?,
            Offer::Token(token) => self.by_token(&token)?,
        };
        if let Origin::Key(key) = &caller.proof.origin {
            self.usage.note(key, headers::worker(headers), time::now());
        }
        Ok(caller)
    }

    /// Lets an administrator call as another user, where the headers ask for it: in every respect, or with the
    /// administrator's own role.
    ///
    /// # Errors
    /// 400/5 for both headers at once, 403/20 for who may not, 400/6 for a user that does not exist.
    pub(crate) fn impersonate(&self, caller: Caller, headers: &HeaderMap) -> Result<Caller, ApiError> {
        let (user, keeps_role) = match headers::impersonation(headers) {
            (None, None) => return Ok(caller),
            (Some(user), None) => (user, false),
            (None, Some(user)) => (user, true),
            (Some(_), Some(_)) => {
                return Err(ApiError::invalid_headers("only one of Impersonate-As and Act-As can be used", &[]));
            }
        };
        if !manages(&caller.identity.role) {
            return Err(ApiError::role_not_allowed("impersonation", &[("role", &caller.identity.role)]));
        }
        let unknown = || ApiError::impersonation("unknown user", &[("user", &user)]);
        let mut identity = self.registry().identity(user).cloned().ok_or_else(unknown)?;
        if keeps_role {
            identity.role = caller.identity.role;
        }
        Ok(Caller { identity, proof: caller.proof })
    }

    /// Makes a token for `identity` that holds for `lifetime_seconds`, and no longer than what `proof` comes from.
    /// A token that renews another is of the same session.
    pub(crate) fn token(&self, identity: &Identity, proof: &Proof, lifetime_seconds: i64) -> String {
        self.signer.sign(&Claims::new(identity, proof, lifetime_seconds))
    }

    /// Whose token this is.
    ///
    /// # Errors
    /// 401/30 for one that does not hold, 401/31 for one that was logged out.
    pub(crate) fn by_token(&self, token: &str) -> Result<Caller, ApiError> {
        let claims = self.signer.verify(token).map_err(|error| match error {
            TokenError::Malformed | TokenError::Forged => ApiError::invalid_token("", &[]),
            TokenError::Expired => ApiError::invalid_token("token has expired", &[]),
        })?;
        let (user, session, origin) = claims.into_parts();
        if self.ended.read().unwrap_or_else(PoisonError::into_inner).contains(&session) {
            return Err(ApiError::blocked_token("", &[]));
        }
        let revoked = || ApiError::invalid_token("what the token was made with does not hold any more", &[]);
        // Name and role are those of today.
        let identity = self.registry().by_origin(&user, &origin).cloned().ok_or_else(revoked)?;
        Ok(Caller { identity, proof: Proof { origin, session: Some(session) } })
    }

    /// Ends the session of a token: neither it nor what renewed it is good for anything after this. Credentials have
    /// no session that could end.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn log_out(&self, proof: &Proof) -> Result<(), ApiError> {
        let Some(session) = proof.session.clone() else { return Ok(()) };
        let expires = time::now() + LONGEST_LIFETIME * 1_000_000;
        self.store.write(move |tx| users::end_session(tx, &session, expires)).await
    }

    /// The user of this id.
    pub(crate) fn user(&self, id: &str) -> Option<Identity> {
        self.registry().identity(id).cloned()
    }

    /// Whether `given` is the password of a user, or the user has none. Guesses are slowed down as at a login.
    ///
    /// # Errors
    /// 429 when too many from there wait already.
    pub(crate) async fn is_own_password(&self, user: &str, given: String, source: Source) -> Result<bool, ApiError> {
        let registry = self.registry();
        let Some(password) = registry.password_of(user).cloned() else { return Ok(true) };
        self.gate.pass(source, move || password.is(&given)).await
    }

    /// Whether anybody can log in with a password.
    pub(crate) fn has_passwords(&self) -> bool {
        self.registry().has_passwords()
    }

    /// The last use of a key in this process; an earlier one is in the store.
    pub(crate) fn last_use(&self, key: &str) -> Option<Use> {
        self.usage.last(key)
    }

    /// Writes what is only in memory, and forgets what nobody needs.
    ///
    /// # Errors
    /// Of the store.
    pub(crate) async fn tidy(&self) -> Result<(), ApiError> {
        let now = time::now();
        let uses = self.usage.take_new();
        self.ended.write().unwrap_or_else(PoisonError::into_inner).trim(now);
        self.store
            .write(move |tx| {
                users::note_use(tx, &uses)?;
                users::trim_ended(tx, now)
            })
            .await
            .map(drop)
    }

    async fn by_secret(&self, name: &str, secret: String, source: Source) -> Result<Caller, ApiError> {
        let wrong = || ApiError::invalid_credentials("", &[]);
        let registry = self.registry();
        if registry.has_key(name) {
            return registry.by_key(name, &secret).ok_or_else(wrong);
        }
        let Some((caller, password)) = registry.by_name(name) else {
            if registry.has_passwords() && !looks_like_key(name) {
                // Whether somebody has that name must not be told by how long the answer takes.
                self.gate.pass(source, move || Password::of_nobody().is(&secret)).await?;
            }
            return Err(wrong());
        };
        if self.proven.holds(&caller.identity.user_id, password, &secret) {
            return Ok(caller);
        }
        let (checked, given) = (password.clone(), secret.clone());
        if !self.gate.pass(source, move || checked.is(&given)).await? {
            return Err(wrong());
        }
        self.proven.learn(&caller.identity.user_id, password, &secret);
        Ok(caller)
    }

    fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }
}
