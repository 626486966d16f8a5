/** One core in time that its test moves on. */
import type { DirectPaths } from '@ztna/wire';
import { PathCore } from './core.ts';
import type { PathInput, PathOutput, PathSettings, PathSide } from './io.ts';

const START = 1_000_000;
export const SETTINGS: PathSettings = {
  enabled: true,
  interfaces: { allow: ['*'], deny: [] },
  addresses: [],
  virtualRanges: ['100.64.0.0/10'],
  allowLoopback: false,
};
export const REMOTE = '203.0.113.5:4433';
export const REMOTE6 = '[2001:db8:c::5]:4433';

export const eth = (address: string) => ({ interface: 'eth0', address, prefix: 24 });
export const policy = (direct: DirectPaths) =>
  ({ type: 'policy', direct, showPrivateAddresses: true }) as const;
export const agent = (direct: DirectPaths = 'allow') => new Side('agent', direct);

/** Both sides have shown addresses, and the first round of probes is under way. */
export function ready(): Side {
  const side = agent();
  side.start();
  return side;
}

/** On direct path 1. */
export function direct(): Side {
  const side = ready();
  side.take({ type: 'path-opened', path: 1, remote: REMOTE });
  side.sample({ 0: { rtt: 40 }, 1: { rtt: 10 } });
  if (side.current !== 1) throw new Error('the direct path was not taken');
  return side;
}

type Told = 'event' | 'count' | 'verdict-changed' | 'ask-samples' | 'hello';

/** A core in time that its test moves on; timers fire when they are due. */
export class Side {
  readonly core: PathCore;
  now = START;
  current = 0;
  verdicts = 0;
  readonly all: PathOutput[] = [];
  readonly hellos: PathOutput[] = [];
  readonly closed: number[] = [];

  constructor(side: PathSide, direct: DirectPaths, settings = SETTINGS) {
    const showPrivateAddresses = side === 'agent';
    this.core = new PathCore({ side, settings, policy: { direct, showPrivateAddresses }, random: () => 0.5 });
  }

  /** One own address, one of the peer. */
  start() {
    const own = this.take({ type: 'local', addresses: [eth('192.0.2.20')], port: 5000 });
    return [...own, ...this.take({ type: 'remote-candidates', addresses: [REMOTE] })];
  }

  take(input: PathInput): Exclude<PathOutput, { type: Told }>[] {
    this.core.handleInput(input, this.now);
    return this.#outputs();
  }

  wait(ms: number) {
    const end = this.now + ms;
    const outputs = [];
    for (let at = this.core.pollTimeout(); at !== undefined && at <= end; at = this.core.pollTimeout()) {
      this.now = at;
      this.core.handleTimeout(at);
      outputs.push(...this.#outputs());
    }
    this.now = end;
    return outputs;
  }

  sample(paths: Readonly<Record<number, { rtt: number; min?: number; sent?: number; lost?: number }>>) {
    const samples = Object.entries(paths).map(([path, { rtt, min, sent = 0, lost = 0 }]) => {
      const least = min === undefined ? {} : { minRttMs: min };
      return { path: Number(path), rttMs: rtt, ...least, sent, lost, mtu: 1400 };
    });
    return this.take({ type: 'samples', samples });
  }

  flap(path: number) {
    this.take({ type: 'path-dead', path });
    this.take({ type: 'path-alive', path });
  }

  verdict() {
    return this.core.verdict();
  }

  #outputs() {
    const plain = [];
    for (let output = this.core.pollOutput(); output; output = this.core.pollOutput()) {
      this.all.push(output);
      if (output.type === 'prefer') this.current = output.path;
      if (output.type === 'close-path') this.closed.push(output.path);
      if (output.type === 'hello') this.hellos.push(output);
      else if (output.type === 'verdict-changed') this.verdicts++;
      else if (output.type !== 'count' && output.type !== 'ask-samples') plain.push(output);
    }
    return plain;
  }
}
