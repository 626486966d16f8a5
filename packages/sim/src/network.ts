import type { Rng } from './rng.ts';
import type { VirtualTime } from './time.ts';

/** How packets fare between two nodes; times in ms, the rest are probabilities. */
export interface Conditions {
  readonly latencyMs: number;
  readonly jitterMs: number;
  readonly loss: number;
  readonly duplicate: number;
  /** Held back by up to `reorderMs` more than its neighbours. */
  readonly reorder: number;
  readonly reorderMs: number;
}

export const PERFECT: Conditions = {
  latencyMs: 10,
  jitterMs: 0,
  loss: 0,
  duplicate: 0,
  reorder: 0,
  reorderMs: 0,
};

/**
 * Packets between named nodes in virtual time: late, lost, doubled, out of order, or cut off. `name@1`, `name@2` are
 * addresses of one host `name`: they are cut off together.
 */
export class SimNetwork<Packet> {
  readonly #time: VirtualTime;
  readonly #rng: Rng;
  readonly #nodes = new Map<string, (packet: Packet, from: string) => void>();
  readonly #cut = new Set<string>();
  conditions: Conditions;
  readonly stats = { sent: 0, delivered: 0, lost: 0 };

  constructor(time: VirtualTime, rng: Rng, conditions: Conditions = PERFECT) {
    this.#time = time;
    this.#rng = rng;
    this.conditions = conditions;
  }

  /** Starts a node, or restarts it: packets under way to an earlier life reach this one, as on the Internet. */
  start(node: string, receive: (packet: Packet, from: string) => void): void {
    this.#nodes.set(node, receive);
  }

  /** From now on the node hears nothing. */
  kill(node: string): void {
    this.#nodes.delete(node);
  }

  /** Cuts two nodes off from each other until `heal`. */
  partition(a: string, b: string): void {
    this.#cut.add(pair(a, b));
  }

  heal(): void {
    this.#cut.clear();
  }

  isCut(a: string, b: string): boolean {
    return this.#cut.has(pair(a, b));
  }

  send(from: string, to: string, packet: Packet): void {
    this.stats.sent++;
    this.#carry(from, to, packet);
    if (this.#rng.chance(this.conditions.duplicate)) this.#carry(from, to, packet);
  }

  #carry(from: string, to: string, packet: Packet): void {
    const { latencyMs, jitterMs, loss, reorder, reorderMs } = this.conditions;
    const late = this.#rng.chance(reorder) ? this.#rng.next() * reorderMs : 0;
    const delay = latencyMs + this.#rng.next() * jitterMs + late;
    if (this.#rng.chance(loss) || this.isCut(from, to)) {
      this.stats.lost++;
      return;
    }
    this.#time.after(delay, () => {
      const receive = this.#nodes.get(to);
      if (!receive || this.isCut(from, to)) {
        this.stats.lost++;
        return;
      }
      this.stats.delivered++;
      receive(packet, from);
    });
  }
}

function pair(a: string, b: string): string {
  return pairOfHosts(hostOf(a), hostOf(b));
}

function hostOf(node: string): string {
  return node.split('@', 1)[0] ?? node;
}

function pairOfHosts(a: string, b: string): string {
  return a < b ? `${a}\0${b}` : `${b}\0${a}`;
}
