import { mayBeServedBy } from '@ztna/policy';
import { type ServiceName, type SpiffeId, type WireError, wireError } from '@ztna/wire';
import { isFresh } from '../snapshot.ts';
import type { FlowKey } from '../types.ts';
import { hasPathFor } from './direct.ts';
import type { AgentSession, AgentState, Demand, QueuedFlow } from './state.ts';

const RETRY_BASE_MS = 250;
const RETRY_MAX_MS = 2_000;

/** An application wants a flow: it gets one at once, waits for a session, or fails for good. */
export function onFlowRequested(state: AgentState, flow: QueuedFlow, now: number) {
  const refusal = refuseFlow(state, flow.service, now) ?? turnedAway(state, flow.service);
  if (refusal) return failFlow(state, flow.flow, refusal);
  const demand = state.demands.get(flow.service) ?? {
    flows: new Map(),
    attempts: 0,
    retryAt: now,
    lastError: undefined,
  };
  demand.flows.set(flow.flow, flow);
  state.demands.set(flow.service, demand);
  state.timers.set(`flow:${flow.flow}`, now + state.config.flowTimeoutMs, {
    type: 'flow',
    flow: flow.flow,
    service: flow.service,
  });
  serve(state, flow.service, now);
}

export function onFlowClosed(state: AgentState, flow: FlowKey, now: number) {
  for (const [service, demand] of state.demands) {
    if (demand.flows.delete(flow)) forgetFlow(state, service, demand, flow);
  }
  const uid = state.sessionOfFlow.get(flow);
  const session = uid && state.sessions.get(uid);
  state.sessionOfFlow.delete(flow);
  if (!session) return;
  session.flows.delete(flow);
  if (session.flows.size === 0) watchIdle(state, session, now);
}

/** No session in time: the last error of the intermediate says why, or that it let nobody in, or was not reached. */
export function onFlowTimeout(state: AgentState, flow: FlowKey, service: ServiceName) {
  const demand = state.demands.get(service);
  if (!demand?.flows.delete(flow)) return;
  forgetFlow(state, service, demand, flow);
  const last = demand.lastError ?? refusalOf(state) ?? missesDirect(state, service);
  failFlow(state, flow, whyNotReached(state, service, last));
}

/** Why a flow that is in a session has no answer; undefined when its way is open, as far as is known: the connector is silent. */
export function whyUnanswered(state: AgentState, flow: FlowKey): WireError | undefined {
  const uid = state.sessionOfFlow.get(flow);
  const session = uid && state.sessions.get(uid);
  const service = session?.flows.get(flow);
  if (!session || !service || session.direct) return undefined;
  if (session.path && state.link.isAnswered) return undefined;
  const last = state.link.isAnswered ? session.attachError : refusalOf(state);
  return whyNotReached(state, service, last ?? state.demands.get(service)?.lastError);
}

/** By what an intermediate said last, or that none answers. */
function whyNotReached(state: AgentState, service: ServiceName, last: WireError | undefined): WireError {
  const reason =
    last?.message ??
    (state.link.isAnswered
      ? 'no session in time; see the logs of the intermediate and the connector'
      : 'no intermediate could be reached; check the network and that UDP to it is open');
  return wireError(last ? codeOf(last) : 'timeout', `service ${service}: ${reason}`);
}

/** Nobody waits for what does not come: the intermediates let this agent in when their files, or its own, are others. */
export function failAll(state: AgentState) {
  const refusal = refusalOf(state);
  if (refusal) for (const service of [...state.demands.keys()]) failDemand(state, service, refusal);
}

function turnedAway(state: AgentState, service: ServiceName): WireError | undefined {
  const refusal = state.link.isTurnedAway ? refusalOf(state) : undefined;
  return refusal && { ...refusal, requestId: 0, message: `service ${service}: ${refusal.message}` };
}

