import { type ControlMessage, type Revision, type WireError, wireError } from '@ztna/wire';
import { type LinkHost, OuterLink } from '../link.ts';
import type { LinkInput } from '../link-io.ts';
import { type AgentSnapshot, isRevoked } from '../snapshot.ts';
import { type ConnectionKey, type Core, type FlowKey, unreachable } from '../types.ts';
import { attach, onAttached, onAttachFailed, onAttachTimeout } from './attach.ts';
import { onDirect, tellPathPolicy } from './direct.ts';
import {
  failAll,
  failDemand,
  onFlowClosed,
  onFlowRequested,
  onFlowTimeout,
  onServiceFailed,
  serve,
  serveAll,
  whyUnanswered,
} from './flows.ts';
import {
  type AgentConfig,
  type AgentDeps,
  type AgentInput,
  type AgentOutput,
  DEFAULT_AGENT_CONFIG,
} from './io.ts';
import {
  attachAll,
  endSession,
  isListed,
  onInnerConnected,
  onInnerLost,
  onOffer,
  refuseOffer,
  renew,
  replaceGrant,
} from './sessions.ts';
import { AgentState, type AgentTimer } from './state.ts';

/**
 * The agent: one outer connection to an intermediate of its snapshot, one session per connector for all
 * services that it serves, flows queued until their session is up.
 */
export class AgentCore implements Core<AgentInput, AgentOutput> {
  readonly #state: AgentState;

  constructor(deps: AgentDeps, config: Partial<AgentConfig> = {}) {
    const state = new AgentState(deps, { ...DEFAULT_AGENT_CONFIG, ...config });
    state.link = new OuterLink('intermediate', linkHost(state));
    this.#state = state;
  }

  handleInput(input: AgentInput, now: number) {
    const state = this.#state;
    this.handleTimeout(now);
    switch (input.type) {
      case 'snapshot':
        return onSnapshot(state, input.snapshot, now);
      case 'inner-connected':
        return onInnerConnected(state, input.session, input.identity, now);
      case 'inner-lost':
        return onInnerLost(state, input, now);
      case 'direct':
        return onDirect(state, input.session, input.inUse, now);
      case 'flow-requested': {
        const { flow, service, transport, port } = input;
        return onFlowRequested(state, { flow, service, transport, port }, now);
      }
      case 'flow-closed':
        return onFlowClosed(state, input.flow, now);
      case 'stop':
        return stop(state, input.reason, now);
      default:
        return state.link.handleInput(input satisfies LinkInput, now);
    }
  }

