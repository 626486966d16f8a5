import { Rng } from '@ztna/sim';
import { describe, expect, it } from 'vitest';
import { direct } from './testing.ts';

describe('a session whose paths lose packets', () => {
  it('leaves a direct path that loses over 5 % of 200 packets, not one that loses less or too few to tell', () => {
    for (const [sent, lost, leaves] of [
      [200, 11, true],
      [200, 10, false],
      [199, 100, false],
    ] as const) {
      const side = direct();
      side.sample({ 0: { rtt: 40 }, 1: { rtt: 10, sent: 1000, lost: 0 } });
      side.sample({ 0: { rtt: 40 }, 1: { rtt: 10, sent: 1000 + sent, lost } });
      expect(side.current, `${lost} of ${sent}`).toBe(leaves ? 0 : 1);
    }
  });

  it('comes back at once when the relay loses as much, and leaves it for less', () => {
    for (const [relayLost, path] of [
      [50, 1],
      [49, 0],
    ] as const) {
      const side = leftForLosses();
      side.wait(1_000);
      side.sample({ 0: { rtt: 40, sent: 2000, lost: relayLost }, 1: { rtt: 10, sent: 1000, lost: 100 } });
      expect(side.current, `the relay lost ${relayLost} of 1000`).toBe(path);
    }
  });

  it('goes to the relay once in a minute at most when all paths share a link that loses 10 %', () => {
    for (let seed = 1; seed <= 40; seed++) {
      const side = direct();
      const link = new LossyLink(0.1, seed);
      let left = 0;
      for (let second = 1; second <= 300; second++) {
        const before = side.current;
        side.sample(link.carry(side.current));
        side.wait(1_000);
        if (before !== 0 && side.current === 0) left++;
        expect(left, `seed ${seed}, second ${second}`).toBeLessThanOrEqual(1 + Math.floor(second / 60));
      }
      expect(left).toBeGreaterThan(0);
    }
  });

  it('leaves a path again that it came back to when the relay loses far less', () => {
    for (const [lost, path] of [
      [199, 1],
      [201, 0],
    ] as const) {
      const side = leftForLosses();
      side.sample({ 0: { rtt: 40, sent: 2000, lost: 50 }, 1: { rtt: 10, sent: 1000, lost: 100 } });
      expect(side.current).toBe(1);
      side.sample({ 0: { rtt: 40, sent: 2000, lost: 50 }, 1: { rtt: 10, sent: 2000, lost: 100 + lost } });
      expect(side.current, `then lost ${lost} of 1000`).toBe(path);
    }
  });

  it('does not go back to a relay that had died, for the losses of the direct path, before a minute is over', () => {
    const side = direct();
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 10 } });
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 10, sent: 1000, lost: 100 } });
    expect(side.current).toBe(0);
    side.flap(0);
    expect(side.current).toBe(1);
    for (let second = 1; second <= 60; second++) {
      expect(side.current, `second ${second}`).toBe(1);
      side.wait(1_000);
      side.sample({ 0: { rtt: 40 }, 1: { rtt: 10, sent: 1000 * (1 + second), lost: 100 * (1 + second) } });
    }
    expect(side.current).toBe(0);
  });

  it('stays when the relay is known to lose as much, and waits out other trouble', () => {
    const side = direct();
    side.sample({ 0: { rtt: 40, sent: 1000 }, 1: { rtt: 10 } });
    side.sample({ 0: { rtt: 40, sent: 2000, lost: 90 }, 1: { rtt: 10, sent: 1000, lost: 100 } });
    expect(side.current).toBe(1);
    side.flap(1);
    side.flap(1);
    expect(side.current).toBe(0);
    side.wait(9_999);
    expect(side.current).toBe(0);
    side.wait(1);
    expect(side.current).toBe(1);
  });

  it('does not take a path that lost packets again before a minute is over', () => {
    const side = direct();
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 10 } });
    side.sample({ 0: { rtt: 40 }, 1: { rtt: 10, sent: 1000, lost: 500 } });
    side.wait(59_999);
    expect(side.current).toBe(0);
    side.wait(1);
    expect(side.current).toBe(1);
  });
});

/** On the relay, which lost nothing so far, after the direct path lost 10 %. */
function leftForLosses() {
  const side = direct();
  side.sample({ 0: { rtt: 40, sent: 1000 }, 1: { rtt: 10 } });
  side.sample({ 0: { rtt: 40, sent: 1000 }, 1: { rtt: 10, sent: 1000, lost: 100 } });
  expect(side.current).toBe(0);
  return side;
}

/** All paths over one link: what is sent each second over the path in use and, a little, over the other one. */
class LossyLink {
  readonly #loss: number;
  readonly #rng: Rng;
  readonly #carried = [0, 1].map((path) => ({ rtt: path === 0 ? 40 : 10, sent: 0, lost: 0 }));

  constructor(loss: number, seed: number) {
    this.#loss = loss;
    this.#rng = new Rng(seed);
  }

  carry(inUse: number) {
    for (const [path, counts] of this.#carried.entries()) {
      const packets = path === inUse ? 250 : 10;
      counts.sent += packets;
      for (let packet = 0; packet < packets; packet++) if (this.#rng.chance(this.#loss)) counts.lost++;
    }
    return { ...this.#carried };
  }
}
