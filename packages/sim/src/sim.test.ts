import { describe, expect, it } from 'vitest';
import { PERFECT, SimNetwork } from './network.ts';
import { Rng } from './rng.ts';
import { VirtualTime } from './time.ts';

describe('Rng', () => {
  it('gives the same numbers for the same seed and others for another', () => {
    const numbers = (seed: number) =>
      Array.from(
        { length: 8 },
        (
          (rng) => () =>
            rng.uint32()
        )(new Rng(seed)),
      );
    expect(numbers(7)).toEqual(numbers(7));
    expect(numbers(7)).not.toEqual(numbers(8));
  });

  it('spreads evenly enough over a small range', () => {
    const rng = new Rng(1);
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 40_000; i++) counts[rng.int(4)] = (counts[rng.int(4)] ?? 0) + 1;
    for (const count of counts) expect(count).toBeGreaterThan(0);
    let sum = 0;
    for (let i = 0; i < 40_000; i++) sum += rng.next();
    expect(sum / 40_000).toBeCloseTo(0.5, 1);
  });
});

describe('VirtualTime', () => {
  it('runs events in order of time, and of booking within one instant', () => {
    const time = new VirtualTime(100);
    const seen: string[] = [];
    time.after(20, () => seen.push('c'));
    time.after(10, () => seen.push('a'));
    time.after(10, () => seen.push('b'));
    time.after(5, () => seen.push('never'))();
    time.run(15);
    expect(seen).toEqual(['a', 'b']);
    expect(time.now).toBe(115);
    time.run(5);
    expect(seen).toEqual(['a', 'b', 'c']);
  });

  it('keeps a thousand shuffled events in order', () => {
    const rng = new Rng(3);
    const time = new VirtualTime();
    const seen: number[] = [];
    for (let i = 0; i < 1000; i++) {
      const at = rng.int(500);
      time.at(at, () => seen.push(at));
    }
    time.run(500);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(seen).toHaveLength(1000);
  });
});

describe('SimNetwork', () => {
  it('delivers after the latency, and nothing to nodes that are dead or cut off', () => {
    const { time, network, received } = arrange();
    network.send('a', 'b', 1);
    time.run(9);
    expect(received).toEqual([]);
    time.run(1);
    network.partition('b', 'a');
    network.send('a', 'b', 2);
    network.heal();
    time.run(20);
    network.kill('b');
    network.send('a', 'b', 3);
    time.run(20);
    expect(received).toEqual([1]);
    expect(network.stats).toEqual({ sent: 3, delivered: 1, lost: 2 });
  });

  it('loses, doubles and reorders as often as it was told', () => {
    const { time, network, received } = arrange();
    network.conditions = { ...PERFECT, loss: 0.2, duplicate: 0.1, reorder: 0.1, reorderMs: 50 };
    for (let i = 0; i < 1000; i++) {
      network.send('a', 'b', i);
      time.run(1);
    }
    time.run(100);
    expect(network.stats.lost).toBeGreaterThan(100);
    expect(new Set(received).size).toBeLessThan(received.length);
    expect(received).not.toEqual([...received].sort((a, b) => a - b));
  });
});

function arrange() {
  const time = new VirtualTime();
  const network = new SimNetwork<number>(time, new Rng(1));
  const received: number[] = [];
  network.start('b', (packet) => received.push(packet));
  return { time, network, received };
}
