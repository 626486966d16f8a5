//! The paths of inner connections: what is known of each, which of them carries data, and what happens when
//! one dies. Path 0 is virtual and stays; direct paths come and go. Which path is preferred the owner
//! decides, and the client for both sides; only when a path dies the engine moves traffic by itself.

use super::addr;
use super::core::Engine;
use super::direct_filter::{Bucket, Budget};
use super::leaving::{Leaving, abandoned_by_peer};
use super::outage::Outage;
use super::path_info::PathChange;
use super::path_reports::OPENINGS;
use super::pulse::{Beat, Pulse};
use super::roaming::ask_anew;
use super::types::{Event, Id};
use super::watch::{Finding, Watch};
use bytes::Bytes;
use noq_proto as q;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A direct path of which nothing is heard for so long is gone; also one that was never reached.
pub(crate) const DIRECT_IDLE: Duration = Duration::from_secs(30);
/// Keeps the mappings of NATs on a direct path. Many forget a UDP flow after 30 s.
const DIRECT_KEEP_ALIVE: Duration = Duration::from_secs(12);
/// Shows whether the relay would be there.
const VIRTUAL_KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Questions after a late acknowledgement: a packet is lost with noq when three later ones have arrived.
const MIN_AMENDS: u32 = 4;
const MAX_AMENDS: u32 = 64;
pub(crate) const CLOSED_AS_DEAD: u32 = 1;
pub(super) const CLOSED_BY_NETWORK: u32 = 2;
/// Of a connection whose relayed path left the relay: `protocol`.
const CLOSED_AS_TAKEN: u64 = 1;

/// Paths of one inner connection.
pub(crate) struct Paths {
    /// The owner wants direct paths for this connection.
    pub(crate) direct: bool,
    pub(crate) budget: Budget,
    min_silence: Duration,
    pub(super) known: Vec<Path>,
    pub(super) leaving: Vec<Leaving>,
    pub(super) let_go_at: Option<Instant>,
    /// While there is a dead path and none that is proven to live.
    pub(super) outage: Option<Outage>,
    pub(super) candidates_changed: bool,
    pub(super) status_changed: bool,
    pub(super) moved: bool,
    /// Paths that the owner may hear of, and whether there is one that it has not.
    pub(super) openings: Bucket,
    pub(super) opened: bool,
    pub(super) next_report: Instant,
}

pub(super) struct Path {
    pub(super) id: q::PathId,
    /// The owner knows of it.
    pub(super) announced: bool,
    pub(super) network: q::FourTuple,
    pub(super) pulse: Arc<Pulse>,
    pub(super) watch: Watch,
    /// Frames heard on it when it was asked last, or died.
    heard: u64,
    /// Status that the peer gave it, as the owner knows it.
    pub(super) told: Option<q::PathStatus>,
    /// Questions asked to undo a late acknowledgement, and what had been answered at the last.
    amends: (u32, u64),
    /// Address of the peer, as the owner knows it.
    pub(super) told_remote: SocketAddr,
}

impl Path {
    pub(super) fn is_virtual(&self) -> bool {
        addr::is_virtual(&self.network.remote())
    }

    /// noq believes a round trip as long as an outage, and would wait as long for what is lost. Packets that are
    /// acknowledged in time make it give up what is older than they, and correct its estimate.
    fn make_amends(&mut self, conn: &mut q::Connection, beat: &Beat) {
        let (asked, answers) = self.amends;
        let wrong = match (beat.rtt, conn.path_stats(self.id)) {
            (Some(rtt), Some(stats)) => rtt.contradicts(stats.rtt),
            _ => false,
        };
        if asked >= MAX_AMENDS || (!wrong && asked >= MIN_AMENDS) {
            self.pulse.forgive();
            self.amends = (0, 0);
        } else if asked == 0 || answers != beat.answers {
            let _ = conn.ping_path(self.id);
            self.amends = (asked + 1, beat.answers);
        }
    }
}

