//! Tells when a path has died: nothing is acknowledged although something must be. Before it says so it has
//! the path asked, so that a wait that is over in truth does no harm.

use super::pulse::Beat;
use std::time::{Duration, Instant};

/// A path in use is not dead before this, nor before three probe timeouts. One at rest has longer; one that
/// the peer has left needs to be silent for one probe timeout, or a third of this.
pub(crate) const MIN_SILENCE: Duration = Duration::from_millis(300);

/// What a look at a path showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Finding {
    Nothing,
    /// Have the peer acknowledge something on this path now.
    Ask,
    Dead,
    /// A dead path has answered.
    Alive,
    /// A dead path had another chance, and did not take it.
    Over,
}

#[derive(Debug)]
pub(crate) struct Watch {
    min_silence: Duration,
    seen: u64,
    /// Since the last answer, when the path was asked.
    asked: Option<Instant>,
    /// Since the last answer, when it was asked because another path was.
    asked_too: Option<Instant>,
    /// Since when the peer says by the path's status that it has left it.
    accused: Option<Instant>,
    /// Dead, but may be back: since when it has another chance, and whether it was asked again.
    chance: Option<(Instant, bool)>,
    pub(crate) dead: bool,
}

impl Watch {
    pub(crate) fn new(min_silence: Duration) -> Self {
        Self { min_silence, seen: 0, asked: None, asked_too: None, accused: None, chance: None, dead: false }
    }

    /// Something was heard on a dead path: it has another chance.
    pub(crate) fn revive(&mut self) {
        *self = Self { seen: self.seen, ..Self::new(self.min_silence) };
    }

    /// The peer has left the path, and we have not.
    pub(crate) fn accuse(&mut self, now: Instant) {
        self.accused.get_or_insert(now);
    }

    pub(crate) fn look(&mut self, now: Instant, beat: &Beat, in_use: bool) -> Finding {
        if beat.answers != self.seen {
            let was_dead = self.dead;
            *self = Self { seen: beat.answers, ..Self::new(self.min_silence) };
            return if was_dead { Finding::Alive } else { Finding::Nothing };
        }
        if self.deadline(beat, in_use).is_none_or(|at| now < at) {
            return Finding::Nothing;
        }
        if let Some((since, asked)) = self.chance {
            self.chance = (!asked).then_some((since, true));
            return if asked { Finding::Over } else { Finding::Ask };
        }
        if self.asked.is_none() {
            self.asked = Some(now);
            return Finding::Ask;
        }
        self.dead = true;
        Finding::Dead
    }

    /// It lives, and has answered since it was asked last.
    pub(crate) fn is_proven(&self) -> bool {
        !self.dead && self.asked.is_none() && self.asked_too.is_none()
    }

    /// There was no path for long, and another one lives again: so may this one. It is being asked.
    pub(crate) fn give_chance(&mut self, now: Instant) {
        self.chance.get_or_insert((now, false));
    }

    /// Dead, with no chance left.
    pub(crate) fn is_lost(&self) -> bool {
        self.dead && self.chance.is_none()
    }

    /// The path has been asked together with another one.
    pub(crate) fn asked_too(&mut self, now: Instant) {
        self.asked_too = Some(now);
    }

    /// A path in use has died. One at rest that was asked together with it, and has been silent since, shares its
    /// fate: most paths between two hosts go the same way. True when it is dead now and was not.
    pub(crate) fn dies_too(&mut self, now: Instant, beat: &Beat) -> bool {
        let patience = beat.pto().max(self.min_silence / 3);
        let dies = !self.dead && self.asked_too.is_some_and(|at| now >= at + patience);
        self.dead |= dies;
        dies
    }

