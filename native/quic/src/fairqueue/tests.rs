use std::collections::HashMap;

use super::*;

const MS: Duration = Duration::from_millis(1);
/// A link of 10 Mbit/s sends 1200 bytes in this time.
const SLOT: Duration = Duration::from_micros(960);

#[test]
fn one_sub_queue_is_first_in_first_out() {
    let (mut queue, now) = (queue(), Instant::now());
    for n in 0..10 {
        assert!(queue.enqueue(1, datagram(n, 100), now));
    }
    let order: Vec<u32> = drain(&mut queue, now).iter().map(|(_, n)| *n).collect();
    assert_eq!(order, (0..10).collect::<Vec<_>>());
    assert!(queue.is_empty() && queue.next_ready(now).is_none());
}

#[test]
fn turns_are_even_in_bytes_not_in_datagrams() {
    let (mut queue, now) = (queue(), Instant::now());
    for n in 0..1000 {
        queue.enqueue(1, datagram(n, 200), now);
        queue.enqueue(2, datagram(n, 1200), now);
    }
    let mut sent: HashMap<u32, usize> = HashMap::new();
    for _ in 0..500 {
        let (key, datagram) = queue.dequeue(now).expect("datagram");
        *sent.entry(key).or_default() += datagram.len();
    }
    let (small, large) = (sent[&1] as f64, sent[&2] as f64);
    assert!((small / large - 1.0).abs() < 0.05, "{small} {large}");
}

#[test]
fn a_modest_sender_keeps_its_rate_and_hardly_waits_beside_a_greedy_one() {
    let mut link = Link::new(FairQueueConfig::default(), SLOT);
    let modest = link.sender(1, 3 * MS); // 400 KB/s of 1,250
    let greedy = link.sender(2, MS * 3 / 10); // ten times that
    link.run(Duration::from_secs(10));
    assert!(link.delivered(modest) >= 0.9, "{}", link.delivered(modest));
    assert!(link.worst_wait(modest) < 20 * MS, "{:?}", link.worst_wait(modest));
    assert_eq!(link.queue.drops(1), Drops::default());
    assert!(link.queue.drops(2).total() > 0);
    assert!(link.utilisation() > 0.99, "{}", link.utilisation());
    assert!(link.delivered(greedy) > 0.15, "the rest goes to the greedy one");
}

#[test]
fn a_modest_sender_hardly_waits_beside_many_greedy_ones() {
    let mut link = Link::new(FairQueueConfig::default(), SLOT);
    let modest = link.sender(1, 20 * MS);
    for key in 2..12 {
        link.sender(key, 2 * MS);
    }
    link.run(Duration::from_secs(10));
    assert!(link.delivered(modest) >= 0.99, "{}", link.delivered(modest));
    assert!(link.worst_wait(modest) < 4 * MS, "{:?}", link.worst_wait(modest));
}

#[test]
fn a_standing_queue_is_kept_short_by_codel() {
    let config = FairQueueConfig { max_queue_bytes: 8 << 20, max_total_bytes: 8 << 20, ..Default::default() };
    let mut link = Link::new(config, SLOT);
    let sender = link.sender(1, SLOT * 9 / 10); // 11 % too much
    link.run(Duration::from_secs(20));
    let drops = link.queue.drops(1);
    assert_eq!((drops.queue, drops.rate), (0, 0));
    assert!(drops.codel > 1000, "{drops:?}");
    let wait = link.mean_wait_of_last(sender, 2000);
    assert!(wait < 60 * MS, "{wait:?}; without CoDel it is two seconds");
    assert!(link.utilisation() > 0.99);
}

#[test]
fn bursts_shorter_than_an_interval_lose_nothing() {
    let mut link = Link::new(FairQueueConfig::default(), SLOT);
    for second in 0..10u32 {
        for n in 0..60 {
            link.offer(1, n, Duration::from_secs(1) * second);
        }
        link.run(Duration::from_secs(1));
    }
    assert_eq!(link.queue.drops(1), Drops::default());
}

