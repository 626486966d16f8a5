//! Signs of life of one path. noq tells them to nobody but the path's congestion controller, so one is
//! wrapped: it decides nothing of its own and notes what goes by.

use super::watch::MIN_SILENCE;
use noq_proto as q;
use noq_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};
use parking_lot::Mutex;
use std::any::Any;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a peer may wait before it acknowledges (RFC 9000 §18.2, the default, which we keep).
pub(super) const MAX_ACK_DELAY: Duration = Duration::from_millis(25);
const GRANULARITY: Duration = Duration::from_millis(1);

/// What is known of a path at a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Beat {
    /// Since when an acknowledgement is due. May stand although nothing is owed any more: ask before
    /// drawing conclusions.
    pub(crate) waiting_since: Option<Instant>,
    /// Acknowledgements so far of packets sent on this path, whatever path they came back on.
    pub(crate) answers: u64,
    pub(crate) rtt: Option<Rtt>,
    pub(crate) mtu: u16,
    /// An acknowledgement came that was lost at first, or held up. noq takes it for a round trip.
    pub(crate) late: bool,
}

/// Round trips as acknowledgements show them (RFC 6298), the peer's delay included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rtt {
    pub(crate) min: Duration,
    smoothed: Duration,
    variation: Duration,
}

impl Rtt {
    pub(crate) fn of(sample: Duration) -> Self {
        Self { min: sample, smoothed: sample, variation: sample / 2 }
    }

    fn update(self, sample: Duration) -> Self {
        Self {
            min: self.min.min(sample),
            smoothed: (self.smoothed * 7 + sample) / 8,
            variation: (self.variation * 3 + self.smoothed.abs_diff(sample)) / 4,
        }
    }

    /// A round trip that takes longer is none: that long a path in use is not even taken for alive.
    fn limit(self) -> Duration {
        (self.pto() * 3).max(MIN_SILENCE)
    }

    /// Whether another reckoning has gone wrong by far.
    pub(crate) fn contradicts(self, other: Duration) -> bool {
        other > self.smoothed * 4 + Duration::from_millis(100)
    }

    fn pto(self) -> Duration {
        self.smoothed + (self.variation * 4).max(GRANULARITY) + MAX_ACK_DELAY
    }
}

impl Beat {
    fn add(&mut self, sample: Duration) {
        let limit = self.rtt.map_or(sample, Rtt::limit);
        self.late |= sample > limit;
        self.rtt = Some(self.rtt.map_or(Rtt::of(sample), |r| r.update(sample.min(limit))));
    }