    /// When to look again.
    pub(crate) fn deadline(&self, beat: &Beat, in_use: bool) -> Option<Instant> {
        if self.dead {
            let patience = self.min_silence.max(beat.pto() * 3);
            return self.chance.map(|(since, asked)| since + if asked { patience } else { patience / 2 });
        }
        if let Some(accused) = self.accused {
            return Some(self.asked.map_or(accused, |at| at + beat.pto().max(self.min_silence / 3)));
        }
        let since = beat.waiting_since?;
        let silence = match in_use {
            true => self.min_silence.max(beat.pto() * 3),
            false => (self.min_silence * 3).max(beat.pto() * 6),
        };
        // The answer to our question has half of the time, also when we looked late.
        Some(self.asked.map_or(since + silence / 2, |at| (since + silence).max(at + silence / 2)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: Finding = Finding::Nothing;

    fn beat(waiting_since: Option<Instant>, answers: u64) -> Beat {
        let short = super::super::pulse::Rtt::of(Duration::from_millis(1));
        Beat { waiting_since, answers, rtt: Some(short), mtu: 1200, late: false }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn a_path_is_asked_at_half_time_and_dead_at_the_end() {
        let t = Instant::now();
        let mut w = Watch::new(MIN_SILENCE);
        let waiting = beat(Some(t), 0);
        assert_eq!(w.look(t + ms(149), &waiting, true), NO);
        assert_eq!(w.look(t + ms(150), &waiting, true), Finding::Ask);
        assert_eq!(w.look(t + ms(299), &waiting, true), NO);
        assert_eq!(w.look(t + ms(300), &waiting, true), Finding::Dead);
        assert_eq!(w.deadline(&waiting, true), None);
        assert_eq!(w.look(t + ms(900), &waiting, true), NO, "it is told once");
        assert_eq!(w.look(t + ms(901), &beat(None, 1), true), Finding::Alive);
        assert!(!w.dead);
    }

    #[test]
    fn an_answer_clears_all_suspicion() {
        let t = Instant::now();
        let mut w = Watch::new(MIN_SILENCE);
        assert_eq!(w.look(t + ms(150), &beat(Some(t), 0), true), Finding::Ask);
        assert_eq!(w.look(t + ms(160), &beat(None, 1), true), NO);
        assert_eq!(w.look(t + ms(900), &beat(None, 1), true), NO);
        let later = beat(Some(t + ms(900)), 1);
        assert_eq!(w.look(t + ms(1000), &later, true), NO);
        assert_eq!(w.look(t + ms(1050), &later, true), Finding::Ask);
    }

    #[test]
    fn a_look_that_comes_late_asks_first() {
        let t = Instant::now();
        let mut w = Watch::new(MIN_SILENCE);
        let waiting = beat(Some(t), 0);
        assert_eq!(w.look(t + ms(60_000), &waiting, true), Finding::Ask);
        assert_eq!(w.look(t + ms(60_149), &waiting, true), NO);
        assert_eq!(w.look(t + ms(60_150), &waiting, true), Finding::Dead);
    }

    #[test]
    fn a_resting_path_dies_with_the_one_in_use_unless_it_has_answered() {
        let t = Instant::now();
        let (mut silent, mut answering) = (Watch::new(MIN_SILENCE), Watch::new(MIN_SILENCE));
        let idle = beat(None, 0);
        assert!(!silent.dies_too(t + ms(300), &idle), "nobody has asked it");
        for watch in [&mut silent, &mut answering] {
            watch.asked_too(t + ms(150));
        }
        assert_eq!(answering.look(t + ms(160), &beat(None, 1), false), NO);
        let waiting = beat(Some(t + ms(150)), 0);
        assert_eq!(silent.look(t + ms(249), &waiting, false), NO);
        assert!(!silent.dies_too(t + ms(249), &waiting), "it has had no time to answer");
        assert!(silent.dies_too(t + ms(300), &waiting));
        assert!(!silent.dies_too(t + ms(301), &waiting), "it is told once");
        assert!(!answering.dies_too(t + ms(300), &beat(None, 1)));
    }

    #[test]
    fn a_dead_path_with_a_chance_is_asked_twice_and_is_alive_or_lost() {
        let t = Instant::now();
        let waiting = beat(Some(t), 0);
        let mut w = Watch::new(MIN_SILENCE);
        w.look(t + ms(150), &waiting, true);
        assert_eq!(w.look(t + ms(300), &waiting, true), Finding::Dead);
        assert!(w.is_lost());
        w.give_chance(t + ms(9_000));
        w.give_chance(t + ms(9_100));
        assert!(!w.is_lost());
        assert_eq!(w.look(t + ms(9_149), &waiting, true), NO);
        assert_eq!(w.look(t + ms(9_150), &waiting, true), Finding::Ask);
        assert_eq!(w.look(t + ms(9_299), &waiting, true), NO);
        assert_eq!(w.look(t + ms(9_300), &waiting, true), Finding::Over);
        assert!(w.is_lost());
        assert_eq!(w.deadline(&waiting, true), None);
        w.give_chance(t + ms(10_000));
        assert_eq!(w.look(t + ms(10_001), &beat(None, 1), true), Finding::Alive);
        assert!(w.is_proven());
    }

    #[test]
    fn a_path_is_proven_by_an_answer_after_the_question() {
        let t = Instant::now();
        let mut w = Watch::new(MIN_SILENCE);
        assert!(w.is_proven());
        w.asked_too(t);
        assert!(!w.is_proven());
        w.look(t + ms(10), &beat(None, 1), false);
        assert!(w.is_proven());
    }

    #[test]
    fn a_resting_path_has_longer_and_one_that_the_peer_left_shorter() {
        let t = Instant::now();
        let waiting = beat(Some(t), 0);
        let mut resting = Watch::new(MIN_SILENCE);
        assert_eq!(resting.deadline(&waiting, false), Some(t + ms(450)));
        let mut accused = Watch::new(MIN_SILENCE);
        accused.accuse(t);
        let idle = beat(None, 0);
        assert_eq!(accused.look(t, &idle, true), Finding::Ask);
        assert_eq!(accused.look(t + ms(99), &idle, true), NO);
        assert_eq!(accused.look(t + ms(100), &idle, true), Finding::Dead);
        assert_eq!(resting.look(t + ms(450), &waiting, false), Finding::Ask);
    }
}