  handleTimeout(now: number) {
    const { timers } = this.#state;
    for (let due = timers.takeDue(now); due; due = timers.takeDue(now)) onTimer(this.#state, due, now);
  }

  pollTimeout(): number | undefined {
    return this.#state.timers.next();
  }

  pollOutput(): AgentOutput | undefined {
    return this.#state.outbox.take();
  }

  /** When an intermediate is tried next; undefined while one is connected or tried, and when none may be used. */
  get nextAttemptAt(): number | undefined {
    return this.#state.link.nextAttemptAt;
  }

  /**
   * Why a flow that was ready has no answer in time: what is known of its way to the connector. Undefined when that is open,
   * as far as is known: then it is the connector that does not answer.
   */
  whyUnanswered(flow: FlowKey): WireError | undefined {
    return whyUnanswered(this.#state, flow);
  }

  /** Sizes of what is kept, for gauges and for tests of bounds. */
  stats(): { connected: boolean; sessions: number; queuedFlows: number; requests: number; timers: number } {
    const { link, sessions, queuedFlows, requests, timers } = this.#state;
    return {
      connected: link.connection !== undefined,
      sessions: sessions.size,
      queuedFlows,
      requests: requests.size,
      timers: timers.size,
    };
  }
}

function linkHost(state: AgentState): LinkHost {
  let nextConnection = 1;
  return {
    local: state.deps.local,
    backoff: state.config.backoff,
    connectTimeoutMs: state.config.connectTimeoutMs,
    random: state.deps.random,
    nextConnection: () => nextConnection++ as ConnectionKey,
    revision: () => state.snapshot?.revision ?? (0 as Revision),
    isRevoked: (id) => isRevoked(state.snapshot, { id }),
    emit: (output) => state.outbox.push(output),
    setTimer: (_, at) => state.timers.set('link', at, { type: 'link' }),
    cancelTimer: () => state.timers.cancel('link'),
    onReady: (link, _, now) => {
      for (const id of [...state.requests.keys()]) state.settle(id);
      if (state.sessions.size === 0) link.releasePrevious();
      attachAll(state, now);
      serveAll(state, now);
    },
    onLost: (_, connection) => {
      for (const id of [...state.requests.keys()]) state.settle(id);
      for (const session of state.sessions.values()) {
        if (session.path?.connection === connection) session.path = undefined;
      }
    },
    onMessage: (connection, message, now) => onMessage(state, connection, message, now),
    onRevoked: (now) => onRevoked(state, now),
    onTurnedAway: () => failAll(state),
  };
}

function onMessage(state: AgentState, connection: ConnectionKey, message: ControlMessage, now: number) {
  switch (message.type) {
    case 'sessionOffer': {
      const request = state.settle(message.requestId);
      if (!request) return refuseOffer(state, connection, message, 'nobody waits for it');
      if (request.type === 'attach') return onAttached(state, connection, message, request.uid, now);
      onOffer(state, connection, message, request, now);
      return serveAll(state, now);
    }
    case 'grantUpdate': {
      const session = state.sessions.get(message.sessionUid);
      state.settle(message.requestId);
      if (session) replaceGrant(state, session, message.grant, now);
      return serveAll(state, now);
    }
    case 'closeSession': {
      const session = state.sessions.get(message.sessionUid);
      const reason = message.reason ?? wireError('going-away', 'closed by the intermediate');
      if (session) endSession(state, session, reason, now, { avoid: true, told: true });
      return;
    }
    case 'error':
      return onError(state, message.error, now);
    case 'goAway':
      return state.event('info', 'intermediate.going-away', {
        intermediate: state.link.intermediate,
        deadlineMs: message.deadlineMs,
        reason: message.reason,
      });
    case 'goodbye':
      return;
    default:
      state.link.fail(wireError('protocol', `${message.type} is not for an agent`), now);
  }
}

function onError(state: AgentState, error: WireError, now: number) {
  state.count('request_failed', error.code);
  const request = state.settle(error.requestId);
  if (!request) {
    if (error.requestId === 0 && error.code === 'revoked') onRevoked(state, now);
    if (error.requestId === 0)
      state.event('warn', 'intermediate.error', {
        intermediate: state.link.intermediate,
        code: error.code,
        message: error.message,
      });
    return;
  }
  switch (request.type) {
    case 'open':
      onServiceFailed(state, request.service, error, now);
      return serveAll(state, now);
    case 'attach':
      return onAttachFailed(state, request.uid, error, now);
    case 'extend':
      return onExtendFailed(state, request, error, now);
    default:
      unreachable(request);
  }
}

/** This identity was revoked: nothing goes on until grants run out, and nobody waits for what cannot come. */
function onRevoked(state: AgentState, now: number) {
  const error = wireError('revoked', 'this identity was revoked');
  for (const service of [...state.demands.keys()]) failDemand(state, service, error);
  for (const session of [...state.sessions.values()]) {
    endSession(state, session, error, now, { told: true });
  }
}

function onExtendFailed(
  state: AgentState,
  request: {
    uid: Parameters<AgentState['sessions']['get']>[0];
    service: Parameters<typeof serve>[1] | undefined;
  },
  error: WireError,
  now: number,
) {
  const session = state.sessions.get(request.uid);
  if (!session) return;
  if (error.code === 'unknown-session') {
    session.path = undefined;
    attach(state, session, now);
  } else if (request.service !== undefined) {
    session.notServed.set(request.service, now + state.config.avoidConnectorMs);
  } else if (!error.retryable) {
    return endSession(state, session, { ...error, requestId: 0 }, now);
  }
  serveAll(state, now);
}

function onTimer(state: AgentState, timer: AgentTimer, now: number) {
  if (timer.type === 'link') return state.link.handleTimeout(now);
  if (timer.type === 'flow') return onFlowTimeout(state, timer.flow, timer.service);
  if (timer.type === 'retry') return serve(state, timer.service, now);
  if (timer.type === 'request') return onRequestTimeout(state, timer.id, now);
  const session = state.sessions.get(timer.uid);
  if (!session) return;
  switch (timer.type) {
    case 'inner':
      return endSession(state, session, wireError('timeout', 'the inner handshake took too long'), now, {
        avoid: true,
      });
    case 'attach':
      return attach(state, session, now);
    case 'renew':
      return renew(state, session, now);
    case 'expiry':
      return endSession(
        state,
        session,
        wireError('grant-expired', 'the grant ran out without being renewed'),
        now,
      );
    case 'idle':
      if (session.flows.size === 0) endSession(state, session, wireError('going-away', 'idle'), now);
      return;
    default:
      unreachable(timer);
  }
}

function onRequestTimeout(state: AgentState, id: number, now: number) {
  const request = state.settle(id);
  if (!request) return;
  state.count('request_failed', 'timeout');
  if (request.type === 'attach') return onAttachTimeout(state, request.uid, now);
  if (request.type === 'open')
    onServiceFailed(state, request.service, wireError('timeout', 'the intermediate did not answer'), now);
  serveAll(state, now);
}

function onSnapshot(state: AgentState, snapshot: AgentSnapshot, now: number) {
  state.snapshot = snapshot;
  for (const session of [...state.sessions.values()]) {
    if (isRevoked(snapshot, { id: session.connector })) {
      endSession(state, session, wireError('revoked', 'the connector was revoked'), now);
    } else if (!isListed(state, session)) {
      endSession(
        state,
        session,
        wireError('not-authorized', 'the connector no longer serves this agent'),
        now,
      );
    } else {
      tellPathPolicy(state, session);
    }
  }
  for (const service of [...state.demands.keys()]) {
    if (snapshot.content.services.some(({ name }) => name === service)) continue;
    failDemand(state, service, wireError('unknown-service', 'withdrawn from this agent by policy'));
  }
  state.link.setCandidates(snapshot.content.intermediates, now);
}

function stop(state: AgentState, reason: string, now: number) {
  const error = wireError('going-away', reason);
  state.stopped = true;
  for (const service of [...state.demands.keys()]) failDemand(state, service, error);
  for (const session of [...state.sessions.values()]) endSession(state, session, error, now);
  state.link.stop(reason, now);
}
