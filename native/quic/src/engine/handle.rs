//! The owner's side of an engine: commands in, events out, one wake-up outstanding at a time.

use super::poller::Waker;
use super::types::{Command, Event};
use parking_lot::Mutex;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// What the thread and its owner share.
pub(crate) struct Shared {
    commands: Mutex<Vec<Command>>,
    events: Mutex<Vec<Event>>,
    engine_woken: AtomicBool,
    owner_woken: AtomicBool,
    backlog: AtomicUsize,
    pub(crate) waker: Waker,
}

impl Shared {
    pub(crate) fn new(waker: Waker) -> Self {
        Self {
            commands: Mutex::new(Vec::new()),
            events: Mutex::new(Vec::new()),
            engine_woken: AtomicBool::new(false),
            owner_woken: AtomicBool::new(false),
            backlog: AtomicUsize::new(0),
            waker,
        }
    }

    pub(crate) fn take_commands(&self) -> Vec<Command> {
        self.waker.clear();
        self.engine_woken.store(false, Ordering::SeqCst);
        std::mem::take(&mut *self.commands.lock())
    }

    /// Bytes of datagrams that the owner has not collected yet.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Hands events over; true when the owner has to be woken.
    pub(crate) fn publish(&self, events: &mut Vec<Event>) -> bool {
        let bytes: usize = events.iter().map(datagram_bytes).sum();
        {
            let mut pending = self.events.lock();
            self.backlog.fetch_add(bytes, Ordering::Relaxed);
            if pending.is_empty() {
                std::mem::swap(&mut *pending, events);
            } else {
                pending.append(events);
            }
        }
        !self.owner_woken.swap(true, Ordering::SeqCst)
    }
}

/// Gives orders to an engine. Dropping it shuts the engine down.
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) local_addr: SocketAddr,
}

impl Handle {
    /// Address of the UDP socket.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Gives an order; it is carried out soon, in order.
    pub fn send(&self, command: Command) {
        self.queue(command);
        self.flush();
    }

    /// Gives an order that may wait for others: `flush` has them carried out.
    pub fn queue(&self, command: Command) {
        self.shared.commands.lock().push(command);
    }

    /// Wakes the thread, unless it is on its way to the queue already.
    pub fn flush(&self) {
        if !self.shared.engine_woken.swap(true, Ordering::SeqCst) {
            self.shared.waker.wake();
        }
    }

    /// Takes everything that has happened. The wake-up callback fires again for what comes later.
    pub fn drain(&self) -> Vec<Event> {
        self.shared.owner_woken.store(false, Ordering::SeqCst);
        let mut pending = self.shared.events.lock();
        self.shared.backlog.store(0, Ordering::Relaxed);
        std::mem::take(&mut *pending)
    }
}

/// Datagrams come whether or not the owner keeps up; everything else is asked for or limited by windows.
fn datagram_bytes(event: &Event) -> usize {
    match event {
        Event::Datagrams { batch, .. } => batch.iter().map(|d| d.len() + 64).sum(),
        _ => 0,
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.send(Command::Shutdown { code: 0, reason: bytes::Bytes::new() });
    }
}
