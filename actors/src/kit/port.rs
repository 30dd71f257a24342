//! A recipient that survives the rebuilding of its actor.

use std::fmt;
use std::sync::{Arc, RwLock};

use actix::prelude::*;

/// Where to send messages of one kind, whichever incarnation of the actor is there at the moment. Clones share
/// the connection; only the parent that builds the actor calls [`Port::connect`].
pub struct Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    recipient: Arc<RwLock<Option<Recipient<M>>>>,
}

/// Nobody is behind the port at the moment: the actor is being rebuilt, or the daemon is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody is behind this port at the moment")]
pub struct Disconnected;

impl<M> Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    /// A port with nobody behind it yet.
    pub fn new() -> Self {
        Self { recipient: Arc::default() }
    }

    /// Puts an actor behind the port, in place of the one before.
    pub fn connect(&self, recipient: Recipient<M>) {
        *self.recipient.write().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(recipient);
    }

    fn current(&self) -> Option<Recipient<M>> {
        self.recipient.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    /// Tells a fact; see [`super::tell`]. A fact for nobody is dropped: whoever is rebuilt asks for what it missed.
    pub fn tell(&self, message: M) {
        if let Some(recipient) = self.current() {
            super::tell(&recipient, message);
        }
    }

    /// Asks, and waits for the answer.
    pub async fn ask(&self, message: M) -> Result<M::Result, Disconnected> {
        let recipient = self.current().ok_or(Disconnected)?;
        recipient.send(message).await.map_err(|_| Disconnected)
    }
}

impl<M> Default for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Clone for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn clone(&self) -> Self {
        Self { recipient: Arc::clone(&self.recipient) }
    }
}

impl<M> fmt::Debug for Port<M>
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Port").field("connected", &self.current().is_some()).finish()
    }
}
