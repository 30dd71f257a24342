//! Telling the parent that a child ended, however it ended.

use std::fmt;

use actix::dev::ToEnvelope;
use actix::prelude::*;

/// A child of the receiver is no more. Arrives for a panic in a handler or in an actor future, for `ctx.stop()`,
/// and for the last `Addr` being dropped.
#[derive(Message, Clone, Debug, PartialEq, Eq)]
#[rtype(result = "()")]
pub struct ChildExited<Id: Send + 'static> {
    /// Which child.
    pub child: Id,
    /// Whether it panicked.
    pub panicked: bool,
}

/// A field of a child actor whose `Drop` tells the parent. `actix::Supervisor` does not survive a panic; this does.
pub struct Lifeline<Id: Clone + Send + 'static> {
    parent: Recipient<ChildExited<Id>>,
    child: Id,
}

impl<Id: Clone + Send + 'static> Lifeline<Id> {
    /// A lifeline from `child` to whoever listens behind `parent`.
    pub fn new<P>(parent: &Addr<P>, child: Id) -> Self
    where
        P: Actor + Handler<ChildExited<Id>>,
        P::Context: ToEnvelope<P, ChildExited<Id>>,
    {
        Self { parent: parent.clone().recipient(), child }
    }
}

impl<Id: Clone + Send + fmt::Debug + 'static> fmt::Debug for Lifeline<Id> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Lifeline").field(&self.child).finish()
    }
}

impl<Id: Clone + Send + 'static> Drop for Lifeline<Id> {
    fn drop(&mut self) {
        let panicked = std::thread::panicking();
        tell(&self.parent, ChildExited { child: self.child.clone(), panicked });
    }
}

/// Tells a fact: at once where there is room, otherwise as soon as there is. Never lost while the receiver lives,
/// never waits.
pub fn tell<M>(receiver: &Recipient<M>, message: M)
where
    M: Message + Send + 'static,
    M::Result: Send,
{
    if let Err(SendError::Full(message)) = receiver.try_send(message) {
        let receiver = receiver.clone();
        if Arbiter::try_current().is_some() {
            actix::spawn(async move {
                let _ = receiver.send(message).await;
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Parent {
        seen: tokio::sync::mpsc::UnboundedSender<ChildExited<&'static str>>,
    }

    impl Actor for Parent {
        type Context = Context<Self>;
    }

    impl Handler<ChildExited<&'static str>> for Parent {
        type Result = ();

        fn handle(&mut self, message: ChildExited<&'static str>, _: &mut Self::Context) {
            self.seen.send(message).unwrap();
        }
    }

    #[derive(Message)]
    #[rtype(result = "()")]
    enum End {
        Panic,
        PanicInFuture,
        Stop,
    }

    struct Child {
        _lifeline: Lifeline<&'static str>,
    }

    impl Actor for Child {
        type Context = Context<Self>;
    }

    impl Handler<End> for Child {
        type Result = ();

        fn handle(&mut self, message: End, ctx: &mut Self::Context) {
            match message {
                End::Panic => panic!("asked to"),
                End::PanicInFuture => {
                    ctx.spawn(async { panic!("asked to") }.into_actor(self));
                }
                End::Stop => ctx.stop(),
            }
        }
    }

    async fn check(end: Option<End>, panicked: bool) {
        let (seen, mut told) = tokio::sync::mpsc::unbounded_channel();
        let parent = Parent { seen }.start();
        let child = Child { _lifeline: Lifeline::new(&parent, "child") }.start();
        match end {
            Some(end) => {
                let _ = child.send(end).await;
            }
            None => drop(child),
        }
        let expected = ChildExited { child: "child", panicked };
        assert_eq!(told.recv().await, Some(expected));
    }

    #[actix::test]
    async fn a_parent_hears_of_every_end() {
        check(Some(End::Stop), false).await;
        check(None, false).await;
        check(Some(End::Panic), true).await;
        check(Some(End::PanicInFuture), true).await;
    }
}