function missesDirect(state: AgentState, service: ServiceName): WireError | undefined {
  const waiting = [...state.sessions.values()].some(
    (session) => session.up && session.path && session.grant.services.includes(service),
  );
  if (!waiting) return undefined;
  return wireError(
    'no-connector',
    'the policy requires a direct path and there is none (yet); see the verdict in `ztna status`',
  );
}

function refusalOf({ link }: AgentState): WireError | undefined {
  if (!link.refusal) return undefined;
  return {
    ...link.refusal,
    message: `the intermediate refuses this agent (${link.refusal.message}); see \`ztna doctor\`, and the log of the intermediate`,
  };
}

/** Does the next thing that brings the flows waiting for `service` forward, if there is one to do now. */
export function serve(state: AgentState, service: ServiceName, now: number) {
  const demand = state.demands.get(service);
  if (!demand || state.stopped) return;
  const mine = sessionsFor(state, service, now);
  const granted = mine.filter((session) => session.up && session.grant.services.includes(service));
  const ready = granted.find((session) => hasPathFor(state, session, service));
  if (ready) return startFlows(state, ready, service, demand, now);
  if (state.link.connection === undefined || isUnderWay(state, service)) return;
  if (now < demand.retryAt)
    return state.timers.set(`retry:${service}`, demand.retryAt, { type: 'retry', service });
  if (granted.length > 0 || mine.some((session) => !session.up || !session.path)) return;
  const extendable = mine.find((session) => !isExtending(state, session));
  if (extendable) return extend(state, extendable, service, now);
  if (mine.length > 0 || isOpeningAlike(state, service)) return;
  open(state, service, now);
}

/** A session came or went, or a request was settled: look at all that wait. */
export function serveAll(state: AgentState, now: number) {
  for (const service of [...state.demands.keys()]) serve(state, service, now);
}

/** The intermediate refused, or nothing came of the offer: again soon, or never when that cannot help. */
export function onServiceFailed(state: AgentState, service: ServiceName, error: WireError, now: number) {
  const demand = state.demands.get(service);
  if (!demand) return;
  demand.lastError = error;
  if (!error.retryable) return failDemand(state, service, error);
  if (demand.attempts === 0) tellWaiting(state, service, error);
  const delay = Math.min(RETRY_MAX_MS, RETRY_BASE_MS * 2 ** Math.min(demand.attempts++, 10));
  demand.retryAt = now + Math.round(delay / 2 + (delay / 2) * state.deps.random());
  state.timers.set(`retry:${service}`, demand.retryAt, { type: 'retry', service });
}

/** A connector that restarts comes back soon, so flows wait for one. Who looks on should know at once what for. */
function tellWaiting(state: AgentState, service: ServiceName, { code, message: reason }: WireError) {
  const upToMs = state.config.flowTimeoutMs;
  state.event('warn', 'flow.waiting', { service, code, reason, upToMs });
}

export function failDemand(state: AgentState, service: ServiceName, error: WireError) {
  const demand = state.demands.get(service);
  for (const flow of [...(demand?.flows.keys() ?? [])]) {
    demand?.flows.delete(flow);
    if (demand) forgetFlow(state, service, demand, flow);
    failFlow(state, flow, { ...error, requestId: 0, message: `service ${service}: ${error.message}` });
  }
}

/** A session without flows is closed after a while. */
export function watchIdle(state: AgentState, session: AgentSession, now: number) {
  state.timers.set(`idle:${session.uid}`, now + state.config.idleSessionMs, {
    type: 'idle',
    uid: session.uid,
  });
}

export function mayServe(state: AgentState, connector: SpiffeId, service: ServiceName): boolean {
  return state.snapshot !== undefined && mayBeServedBy(state.snapshot.content, service, connector).allowed;
}

