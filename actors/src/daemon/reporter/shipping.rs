//! The console of a task on its way to the server: packets, each sent until it has arrived, and not twice.
//!
//! How far the file was shipped, and which packet is on its way, is written down before the packet is sent.

use std::sync::Arc;
use std::time::Duration;

use drivers::clearml::ClientError;
use drivers::journal::ShipIntent;
use protocols::clearml::events::{LEVEL_DEBUG, LogEvent};
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::console::{SliceRules, slice};
use super::lane::{Lane, is_refusal};
use super::messages::LaneFact;
use crate::kit::Backoff;

/// How much of the console goes into one packet, in bytes; the stock agent's packets hold up to twice as much.
pub(super) const PACKET_BYTES: usize = 512 * 1024;
/// A line without an end goes when nothing was added to it for this long.
const OPEN_LINE_WAIT: Duration = Duration::from_secs(5);

impl Lane {
    /// What was shipped before, and whether a packet whose fate is unknown arrived.
    pub(super) async fn recall(&mut self) {
        let (store, task, pull) = (self.tools.store.clone(), self.order.task.clone(), self.order.pull);
        let recalled = tokio::task::spawn_blocking(move || store.shipping(&task, pull)).await;
        match recalled {
            Ok(Ok(shipping)) => self.shipping = shipping.unwrap_or_default(),
            Ok(Err(error)) => warn!(task = %self.order.task, %error, "cannot recall how much console was shipped"),
            Err(error) => warn!(task = %self.order.task, %error, "cannot recall how much console was shipped"),
        }
    }

    /// Ships one packet of the console. `true` when there may be more to ship at once.
    pub(super) async fn ship(&mut self, flush: bool) -> bool {
        if self.console_refused {
            return false;
        }
        let offset = self.shipping.shipped;
        let Some(piece) = self.read(offset, PACKET_BYTES).await else { return false };
        if piece.bytes.is_empty() {
            self.open_line_since = None;
            return false;
        }
        let overdue = self.open_line_since.is_some_and(|since| since.elapsed() >= OPEN_LINE_WAIT);
        // A flush is for the end of the stream; what is read while more follows is cut at a line end.
        let at_end = offset + piece.bytes.len() as u64 >= self.stream.length();
        let rules = SliceRules {
            suppress_carriage_return: self.tools.suppress_carriage_return,
            flush: (at_end && (flush || overdue)) || piece.complete,
        };
        let full = piece.bytes.len() >= PACKET_BYTES;
        let packets = Arc::clone(&self.tools.packets);
        let _permit = if full { packets.acquire().await.ok() } else { None };
        let cut = slice(&piece.bytes, rules);
        drop(piece);
        if cut.consumed == 0 {
            self.open_line_since.get_or_insert_with(Instant::now);
            return false;
        }
        self.open_line_since = None;
        let to = offset + cut.consumed as u64;
        if cut.messages.is_empty() {
            self.shipping.shipped = to;
            return true;
        }
        let first = self.next_timestamp();
        let last = first + cut.messages.len() as i64 - 1;
        let intent = ShipIntent { to, first_timestamp_ms: first, last_timestamp_ms: last };
        self.shipping.intent = Some(intent);
        if !self.remember().await {
            return false;
        }
        self.deliver(cut.messages, first).await;
        self.shipped(to, last);
        full || flush
    }

    fn shipped(&mut self, to: u64, last_timestamp_ms: i64) {
        // Not written down at once: the next intent carries it, and until then the server can be asked.
        self.shipping.shipped = to;
        self.shipping.last_timestamp_ms = last_timestamp_ms;
        self.shipping.intent = None;
        self.tell(LaneFact::Shipped(to));
    }

    /// Sends a packet until it has arrived, and not twice: where an answer was lost, the server is asked.
    async fn deliver(&mut self, messages: Vec<String>, first: i64) {
        let events: Vec<LogEvent> = messages
            .into_iter()
            .enumerate()
            .map(|(index, message)| self.event(first + index as i64, LEVEL_DEBUG, message))
            .collect();
        let mut backoff = Backoff::for_server();
        loop {
            match self.tools.server.add_logs(&events).await {
                Ok(_) => return,
                Err(error) if is_refusal(&error) => {
                    info!(task = %self.order.task, %error, "the server has no use for the task's console any more");
                    self.console_refused = true;
                    return;
                }
                Err(error) => self.wait_for_server("send console", &error, &mut backoff).await,
            }
            if self.insist_on_knowing(|| self.has_arrived(first)).await {
                return;
            }
        }
    }

    async fn has_arrived(&self, first: i64) -> Result<bool, ClientError> {
        let seen = self.tools.server.logs_since(&self.order.task, first).await?;
        Ok(seen.iter().any(|event| event.timestamp == first && event.worker == self.order.worker))
    }

    /// A daemon died between intending a packet and knowing that it arrived: find out, and send it again if not.
    pub(super) async fn repeat_unknown_packet(&mut self) {
        let Some(intent) = self.shipping.intent else { return };
        let task = self.order.task.clone();
        let arrived = loop {
            match self.has_arrived(intent.first_timestamp_ms).await {
                Ok(arrived) => break arrived,
                Err(error) if is_refusal(&error) => break true,
                Err(error) => self.wait_for_server("look for a packet", &error, &mut Backoff::for_server()).await,
            }
        };
        debug!(%task, arrived, "packet of an earlier daemon");
        if !arrived {
            let from = self.shipping.shipped;
            let length = usize::try_from(intent.to.saturating_sub(from)).unwrap_or(PACKET_BYTES);
            if let Some(piece) = self.read(from, length).await {
                let rules = SliceRules { suppress_carriage_return: self.tools.suppress_carriage_return, flush: true };
                let cut = slice(&piece.bytes, rules);
                self.deliver(cut.messages, intent.first_timestamp_ms).await;
            }
        }
        self.shipped(intent.to, intent.last_timestamp_ms);
    }

    async fn remember(&self) -> bool {
        let stored = self.tools.store.put_shipping(&self.order.task, self.order.pull, self.shipping).await;
        if let Err(error) = &stored {
            warn!(task = %self.order.task, %error, "cannot write down how much console was shipped");
        }
        stored.is_ok()
    }
}
