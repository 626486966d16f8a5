//! What a peer does with the paths: it moves, gives them statuses, shows candidates. Its owner hears of it, not too often.

use super::addr;
use super::core::Engine;
use super::direct_filter::Rate;
use super::path_info::{PathChange, path_number};
use super::paths::{DIRECT_IDLE, Path};
use super::pulse::Pulse;
use super::types::{Event, Id};
use noq_proto as q;
use std::time::{Duration, Instant};

/// A peer can make candidates, statuses and addresses change at will; the owner hears of it at most so often.
const REPORT_INTERVAL: Duration = Duration::from_millis(100);
/// Paths of which the owner hears at once. A peer can open and close them at will; of one that is closed before its
/// turn comes the owner never hears.
pub(super) const OPENINGS: Rate = Rate { burst: 16.0, per_second: 1.0 };

impl Path {
    /// What the owner is to hear of the path, if it knows of it.
    pub(super) fn tell(&self, conn: Id, change: PathChange) -> Option<Event> {
        let remote = self.network.remote();
        self.announced.then(|| Event::Path {
            conn,
            path: path_number(self.id),
            is_virtual: addr::is_virtual(&remote),
            remote: addr::unmap(remote),
            local: self.network.local_ip().map(|ip| ip.to_canonical()),
            change,
        })
    }
}

impl Engine {
    /// noq has no event for a peer that sends from another address now.
    pub(super) fn notice_moves(&mut self, conn: Id) {
        let now = Instant::now();
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut() else { return };
        for path in &mut paths.known {
            let Ok(network) = c.q.network_path(path.id) else { continue };
            if network == path.network {
                continue;
            }
            let before = std::mem::replace(&mut path.network, network).remote();
            // noq begins anew, with another congestion controller, also when only our own address is another.
            path.pulse = Pulse::of(&c.q, path.id).unwrap_or_else(|| path.pulse.clone());
            if network.remote() != before {
                paths.budget.follow(&mut c.q, path.id, before, network.remote());
                paths.moved = true;
                let idle = (path.id != q::PathId::ZERO).then_some(DIRECT_IDLE);
                let _ = c.q.set_path_max_idle_timeout(now, path.id, idle);
            }
        }
    }

    /// Tells the owner what the peer has told, not too often.
    pub(super) fn report(&mut self, conn: Id, now: Instant) {
        let Some(c) = self.conns.get_mut(&conn) else { return };
        let Some(paths) = c.paths.as_deref_mut() else { return };
        if paths.report_due().is_none_or(|at| at > now) {
            return;
        }
        paths.next_report = now + REPORT_INTERVAL;
        if std::mem::take(&mut paths.opened) {
            for path in paths.known.iter_mut().filter(|p| !p.announced) {
                path.announced = paths.openings.take_one(OPENINGS, now);
                paths.opened |= !path.announced;
                paths.status_changed |= path.announced;
                path.told_remote = path.network.remote();
                let backup = c.q.path_status(path.id) == Ok(q::PathStatus::Backup);
                self.events.extend(path.tell(conn, PathChange::Opened { backup }));
                self.events.extend(path.tell(conn, PathChange::Dead).filter(|_| path.watch.dead));
            }
        }
        if std::mem::take(&mut paths.status_changed) {
            for path in paths.known.iter_mut().filter(|p| p.announced) {
                let told = c.q.remote_path_status(path.id);
                if told != path.told {
                    path.told = told;
                    let backup = told == Some(q::PathStatus::Backup);
                    self.events.extend(path.tell(conn, PathChange::Status { backup }));
                }
            }
        }
        if std::mem::take(&mut paths.moved) {
            for path in paths.known.iter_mut().filter(|p| p.told_remote != p.network.remote()) {
                path.told_remote = path.network.remote();
                self.events.extend(path.tell(conn, PathChange::Moved));
            }
        }
        if std::mem::take(&mut paths.candidates_changed)
            && let Ok(addresses) = c.q.get_remote_nat_traversal_addresses()
        {
            let mut addresses = self.permitted(addresses);
            addresses.sort_unstable();
            addresses.dedup();
            self.events.push(Event::Candidates { conn, addresses });
        }
    }
}