function refuseFlow(state: AgentState, service: ServiceName, now: number): WireError | undefined {
  const { snapshot, config } = state;
  if (state.stopped) return wireError('going-away', 'the agent is stopping');
  if (!snapshot) return wireError('stale-snapshot', 'the agent has no snapshot yet; give it one');
  if (!isFresh(snapshot, now))
    return wireError('stale-snapshot', 'the snapshot of this agent has expired; give it a newer one');
  if (!snapshot.content.services.some(({ name }) => name === service)) {
    return wireError(
      'unknown-service',
      `no service ${service} for this agent; ask for access or check the name`,
    );
  }
  if (state.queuedFlows < config.maxQueuedFlows) return undefined;
  return wireError('limit', `${config.maxQueuedFlows} connections are waiting already; try again soon`);
}

function failFlow(state: AgentState, flow: FlowKey, error: WireError) {
  state.count('flow_failed', error.code);
  state.outbox.push({ type: 'flow-failed', flow, error });
}

function codeOf(error: WireError) {
  return error.code === 'unrecognised' ? 'internal' : error.code;
}

function forgetFlow(state: AgentState, service: ServiceName, demand: Demand, flow: FlowKey) {
  state.timers.cancel(`flow:${flow}`);
  if (demand.flows.size > 0) return;
  state.demands.delete(service);
  state.timers.cancel(`retry:${service}`);
}

/** Sessions whose connector may serve `service` and is not known not to. */
function sessionsFor(state: AgentState, service: ServiceName, now: number): AgentSession[] {
  return [...state.sessions.values()].filter(
    (session) =>
      !session.doubtful &&
      mayServe(state, session.connector, service) &&
      (session.notServed.get(service) ?? 0) <= now,
  );
}

function startFlows(
  state: AgentState,
  session: AgentSession,
  service: ServiceName,
  demand: Demand,
  now: number,
) {
  const subject = session.grant.subject;
  for (const queued of [...demand.flows.values()]) {
    demand.flows.delete(queued.flow);
    forgetFlow(state, service, demand, queued.flow);
    session.flows.set(queued.flow, service);
    state.sessionOfFlow.set(queued.flow, session.uid);
    state.outbox.push({ type: 'flow-ready', session: session.uid, subject, ...queued });
  }
  state.timers.cancel(`idle:${session.uid}`);
  state.count('flow_started', now < session.grant.notAfterMs ? 'session' : 'late');
}

function isUnderWay(state: AgentState, service: ServiceName): boolean {
  return [...state.requests.values()].some(
    (request) => request.type !== 'attach' && request.service === service,
  );
}

function isExtending(state: AgentState, session: AgentSession): boolean {
  return [...state.requests.values()].some(
    (request) => request.type === 'extend' && request.uid === session.uid,
  );
}

/** Another service's session is being opened to what may turn out to be a connector of this one too. */
function isOpeningAlike(state: AgentState, service: ServiceName): boolean {
  const wanted = connectorsOf(state, service);
  return [...state.requests.values()].some((request) => {
    const others = request.type === 'open' ? connectorsOf(state, request.service) : [];
    return others.some((connector) => wanted.includes(connector));
  });
}

function connectorsOf(state: AgentState, service: ServiceName): readonly SpiffeId[] {
  return state.snapshot?.content.services.find(({ name }) => name === service)?.connectors ?? [];
}

function extend(state: AgentState, session: AgentSession, service: ServiceName, now: number) {
  const { connection } = state.link;
  if (connection === undefined) return;
  const requestId = state.request({ type: 'extend', uid: session.uid, service }, now);
  const message = { type: 'extendGrant', requestId, sessionUid: session.uid, services: [service] } as const;
  state.outbox.push({ type: 'send', connection, message });
}

function open(state: AgentState, service: ServiceName, now: number) {
  const { connection } = state.link;
  if (connection === undefined) return;
  const requestId = state.request({ type: 'open', service }, now);
  for (const [connector, until] of state.avoided) if (until <= now) state.avoided.delete(connector);
  const listed = connectorsOf(state, service);
  const bad = listed.filter((connector) => state.avoided.has(connector));
  const excludeConnectors = bad.length < listed.length ? bad : [];
  state.outbox.push({
    type: 'send',
    connection,
    message: { type: 'openSession', requestId, service, excludeConnectors },
  });
}