#[test]
fn a_full_sub_queue_refuses_and_the_longest_gives_way_to_others() {
    let config = FairQueueConfig { max_queue_bytes: 50_000, max_total_bytes: 100_000, ..Default::default() };
    let (mut queue, now) = (FairQueue::new(config), Instant::now());
    let accepted = (0..100).filter(|n| queue.enqueue(1, datagram(*n, 1000), now)).count();
    assert_eq!((accepted, queue.drops(1).queue), (50, 50));
    for key in 2..20 {
        for n in 0..10 {
            assert!(queue.enqueue(key, datagram(n, 1000), now), "short ones are let in");
        }
    }
    assert!(queue.drops(1).queue > 50, "the longest lost from its front");
    assert!((2..20).all(|key| queue.queued_bytes(key) > 0));
    let total: usize = (1..20).map(|key| queue.queued_bytes(key)).sum();
    assert!(total <= 100_000 && total > 50_000, "{total}");
    let kept: Vec<u32> =
        drain(&mut queue, now).iter().filter(|(key, _)| *key == 1).map(|(_, n)| *n).collect();
    assert_eq!(kept.last(), Some(&49), "the freshest are kept");
}

#[test]
fn empty_datagrams_take_room_too() {
    let (mut queue, now) = (queue(), Instant::now());
    let accepted = (0..100_000).filter(|_| queue.enqueue(1, Bytes::new(), now)).count();
    assert_eq!(accepted, (256 << 10) / MIN_COST);
}

#[test]
fn a_rate_limit_shapes_one_sub_queue_and_leaves_others_alone() {
    let mut link = Link::new(FairQueueConfig::default(), SLOT);
    link.queue.set_rate_and_burst(1, 100_000, 12_000);
    let limited = link.sender(1, 4 * MS); // 300 KB/s
    let free = link.sender(2, 2 * MS);
    link.run(Duration::from_secs(10));
    let sent = link.sent(limited) * 1200;
    assert!((990_000..=1_013_200).contains(&sent), "{sent}");
    assert!(link.delivered(free) > 0.99);
}

#[test]
fn an_idle_rate_limited_sub_queue_may_burst_once() {
    let (mut queue, now) = (queue(), Instant::now());
    queue.set_rate_and_burst(1, 10_000, 5_000);
    for n in 0..20 {
        queue.enqueue(1, datagram(n, 1000), now);
    }
    let burst = std::iter::from_fn(|| queue.dequeue(now)).count();
    assert!((5..=6).contains(&burst), "{burst}");
    let at = queue.next_ready(now).expect("waits");
    assert!(at > now && at <= now + 101 * MS, "{:?}", at - now);
    assert!(queue.dequeue(at - MS).is_none());
    assert!(queue.dequeue(at).is_some());
    assert!(queue.dequeue(at).is_none());
}

#[test]
fn what_does_not_fit_while_throttled_counts_as_rate() {
    let config = FairQueueConfig { max_queue_bytes: 10_000, ..Default::default() };
    let (mut queue, now) = (FairQueue::new(config), Instant::now());
    queue.set_rate_and_burst(1, 1, 1000);
    for n in 0..10 {
        queue.enqueue(1, datagram(n, 1000), now);
    }
    while queue.dequeue(now).is_some() {}
    while queue.enqueue(1, datagram(0, 1000), now) {}
    assert_eq!((queue.drops(1).rate, queue.drops(1).queue), (1, 0));
}

#[test]
fn a_lifted_limit_lets_go_at_once() {
    let (mut queue, now) = (queue(), Instant::now());
    queue.set_rate_and_burst(1, 1, 1);
    for n in 0..5 {
        queue.enqueue(1, datagram(n, 1000), now);
    }
    assert_eq!(std::iter::from_fn(|| queue.dequeue(now)).count(), 1);
    assert!(queue.next_ready(now).expect("waits") > now);
    queue.set_rate(1, None);
    assert_eq!(queue.next_ready(now), Some(now));
    assert_eq!(drain(&mut queue, now).len(), 4);
}

