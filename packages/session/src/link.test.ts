import type { Hello, IntermediateEntry, Revision, SpiffeId, TenantName, WireErrorCode } from '@ztna/wire';
import { beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_BACKOFF } from './backoff.ts';
import { type LinkHost, OuterLink } from './link.ts';
import type { ConnectionKey, EventOutput, PeerIdentity } from './types.ts';

const tenant = 'default' as TenantName;
const places = ['one', 'two'].map((name) => ({
  ...{ name, id: `spiffe://test.example/default/intermediate/${name}` as SpiffeId },
  addresses: [{ host: `${name}.test.example`, port: 4433 }],
})) as unknown as IntermediateEntry[];
const hello: Hello = {
  ...{ type: 'hello', versions: [2], features: [], tenant, timeMs: 0, instance: 1n },
  ...{ software: 'test', revision: 1 as Revision },
};

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
  bench.link.setCandidates(places, bench.now);
});

describe('a link to two intermediates', () => {
  it('tries the second when the first has not answered for half a second, and not before', () => {
    bench.wait(499);
    expect(bench.tried()).toEqual(['one']);
    bench.wait(1);
    expect(bench.tried()).toEqual(['one', 'two']);
  });

  it('takes whichever answers first, and lets the other attempt go', () => {
    for (const winner of [0, 1]) {
      const race = new Bench();
      race.link.setCandidates(places, race.now);
      race.wait(500);
      race.answer(winner);
      expect(race.link.connection).toBe(race.connections[winner]);
      expect(race.ended).toEqual([race.connections[1 - winner]]);
      expect(race.timer).toBeUndefined();
    }
  });

  it('has one attempt at each at a time, for as long as a connection may take', () => {
    bench.wait(9_999);
    expect(bench.tried()).toEqual(['one', 'two']);
    expect(bench.ended).toEqual([]);
    bench.wait(2_000);
    expect(bench.tried().length).toBeGreaterThan(2);
    expect(bench.ended.length).toBeGreaterThan(0);
  });

  it.each([
    ['speaks another version', { versions: [1, 99] }],
    ['is of another tenant', { tenant: 'acme' as TenantName }],
  ])('does not take one that %s, and goes on with the second', (_what, changes) => {
    bench.wait(500);
    bench.answer(0, { ...hello, ...changes });
    expect(bench.link.connection).toBeUndefined();
    expect(bench.ended).toEqual([bench.connections[0]]);
    bench.answer(1);
    expect(bench.link.connection).toBe(bench.connections[1]);
  });

  it('goes to the other at once when the one in use is revoked, though both are still listed', () => {
    bench.answer(0);
    bench.revoked.add(places[0]?.id as SpiffeId);
    bench.link.setCandidates(places, bench.now);
    expect(bench.ended).toEqual([bench.connections[0]]);
    bench.wait(100);
    expect(bench.tried()).toEqual(['one', 'two']);
  });

  it('goes on with the second when the first turns it away', () => {
    bench.wait(500);
    bench.link.handleInput(
      { type: 'outer-lost', connection: bench.connections[0] as ConnectionKey, reason: 'reset' },
      bench.now,
    );
    bench.answer(1);
    expect(bench.link.connection).toBe(bench.connections[1]);
  });
});