impl Paths {
    pub(crate) fn new(min_silence: Duration) -> Self {
        Self {
            direct: false,
            budget: Budget::new(Instant::now()),
            min_silence,
            known: Vec::new(),
            leaving: Vec::new(),
            let_go_at: None,
            outage: None,
            candidates_changed: false,
            status_changed: false,
            moved: false,
            openings: Bucket::full(OPENINGS, Instant::now()),
            opened: false,
            next_report: Instant::now(),
        }
    }

    /// Whether a direct path ends there of which the peer has proven that it does.
    pub(crate) fn leads_to(&self, remote: SocketAddr) -> bool {
        let ends = |p: &Path| p.network.remote() == remote && p.id != q::PathId::ZERO;
        self.known.iter().any(|p| ends(p) && !self.budget.doubts(p.id))
    }

    pub(crate) fn beat(&self, id: q::PathId) -> Option<Beat> {
        self.known.iter().find(|p| p.id == id).map(|p| p.pulse.now())
    }

    pub(crate) fn is_dead(&self, id: q::PathId) -> bool {
        self.known.iter().any(|p| p.id == id && p.watch.dead)
    }

    pub(crate) fn largest_mtu(&self) -> u16 {
        self.known.iter().map(|p| p.pulse.now().mtu).max().unwrap_or(0)
    }

    /// Whether data goes over a direct path, so that it need not wait for a relay's queue.
    pub(crate) fn direct_in_use(&self, conn: &q::Connection) -> bool {
        self.known.iter().any(|p| !p.is_virtual() && is_available(conn, p.id))
    }

    pub(crate) fn deadline(&self, conn: &q::Connection) -> Option<Instant> {
        let watched = self.known.len() > 1;
        let looks = self.known.iter().filter(|_| watched);
        let looks = looks.filter_map(|p| p.watch.deadline(&p.pulse.now(), is_available(conn, p.id)));
        let asks = self.outage.as_ref().map(|o| o.next_question);
        looks.chain(self.report_due()).chain(self.let_go_at).chain(asks).min()
    }

    /// Direct paths from addresses that are not ours any more, now dead.
    pub(super) fn lose_addresses(&mut self) -> Vec<q::PathId> {
        let mut lost = Vec::new();
        for path in self.known.iter_mut().filter(|p| !p.is_virtual()) {
            if path.network.local_ip().is_some_and(|ip| !addr::is_ours(ip)) {
                path.watch.dead = true;
                lost.push(path.id);
            }
        }
        lost
    }

    /// Whether a path lives, has answered since it was asked last, and is none of the `dark` ones.
    fn proven(&self, dark: &[q::PathId]) -> bool {
        self.known.iter().any(|p| p.watch.is_proven() && !dark.contains(&p.id))
    }

    pub(super) fn report_due(&self) -> Option<Instant> {
        let due = self.candidates_changed || self.status_changed || self.moved || self.opened;
        due.then_some(self.next_report)
    }

    fn position(&self, id: q::PathId) -> Option<usize> {
        self.known.iter().position(|p| p.id == id)
    }
}

fn is_available(conn: &q::Connection, id: q::PathId) -> bool {
    conn.path_status(id).is_ok_and(|s| s == q::PathStatus::Available)
}

/// Sets a status and has it told to the peer also when it was that before: noq 1.4.0 means to tell the
/// status that a path was opened with, and does not.
fn tell_status(conn: &mut q::Connection, id: q::PathId, status: q::PathStatus) {
    let other = match status {
        q::PathStatus::Available => q::PathStatus::Backup,
        q::PathStatus::Backup => q::PathStatus::Available,
    };
    let _ = conn.set_path_status(id, other);
    let _ = conn.set_path_status(id, status);
}

/// Frames in packets that are the peer's without doubt.
fn frames_heard(conn: &mut q::Connection, id: q::PathId) -> u64 {
    let f = conn.path_stats(id).unwrap_or_default().frame_rx;
    f.ping
        + f.immediate_ack
        + f.acks
        + f.path_acks
        + f.stream
        + f.datagram
        + f.path_challenge
        + f.path_response
}