#[test]
fn nothing_is_dropped_under_back_pressure() {
    let config = FairQueueConfig { max_total_bytes: 50_000, ..Default::default() };
    let (mut queue, start) = (FairQueue::new(config), Instant::now());
    queue.set_back_pressured(1);
    for n in 0..100 {
        assert!(queue.enqueue(1, datagram(n, 1000), start));
        queue.enqueue(2, datagram(n, 1000), start);
    }
    let mut now = start;
    while !queue.is_empty() {
        queue.dequeue(now);
        now += 20 * MS;
    }
    assert_eq!(queue.drops(1), Drops::default());
    assert!(queue.drops(2).queue > 0);
    while queue.enqueue(1, datagram(0, 1000), now) {}
    assert!(queue.queued_bytes(1) <= 1 << 20, "bounded all the same");
}

#[test]
fn a_removed_sub_queue_is_gone_at_once() {
    let (mut queue, now) = (queue(), Instant::now());
    queue.set_rate_and_burst(3, 1, 1);
    for key in [1, 2, 3] {
        for n in 0..3 {
            queue.enqueue(key, datagram(n, 1000), now);
        }
    }
    assert_eq!(queue.dequeue(now).map(|(key, _)| key), Some(1));
    assert_eq!((queue.remove(1), queue.remove(3), queue.remove(9)), (2, 3, 0));
    assert_eq!(queue.queued_bytes(1), 0);
    assert!(drain(&mut queue, now).iter().all(|(key, _)| *key == 2));
    assert!(queue.is_empty() && queue.next_ready(now).is_none());
    assert!(queue.enqueue(1, datagram(7, 1000), now));
    assert_eq!(drain(&mut queue, now), [(1, 7)]);
}

#[test]
fn places_of_removed_sub_queues_do_not_pile_up() {
    let (mut queue, now) = (queue(), Instant::now());
    for n in 0..10_000 {
        queue.enqueue(n, datagram(0, 100), now);
        queue.remove(n);
    }
    assert_eq!(queue.fresh.len() + queue.turns.len() + queue.throttled.len() + queue.subs.len(), 0);
}

/// Random operations: nothing is lost, invented, reordered, or counted wrongly.
#[test]
fn random_operations_keep_the_books() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let config =
            FairQueueConfig { max_queue_bytes: 20_000, max_total_bytes: 60_000, ..Default::default() };
        let mut queue = FairQueue::new(config);
        let mut now = Instant::now();
        let (mut accepted, mut refused, mut sent, mut removed) = (0u64, 0u64, 0u64, 0u64);
        let mut last_sent: HashMap<u32, u32> = HashMap::new();
        for n in 0..20_000u32 {
            now += Duration::from_micros(random.below(300));
            let key = random.below(8) as u32;
            match random.below(100) {
                0..55 => match queue.enqueue(key, datagram(n, random.below(1400) as usize + 4), now) {
                    true => accepted += 1,
                    false => refused += 1,
                },
                55..96 => {
                    if let Some((key, datagram)) = queue.dequeue(now) {
                        sent += 1;
                        let before = last_sent.insert(key, number(&datagram));
                        assert!(before < Some(number(&datagram)), "seed {seed}");
                    }
                }
                96 => removed += queue.remove(key) as u64,
                97 => queue.set_back_pressured(key),
                98 => queue.set_rate(key, Some(random.below(2_000_000))),
                _ => queue.set_rate(key, None),
            }
            let shared: usize =
                queue.subs.values().filter(|sub| !sub.back_pressured).map(|sub| sub.bytes).sum();
            assert_eq!(shared, queue.shared_bytes, "seed {seed}");
            assert!(shared <= 60_000, "seed {seed}");
            assert_eq!(queue.next_ready(now).is_none(), queue.is_empty(), "seed {seed}");
        }
        let drops = queue.total_drops().total();
        assert_eq!(accepted + refused, sent + removed + drops + queue.len() as u64, "seed {seed}");
        (0..8).for_each(|key| queue.set_rate(key, None));
        let waiting = queue.len() as u64;
        let late = queue.total_drops().total();
        let drained = drain(&mut queue, now).len() as u64;
        assert_eq!(waiting, drained + queue.total_drops().total() - late, "seed {seed}");
        assert!(queue.is_empty(), "seed {seed}");
    }
}

