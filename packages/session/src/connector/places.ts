import { type SpiffeId, type WireError, wireError } from '@ztna/wire';
import { Tally } from '../tally.ts';

/** What of a session says whose place it takes. */
interface Occupant {
  readonly agent: SpiffeId;
  /** The intermediate that offered it. */
  readonly offeredBy: string;
  /** Its agent has come: the handshake is over. */
  readonly up: boolean;
}

/**
 * Places for sessions. Until an agent has come, its session is the word of one intermediate, so it takes a place from
 * what that one offers alone: offers that nobody takes up keep no agent from coming by another way.
 */
export class Places {
  readonly #max: number;
  readonly #maxPerAgent: number;
  readonly #up = new Tally<SpiffeId>();
  readonly #offered = new Tally<string>();
  readonly #offeredTo = new Tally<string>();

  constructor(max: number, maxPerAgent: number) {
    this.#max = max;
    this.#maxPerAgent = maxPerAgent;
  }

  /** Why there is no place for what this intermediate offers to this agent; undefined when there is one. */
  refuse(occupant: Occupant): WireError | undefined {
    const { agent, offeredBy } = occupant;
    if (this.#up.total + this.#offered.of(offeredBy) >= this.#max) return FULL;
    return this.#up.of(agent) + this.#offeredTo.of(pairOf(occupant)) >= this.#maxPerAgent
      ? TOO_MANY
      : undefined;
  }

  /** Why a session whose agent has come cannot stay after all: others came before, over other intermediates. */
  refuseUp({ agent }: Occupant): WireError | undefined {
    if (this.#up.total >= this.#max) return FULL;
    return this.#up.of(agent) >= this.#maxPerAgent ? TOO_MANY : undefined;
  }

  take(occupant: Occupant): void {
    this.#change(occupant, 1);
  }

  leave(occupant: Occupant): void {
    this.#change(occupant, -1);
  }

  #change(occupant: Occupant, by: 1 | -1): void {
    if (occupant.up) return this.#up.add(occupant.agent, by);
    this.#offered.add(occupant.offeredBy, by);
    this.#offeredTo.add(pairOf(occupant), by);
  }
}

const FULL: WireError = wireError('limit', 'this connector is full');
const TOO_MANY: WireError = wireError('limit', 'too many sessions of this agent at this connector');

function pairOf({ agent, offeredBy }: Occupant): string {
  return `${offeredBy} ${agent}`;
}