impl Engine {
    /// A path may carry data from now on: path 0 with the handshake, others once both ends are proven.
    pub(crate) fn path_established(&mut self, conn: Id, id: q::PathId) {
        let now = Instant::now();
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let (Some(paths), Ok(network)) = (c.paths.as_deref_mut(), c.q.network_path(id)) else { return };
        let Some(pulse) = Pulse::of(&c.q, id) else { return };
        if paths.position(id).is_some() {
            return;
        }
        let mut path = Path {
            id,
            announced: true,
            network,
            pulse,
            watch: Watch::new(paths.min_silence),
            heard: 0,
            told: None,
            amends: (0, 0),
            told_remote: network.remote(),
        };
        let direct = !path.is_virtual();
        let idle = direct.then_some(DIRECT_IDLE);
        let _ = c.q.set_path_max_idle_timeout(now, id, idle);
        if id == q::PathId::ZERO {
            paths.known.push(path);
            return;
        }
        let interval = if direct { DIRECT_KEEP_ALIVE } else { VIRTUAL_KEEP_ALIVE };
        let _ = c.q.set_path_keep_alive_interval(id, Some(interval));
        let _ = c.q.set_path_keep_alive_interval(q::PathId::ZERO, Some(VIRTUAL_KEEP_ALIVE));
        let _ = c.q.ping_path(q::PathId::ZERO);
        // Nothing moves by itself: a server's side of a direct path rests until the client says otherwise.
        let told = c.q.remote_path_status(id);
        let rests = direct && c.q.side().is_server() && told != Some(q::PathStatus::Available);
        let status = if rests { Ok(q::PathStatus::Backup) } else { c.q.path_status(id) };
        let backup = status == Ok(q::PathStatus::Backup);
        if let Ok(status) = status
            && (c.q.side().is_client() || rests)
            && (direct || backup)
        {
            tell_status(&mut c.q, id, status);
        }
        path.announced = paths.openings.take_one(OPENINGS, now);
        paths.opened |= !path.announced;
        self.events.extend(path.tell(conn, PathChange::Opened { backup }));
        paths.known.push(path);
        if told.is_some() {
            self.path_status_told(conn);
        }
    }