    /// Probe timeout (RFC 9002 §6.2.1).
    pub(crate) fn pto(&self) -> Duration {
        self.rtt.map_or(Duration::from_millis(325), Rtt::pto)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Pulse(Mutex<Beat>);

impl Pulse {
    pub(crate) fn now(&self) -> Beat {
        *self.0.lock()
    }

    /// What a late acknowledgement did is undone.
    pub(crate) fn forgive(&self) {
        self.0.lock().late = false;
    }

    /// The pulse of a path; none when its connection was made without.
    pub(crate) fn of(conn: &q::Connection, path: q::PathId) -> Option<Arc<Self>> {
        let controller = conn.congestion_state(path)?.clone_box().into_any();
        controller.downcast::<Watched>().ok().map(|w| w.pulse)
    }
}

/// Makes controllers that are watched.
pub(crate) struct WatchedFactory(pub(crate) Arc<dyn ControllerFactory + Send + Sync>);

impl ControllerFactory for WatchedFactory {
    fn build(self: Arc<Self>, now: Instant, mtu: u16) -> Box<dyn Controller> {
        let pulse = Arc::new(Pulse(Mutex::new(Beat { mtu, ..Beat::default() })));
        let inner = self.0.clone().build(now, mtu);
        Box::new(Watched { inner, pulse, waiting: false, acked: None })
    }
}

#[derive(Debug)]
struct Watched {
    inner: Box<dyn Controller>,
    pulse: Arc<Pulse>,
    /// As the pulse says; spares a lock for each packet.
    waiting: bool,
    /// When the last packet was sent that the present acknowledgement names.
    acked: Option<Instant>,
}

impl Controller for Watched {
    fn on_packet_sent(&mut self, now: Instant, bytes: u16, pn: u64) {
        if !self.waiting {
            self.waiting = true;
            self.pulse.0.lock().waiting_since = Some(now);
        }
        self.inner.on_packet_sent(now, bytes, pn);
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        pn: u64,
        app_limited: bool,
        rtt: &q::RttEstimator,
    ) {
        self.acked = Some(sent);
        self.inner.on_ack(now, sent, bytes, pn, app_limited, rtt);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, app_limited: bool, largest: Option<u64>) {
        self.waiting = in_flight > 0;
        {
            let mut beat = self.pulse.0.lock();
            beat.answers += 1;
            beat.waiting_since = self.waiting.then_some(now);
            if let Some(sent) = self.acked.take() {
                beat.add(now.saturating_duration_since(sent));
            }
        }
        self.inner.on_end_acks(now, in_flight, app_limited, largest);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.pulse.0.lock().mtu = new_mtu;
        self.inner.on_mtu_update(new_mtu);
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        let (inner, pulse) = (self.inner.clone_box(), self.pulse.clone());
        Box::new(Self { inner, pulse, waiting: self.waiting, acked: self.acked })
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }

    fn on_sent(&mut self, now: Instant, bytes: u64, largest_pn: u64) {
        self.inner.on_sent(now, bytes, largest_pn);
    }

    fn on_cwnd_limited(&mut self) {
        self.inner.on_cwnd_limited();
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        persistent: bool,
        is_ecn: bool,
        lost_bytes: u64,
        largest_lost_pn: u64,
    ) {
        // Timers that are had run out before their time have congestion in the future, and growth would wait for that.
        let now = now.min(Instant::now());
        self.inner.on_congestion_event(now, sent, persistent, is_ecn, lost_bytes, largest_lost_pn);
    }

    fn on_packet_lost(&mut self, lost_bytes: u16, pn: u64, now: Instant) {
        self.inner.on_packet_lost(lost_bytes, pn, now);
    }

    fn on_spurious_congestion_event(&mut self) {
        self.inner.on_spurious_congestion_event();
    }

    fn on_ack_frequency_update(&mut self, threshold: u64, delay: Duration) {
        self.inner.on_ack_frequency_update(threshold, delay);
    }

    fn window(&self) -> u64 {
        self.inner.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.inner.metrics()
    }

    fn initial_window(&self) -> u64 {
        self.inner.initial_window()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watched(now: Instant) -> (Box<dyn Controller>, Arc<Pulse>) {
        let factory = Arc::new(WatchedFactory(Arc::new(q::congestion::NewRenoConfig::default())));
        let controller = factory.build(now, 1200);
        let pulse = controller.clone_box().into_any().downcast::<Watched>().expect("watched").pulse;
        (controller, pulse)
    }

    #[test]
    fn waiting_begins_with_the_first_packet_and_ends_when_nothing_is_in_flight() {
        let t = Instant::now();
        let at = |ms| t + Duration::from_millis(ms);
        let (mut c, pulse) = watched(t);
        assert_eq!(pulse.now().waiting_since, None);
        c.on_packet_sent(at(1), 1200, 0);
        c.on_packet_sent(at(2), 1200, 1);
        assert_eq!(pulse.now().waiting_since, Some(at(1)));
        c.on_end_acks(at(5), 1200, false, Some(0));
        assert_eq!((pulse.now().waiting_since, pulse.now().answers), (Some(at(5)), 1));
        c.on_end_acks(at(6), 0, false, Some(1));
        assert_eq!((pulse.now().waiting_since, pulse.now().answers), (None, 2));
        c.on_mtu_update(1400);
        assert_eq!(pulse.now().mtu, 1400);
    }

    #[test]
    fn an_acknowledgement_that_comes_far_too_late_is_no_round_trip() {
        let ms = Duration::from_millis;
        let mut beat = Beat::default();
        (0..10).for_each(|_| beat.add(ms(20)));
        assert!(!beat.late);
        beat.add(ms(45_000));
        assert!(beat.late && beat.pto() < ms(500), "{:?}", beat.pto());
        // A path that has become slow is believed, step by step.
        (0..30).for_each(|_| beat.add(ms(1_000)));
        assert!(beat.pto() > ms(1_000), "{:?}", beat.pto());
    }

    #[test]
    fn the_probe_timeout_follows_the_round_trips() {
        let ms = Duration::from_millis;
        let steady = (0..50).fold(Rtt::of(ms(40)), |r, _| r.update(ms(40)));
        assert!(steady.pto() < ms(70) && steady.pto() > ms(64), "{:?}", steady.pto());
        let shaky = (0..50u64).fold(Rtt::of(ms(40)), |r, i| r.update(ms(20 + i % 2 * 40)));
        assert!(shaky.pto() > ms(120) && shaky.min == ms(20), "{shaky:?}");
    }
}