describe('a link to one intermediate', () => {
  const only = places.slice(0, 1);

  beforeEach(() => {
    bench = new Bench();
    bench.link.setCandidates(only, bench.now);
  });

  it('tells that the connection was lost when another took its place because it stopped answering', () => {
    bench.answer(0);
    bench.hears('outer-stalled', 0);
    expect(bench.events()).toEqual(['intermediate.connected']);
    bench.wait(500);
    bench.answer(1);
    expect(bench.events()).toEqual(['intermediate.connected', 'intermediate.lost', 'intermediate.connected']);
    expect(bench.told[1]?.fields).toEqual({ intermediate: 'one', reason: 'it stopped answering' });
  });

  it('tells nothing when it answers again in time', () => {
    bench.answer(0);
    bench.hears('outer-stalled', 0);
    bench.hears('outer-recovered', 0);
    bench.wait(60_000);
    expect(bench.events()).toEqual(['intermediate.connected']);
  });

  it('asks one that refuses ever more seldom, and at once when files were read again', () => {
    for (let at = 0; at < 8; at++) {
      bench.refuse(at, 'revoked');
      while (bench.tries.length <= at + 1) bench.wait(100);
    }
    const gaps = bench.gaps();
    expect(gaps.at(-1)).toBeGreaterThanOrEqual(5_000);
    expect(gaps.filter((gap) => gap <= 1_000).length).toBeLessThan(5);
    bench.refuse(8, 'revoked');
    const before = bench.tries.length;
    expect(bench.link.nextAttemptAt).toBeGreaterThan(bench.now + 4_000);
    bench.link.setCandidates(only, bench.now);
    expect(bench.tries.length).toBe(before + 1);
  });

  it('asks one that is full, or gone, as often as before', () => {
    for (let at = 0; at < 8; at++) {
      bench.refuse(at, 'limit');
      while (bench.tries.length <= at + 1) bench.wait(100);
    }
    expect(Math.max(...bench.gaps())).toBeLessThanOrEqual(1_000);
  });
});

/** A link, its host, and time that its test moves on. */
class Bench {
  readonly tries: IntermediateEntry[] = [];
  readonly connections: ConnectionKey[] = [];
  readonly ended: ConnectionKey[] = [];
  readonly told: EventOutput[] = [];
  readonly #startedAt: number[] = [];
  readonly revoked = new Set<SpiffeId>();
  readonly link: OuterLink;
  now = 1_000_000;
  timer: number | undefined;
  #last = 0;

  constructor() {
    const host: LinkHost = {
      local: { tenant, features: [], instance: 2n, software: 'test' } as unknown as LinkHost['local'],
      backoff: DEFAULT_BACKOFF,
      connectTimeoutMs: 10_000,
      random: () => 0.5,
      nextConnection: () => ++this.#last as ConnectionKey,
      revision: () => 1 as Revision,
      isRevoked: (id) => this.revoked.has(id),
      emit: (output) => {
        if (output.type === 'disconnect') this.ended.push(output.connection);
        if (output.type === 'event') this.told.push(output);
        if (output.type !== 'connect') return;
        this.#startedAt.push(this.now);
        this.tries.push(output.to);
        this.connections.push(output.connection);
      },
      setTimer: (_, at) => {
        this.timer = at;
      },
      cancelTimer: () => {
        this.timer = undefined;
      },
      onReady: () => {},
      onLost: () => {},
      onMessage: () => {},
    };
    this.link = new OuterLink('test', host);
  }

  tried(): string[] {
    return this.tries.map(({ name }) => name);
  }

  events(): string[] {
    return this.told.map(({ event }) => event);
  }

  /** Between the attempts, ms. */
  gaps(): number[] {
    return this.#startedAt.slice(1).map((at, index) => at - (this.#startedAt[index] ?? 0));
  }

  hears(type: 'outer-stalled' | 'outer-recovered', which: number): void {
    this.link.handleInput({ type, connection: this.connections[which] as ConnectionKey }, this.now);
  }

  /** Attempt number `which` is closed by the other side. */
  refuse(which: number, code: WireErrorCode): void {
    const connection = this.connections[which] as ConnectionKey;
    this.link.handleInput({ type: 'outer-lost', connection, reason: 'refused', code }, this.now);
  }

  wait(ms: number): void {
    const end = this.now + ms;
    while (this.timer !== undefined && this.timer <= end) {
      this.now = Math.max(this.now, this.timer);
      this.timer = undefined;
      this.link.handleTimeout(this.now);
    }
    this.now = end;
  }

  /** Attempt number `which` connects and is greeted. */
  answer(which: number, message = hello): void {
    const connection = this.connections[which] as ConnectionKey;
    const id = this.tries[which]?.id;
    const identity = { id, role: 'intermediate', tenant } as PeerIdentity;
    this.link.handleInput({ type: 'outer-connected', connection, identity }, this.now);
    this.link.handleInput({ type: 'message', connection, message }, this.now);
  }
}