    pub(crate) fn path_abandoned(&mut self, conn: Id, id: q::PathId, reason: &q::PathAbandonReason) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut() else { return };
        let Some(at) = paths.position(id) else { return };
        let by_peer = matches!(reason, q::PathAbandonReason::RemoteAbandoned { .. });
        let abandoned = abandoned_by_peer(&mut c.q);
        paths.leave(&mut c.q, id, abandoned, by_peer);
        let path = paths.known.remove(at);
        let own = |code: u32| q::VarInt::from_u32(code);
        let reason = match reason {
            q::PathAbandonReason::ApplicationClosed { error_code } if *error_code == own(CLOSED_AS_DEAD) => {
                "dead"
            }
            q::PathAbandonReason::ApplicationClosed { error_code }
                if *error_code == own(CLOSED_BY_NETWORK) =>
            {
                "network"
            }
            q::PathAbandonReason::ApplicationClosed { .. } => "local",
            q::PathAbandonReason::RemoteAbandoned { .. } => "peer",
            q::PathAbandonReason::UnusableAfterNetworkChange => "network",
            _ => "timeout",
        };
        self.drops.path_reports_limited += u64::from(!path.announced);
        self.events.extend(path.tell(conn, PathChange::Closed { reason }));
        self.rebalance(conn);
    }

    /// The peer said how it wants a path used.
    pub(crate) fn path_status_told(&mut self, conn: Id) {
        if let Some(paths) = self.conns.get_mut(&conn).and_then(|c| c.paths.as_deref_mut()) {
            paths.status_changed = true;
        }
        self.heed_statuses(conn);
    }

    pub(crate) fn candidates_told(&mut self, conn: Id) {
        if let Some(paths) = self.conns.get_mut(&conn).and_then(|c| c.paths.as_deref_mut()) {
            paths.candidates_changed = true;
        }
    }

    /// The client decides for both sides: if both followed each other, opposite changes would swap for
    /// ever. A client that hears that the server has left the path in use looks whether the path is alive.
    fn heed_statuses(&mut self, conn: Id) {
        let now = Instant::now();
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut() else { return };
        let alone = paths.known.len() < 2;
        for path in &mut paths.known {
            let Some(status) = c.q.remote_path_status(path.id) else { continue };
            if c.q.side().is_server() {
                if !path.watch.dead {
                    let _ = c.q.set_path_status(path.id, status);
                }
            } else if status == q::PathStatus::Backup && is_available(&c.q, path.id) && !alone {
                path.watch.accuse(now);
            }
        }
        if c.q.side().is_server() {
            self.rebalance(conn);
        }
    }

    /// Looks after the paths of a connection; to be called whenever something may have happened.
    pub(crate) fn tend_paths(&mut self, conn: Id, now: Instant) {
        if self.conns.get(&conn).is_none_or(|c| c.closed_reported) {
            return;
        }
        if self.relayed_path_taken(conn) {
            self.drops.relayed_path_moved += 1;
            self.close(conn, CLOSED_AS_TAKEN, Bytes::from_static(b"the relayed path came from elsewhere"));
            return;
        }
        self.notice_moves(conn);
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut() else { return };
        let watched = paths.known.len() > 1;
        let (mut ask, mut lost, mut over) = (false, false, false);
        let mut changes = Vec::new();
        for path in &mut paths.known {
            let beat = path.pulse.now();
            if beat.late {
                path.make_amends(&mut c.q, &beat);
            }
            if !watched && !path.watch.dead {
                continue;
            }
            let in_use = is_available(&c.q, path.id);
            let change = match path.watch.look(now, &beat, in_use) {
                Finding::Nothing => continue,
                Finding::Ask => {
                    ask = true;
                    continue;
                }
                Finding::Dead => {
                    path.heard = frames_heard(&mut c.q, path.id);
                    lost |= in_use && !path.is_virtual();
                    PathChange::Dead
                }
                Finding::Alive => PathChange::Alive,
                Finding::Over => {
                    over = true;
                    continue;
                }
            };
            changes.push(path.tell(conn, change));
        }
        // Acknowledgements travel on the path that the peer uses. When both use a dead one, none come back.
        if paths.known.iter().all(|p| p.watch.dead) {
            for path in &mut paths.known {
                if frames_heard(&mut c.q, path.id) > path.heard {
                    path.watch.revive();
                    changes.push(path.tell(conn, PathChange::Alive));
                }
            }
            // A sender with a full congestion window asks nothing before its next probe, which can be seconds away.
            if !changes.is_empty() {
                ask_anew(&mut c.q, now);
            }
        }
        if ask {
            // All of them, to know soon whether another would do instead.
            for path in &mut paths.known {
                let _ = c.q.ping_path(path.id);
                if !path.watch.dead {
                    path.watch.asked_too(now);
                    path.heard = frames_heard(&mut c.q, path.id);
                }
            }
        }
        paths.ask_in_outage(&mut c.q, now);
        let waits = paths.outage.is_some();
        let dark = if waits { self.dark_paths(conn) } else { Vec::new() };
        let paths = self.conns.get(&conn).and_then(|c| c.paths.as_deref());
        over |= waits && paths.is_some_and(|paths| paths.proven(&dark));
        if over || !changes.is_empty() {
            if lost {
                // Told first, or the owner would move to one of them.
                let also = self.lose_likewise(conn, now);
                self.events.extend(also);
            }
            self.events.extend(changes.into_iter().flatten());
            self.heed_statuses(conn);
            self.rebalance(conn);
        }
        self.report(conn, now);
        self.let_paths_go(conn, now);
    }

    /// The direct path in use has died. Others of which nothing was heard since it was asked are dead with it, if
    /// the relay lives: one of them tried in vain is as long without traffic again. Answers may have been lost on the
    /// dead path; what is given up wrongly is found again by the next round of probes.
    fn lose_likewise(&mut self, conn: Id, now: Instant) -> Vec<Event> {
        let dark = self.dark_paths(conn);
        let Some(c) = self.conns.get_mut(&conn) else { return Vec::new() };
        let Some(paths) = c.paths.as_deref_mut() else { return Vec::new() };
        let relay = |p: &Path| p.is_virtual() && !p.watch.dead && !dark.contains(&p.id);
        if !paths.known.iter().any(relay) {
            return Vec::new();
        }
        let mut lost = Vec::new();
        for path in paths.known.iter_mut().filter(|p| !p.is_virtual()) {
            let silent = frames_heard(&mut c.q, path.id) == path.heard;
            if silent && path.watch.dies_too(now, &path.pulse.now()) {
                lost.extend(path.tell(conn, PathChange::Dead));
            }
        }
        lost
    }

    /// When the paths in use are dead, has another carry the data, and lets dead direct paths go. Only then
    /// noq sends again what was on its way there, and the peer hears that the path is no more; else it would
    /// go on acknowledging there. Without another path that is proven to live all stays as it is: the dead one could come
    /// back, and has a chance to when there was none for long. noq takes an acknowledgement that comes after an outage
    /// for a round trip, and gives up what was on its way on a closed path after three times that and more; a path that
    /// is back gets it through at once.
    pub(super) fn rebalance(&mut self, conn: Id) {
        let now = Instant::now();
        let dark = self.dark_paths(conn);
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut() else { return };
        let lives = |p: &&Path| !p.watch.dead && !dark.contains(&p.id);
        let is_proven = paths.proven(&dark);
        if is_proven {
            paths.end_outage(&mut c.q, now);
        } else if paths.outage.is_none() && paths.known.iter().any(|p| p.watch.dead) {
            paths.begin_outage(&mut c.q, now);
        }
        let living = || paths.known.iter().filter(lives);
        // A carrier that only seems to be gone is better than a path that is dead.
        let dim = || paths.known.iter().filter(|p| !p.watch.dead);
        let rank = |p: &&Path| (!p.is_virtual(), p.pulse.now().pto());
        let Some(best) = living().min_by_key(rank).or_else(|| dim().min_by_key(rank)) else { return };
        if !living().any(|p| is_available(&c.q, p.id)) {
            let _ = c.q.set_path_status(best.id, q::PathStatus::Available);
        }
        let mut lost = Vec::new();
        for path in paths.known.iter().filter(|p| p.watch.dead) {
            let _ = c.q.set_path_status(path.id, q::PathStatus::Backup);
            if is_proven && !path.is_virtual() && path.watch.is_lost() {
                lost.push(path.id);
            }
        }
        lost.into_iter().for_each(|id| c.close_path(id, CLOSED_AS_DEAD));
        self.mark(conn);
    }

    /// Virtual paths whose carrier is gone or stalled.
    fn dark_paths(&self, conn: Id) -> Vec<q::PathId> {
        let Some(paths) = self.conns.get(&conn).and_then(|c| c.paths.as_deref()) else { return Vec::new() };
        let dark = |p: &&Path| {
            let id = addr::virtual_id(&p.network.remote());
            let carrier = id.map(|id| self.virtual_paths.get(&id).and_then(|v| self.conns.get(&v.carrier)));
            carrier.is_some_and(|c| c.is_none_or(|c| !c.is_open() || c.stall.stalled))
        };
        paths.known.iter().filter(dark).map(|p| p.id).collect()
    }

    /// Path 0 begins at a virtual address and stays there. noq follows a client's packets wherever they come
    /// from, and a relay, which has them all, can send them from anywhere; noq cannot be led back.
    fn relayed_path_taken(&self, conn: Id) -> bool {
        let Some(c) = self.conns.get(&conn).filter(|c| c.paths.is_some()) else {
            return false;
        };
        c.q.network_path(q::PathId::ZERO).is_ok_and(|n| !addr::is_virtual(&n.remote()))
    }
}