/// A link in virtual time behind a queue, and senders of 1200-byte datagrams at even intervals.
struct Link {
    queue: FairQueue,
    start: Instant,
    now: Instant,
    slot: Duration,
    slots_used: u32,
    senders: Vec<Sender>,
    offered_at: HashMap<(u32, u32), Instant>,
    waits: HashMap<u32, Vec<Duration>>,
}

struct Sender {
    key: u32,
    every: Duration,
    next: Instant,
    offered: u32,
}

impl Link {
    fn new(config: FairQueueConfig, slot: Duration) -> Self {
        let start = Instant::now();
        Self {
            queue: FairQueue::new(config),
            start,
            now: start,
            slot,
            slots_used: 0,
            senders: Vec::new(),
            offered_at: HashMap::new(),
            waits: HashMap::new(),
        }
    }

    fn sender(&mut self, key: u32, every: Duration) -> u32 {
        self.senders.push(Sender { key, every, next: self.now, offered: 0 });
        key
    }

    fn offer(&mut self, key: u32, n: u32, after: Duration) {
        let at = self.start + after;
        self.offered_at.insert((key, n), at);
        self.queue.enqueue(key, datagram(n, 1200), at);
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for sender in &mut self.senders {
                while sender.next <= self.now {
                    self.offered_at.insert((sender.key, sender.offered), sender.next);
                    self.queue.enqueue(sender.key, datagram(sender.offered, 1200), sender.next);
                    sender.offered += 1;
                    sender.next += sender.every;
                }
            }
            if let Some((key, datagram)) = self.queue.dequeue(self.now) {
                let offered = self.offered_at[&(key, number(&datagram))];
                self.waits.entry(key).or_default().push(self.now - offered);
                self.slots_used += 1;
            }
            self.now += self.slot;
        }
    }

    fn sent(&self, key: u32) -> usize {
        self.waits.get(&key).map_or(0, Vec::len)
    }

    fn delivered(&self, key: u32) -> f64 {
        let sender = self.senders.iter().find(|sender| sender.key == key).expect("sender");
        self.sent(key) as f64 / f64::from(sender.offered)
    }

    fn worst_wait(&self, key: u32) -> Duration {
        self.waits[&key].iter().copied().max().expect("sent")
    }

    fn mean_wait_of_last(&self, key: u32, n: usize) -> Duration {
        self.waits[&key].iter().rev().take(n).sum::<Duration>() / n as u32
    }

    fn utilisation(&self) -> f64 {
        (self.slot * self.slots_used).as_secs_f64() / (self.now - self.start).as_secs_f64()
    }
}

fn queue() -> FairQueue {
    FairQueue::new(FairQueueConfig::default())
}

fn drain(queue: &mut FairQueue, now: Instant) -> Vec<(u32, u32)> {
    std::iter::from_fn(|| queue.dequeue(now)).map(|(key, datagram)| (key, number(&datagram))).collect()
}

/// A datagram of `len` bytes, at least 4, that carries a number.
fn datagram(n: u32, len: usize) -> Bytes {
    let mut bytes = vec![0; len];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    bytes.into()
}

fn number(datagram: &Bytes) -> u32 {
    u32::from_be_bytes(datagram[..4].try_into().expect("four bytes"))
}

/// SplitMix64: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % limit
    }
}
