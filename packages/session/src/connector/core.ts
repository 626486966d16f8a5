import { type SessionUid, type SpiffeId, wireError } from '@ztna/wire';
import type { LinkInput } from '../link-io.ts';
import { type Core, unreachable } from '../types.ts';
import { onDirect } from './direct.ts';
import {
  onCutReportMissing,
  onDialFailed,
  onDialSucceeded,
  onFlowClosed,
  onFlowOpened,
  onLagOver,
} from './flows.ts';
import {
  type ConnectorConfig,
  type ConnectorDeps,
  type ConnectorInput,
  type ConnectorOutput,
  DEFAULT_CONNECTOR_CONFIG,
} from './io.ts';
import { onLinkInput, registerAll, updateLinks } from './links.ts';
import {
  endSession,
  onExpiry,
  onInnerConnected,
  onInnerLost,
  onInnerTimeout,
  reviewSessions,
} from './sessions.ts';
import { ConnectorState, type ConnectorTimer } from './state.ts';

/**
 * The connector: registered at every intermediate of its snapshot, accepts sessions that carry a valid grant
 * and that its own snapshot allows, and decides each flow by itself.
 */
export class ConnectorCore implements Core<ConnectorInput, ConnectorOutput> {
  readonly #state: ConnectorState;

  constructor(deps: ConnectorDeps, config: Partial<ConnectorConfig> = {}) {
    this.#state = new ConnectorState(deps, { ...DEFAULT_CONNECTOR_CONFIG, ...config });
  }

  handleInput(input: ConnectorInput, now: number) {
    const state = this.#state;
    this.handleTimeout(now);
    switch (input.type) {
      case 'snapshot':
        state.snapshot = input.snapshot;
        reviewSessions(state, now);
        registerAll(state);
        return updateLinks(state, now);
      case 'withdrawn':
        state.withdrawn = input.services;
        return registerAll(state);
      case 'inner-connected':
        return onInnerConnected(state, input.session, input.identity, now);
      case 'inner-lost':
        return onInnerLost(state, input, now);
      case 'direct':
        return onDirect(state, input.session, input.inUse, now);
      case 'flow-opened': {
        const { service, transport, port, subject, traceId } = input;
        return onFlowOpened(
          state,
          input.session,
          input.flow,
          { service, transport, port, subject, traceId },
          now,
        );
      }
      case 'dial-succeeded':
        return onDialSucceeded(state, input.flow);
      case 'dial-failed':
        return onDialFailed(state, input.flow, input.code, input.reason, now);
      case 'flow-closed':
        return onFlowClosed(state, input.flow, input, now);
      case 'stop':
        return stop(state, input.reason, now);
      default:
        return onLinkInput(state, input satisfies LinkInput, now);
    }
  }

  handleTimeout(now: number) {
    const { timers } = this.#state;
    for (let due = timers.takeDue(now); due; due = timers.takeDue(now)) onTimer(this.#state, due, now);
  }

  pollTimeout(): number | undefined {
    return this.#state.timers.next();
  }

  pollOutput(): ConnectorOutput | undefined {
    return this.#state.outbox.take();
  }

  /** When an intermediate is tried next; undefined when none is waited for. */
  get nextAttemptAt(): number | undefined {
    const all = [...this.#state.links.values()].map((link) => link.nextAttemptAt ?? Infinity);
    const first = Math.min(...all);
    return first === Infinity ? undefined : first;
  }

  /** Sizes of what is kept, for gauges and for tests of bounds. */
  stats(): { connected: number; sessions: number; flows: number; pendingDials: number; timers: number } {
    const { links, sessions, flows, dialsOf, timers } = this.#state;
    const connected = [...links.values()].filter((link) => link.connection !== undefined).length;
    const pendingDials = dialsOf.total;
    return { connected, sessions: sessions.size, flows: flows.size, pendingDials, timers: timers.size };
  }

  /** Whose session it is; undefined when there is none of this uid. */
  agentOf(session: SessionUid): SpiffeId | undefined {
    return this.#state.sessions.get(session)?.agent;
  }
}

function onTimer(state: ConnectorState, timer: ConnectorTimer, now: number) {
  switch (timer.type) {
    case 'link':
      return state.links.get(timer.intermediate)?.handleTimeout(now);
    case 'inner':
      return onInnerTimeout(state, timer.uid, now);
    case 'expiry':
      return onExpiry(state, timer.uid, now);
    case 'lag':
      return onLagOver(state, timer.flow, now);
    case 'cut':
      return onCutReportMissing(state, timer.flow, now);
    default:
      unreachable(timer);
  }
}

function stop(state: ConnectorState, reason: string, now: number) {
  state.stopped = true;
  for (const session of [...state.sessions.values()])
    endSession(state, session, wireError('going-away', reason), now);
  for (const link of state.links.values()) link.stop(reason, now);
}
