import { mayOpenFlow } from '@ztna/policy';
import { type ServiceName, type SessionUid, type Target, type WireError, wireError } from '@ztna/wire';
import type { FlowKey } from '../types.ts';
import { hasPathFor } from './direct.ts';
import type { DialFailure, FlowRequest } from './io.ts';
import type { ConnectorSession, ConnectorState, Flow } from './state.ts';

/** The shell has this long to report the last figures of a flow that was cut. */
const CUT_REPORT_MS = 5_000;
const MISSES_DIRECT = 'the policy requires a direct path, and the session uses none';

/** FlowOpen: decided by the own snapshot, the grant in force and the limits; then dialled, or refused. */
export function onFlowOpened(
  state: ConnectorState,
  uid: SessionUid,
  key: FlowKey,
  request: FlowRequest,
  now: number,
) {
  const session = state.sessions.get(uid);
  if (!session) {
    const error = wireError('unknown-session', 'no such session');
    state.count('flow_refused', error.code);
    return state.outbox.push({ type: 'refuse-flow', flow: key, error });
  }
  const target = refuse(state, session) ?? decide(state, session, request);
  if (!isTarget(target)) {
    state.outbox.push({ type: 'refuse-flow', flow: key, error: target });
    return recordRefusal(state, session, key, request, target, now);
  }
  const flow: Flow = {
    key,
    session: uid,
    agent: session.agent,
    request,
    target,
    openedAtMs: now,
    state: 'lagging',
    cause: undefined,
  };
  state.flows.set(key, flow);
  state.flowsOf.add(flow.agent, 1);
  session.flows.add(key);
  if (mayStart(state, session, request.service)) return dial(state, flow, now);
  state.timers.set(`lag:${key}`, now + state.config.grantLagMs, { type: 'lag', flow: key });
}

export function onDialSucceeded(state: ConnectorState, key: FlowKey) {
  const flow = state.flows.get(key);
  if (flow?.state !== 'dialling') return;
  state.dialsOf.add(flow.agent, -1);
  flow.state = 'open';
  state.outbox.push({ type: 'answer-flow', flow: key });
  state.count('flow', 'opened');
}

export function onDialFailed(
  state: ConnectorState,
  key: FlowKey,
  code: DialFailure,
  reason: string,
  now: number,
) {
  const flow = state.flows.get(key);
  if (flow?.state === 'dialling') refuseFlow(state, flow, wireError(code, reason), now);
}

export function onFlowClosed(
  state: ConnectorState,
  key: FlowKey,
  figures: { readonly sent: number; readonly received: number; readonly reason: string },
  now: number,
) {
  const flow = state.flows.get(key);
  if (!flow) return;
  const verdict = flow.state === 'open' ? 'allowed' : flow.state === 'cut' ? 'cut' : 'refused';
  const reason = flow.cause ?? (flow.state === 'open' ? figures.reason : 'abandoned');
  forget(state, flow);
  record(state, flow, { ...figures, verdict, reason }, now);
}

/** What the flow overtook did not come: the GrantUpdate, or the news of the direct path that it requires. */
export function onLagOver(state: ConnectorState, key: FlowKey, now: number) {
  const flow = state.flows.get(key);
  const session = flow && state.sessions.get(flow.session);
  if (flow?.state !== 'lagging' || !session) return;
  const { service } = flow.request;
  const granted = session.grant.services.includes(service);
  const why = granted ? MISSES_DIRECT : `the grant does not cover ${service}`;
  refuseFlow(state, flow, wireError('not-authorized', why), now);
}

export function onCutReportMissing(state: ConnectorState, key: FlowKey, now: number) {
  onFlowClosed(state, key, { sent: 0, received: 0, reason: 'no figures' }, now);
}

/** Grant or snapshot changed: flows no longer covered are cut, those that waited for it go on. */
export function reviewFlows(state: ConnectorState, session: ConnectorSession, now: number) {
  for (const key of [...session.flows]) {
    const flow = state.flows.get(key);
    if (!flow || flow.state === 'cut') continue;
    const granted = session.grant.services.includes(flow.request.service);
    const target = decide(state, session, flow.request);
    if (!isTarget(target)) {
      endFlow(state, flow, target, now);
    } else if (!sameBackend(target, flow.target)) {
      endFlow(state, flow, wireError('not-authorized', 'the service has another backend now'), now);
    } else if (flow.state === 'lagging') {
      if (mayStart(state, session, flow.request.service)) dial(state, flow, now);
    } else if (!granted) {
      endFlow(state, flow, wireError('not-authorized', 'the grant no longer covers this flow'), now);
    } else if (!hasPathFor(state, session, flow.request.service)) {
      endFlow(state, flow, wireError('not-authorized', MISSES_DIRECT), now);
    }
  }
}

/** The session is over. */
export function endFlows(state: ConnectorState, session: ConnectorSession, error: WireError, now: number) {
  for (const key of [...session.flows]) {
    const flow = state.flows.get(key);
    if (flow && flow.state !== 'cut') endFlow(state, flow, error, now);
  }
}

function mayStart(state: ConnectorState, session: ConnectorSession, service: ServiceName): boolean {
  return session.grant.services.includes(service) && hasPathFor(state, session, service);
}

function refuse(state: ConnectorState, session: ConnectorSession): WireError | undefined {
  const { maxFlowsPerSession, maxFlowsPerAgent } = state.config;
  if (!session.up) return wireError('unknown-session', 'the session is not open');
  if (state.flowsOf.of(session.agent) >= maxFlowsPerAgent)
    return wireError('limit', `over ${maxFlowsPerAgent} flows of this agent`);
  if (session.flows.size >= maxFlowsPerSession)
    return wireError('limit', `over ${maxFlowsPerSession} flows in this session`);
  return undefined;
}

/** The own snapshot's decision, with the target when it allows. */
function decide(state: ConnectorState, session: ConnectorSession, request: FlowRequest): Target | WireError {
  const { service, subject, transport, port } = request;
  const { content } = state.snapshot ?? {};
  if (!content || subject !== session.grant.subject)
    return wireError('not-authorized', 'the subject is not that of the session');
  const decision = mayOpenFlow(content, { agent: session.agent, subject }, service, transport, port);
  if (decision.allowed) return decision.target;
  switch (decision.reason) {
    case 'revoked':
      return wireError('revoked', 'the agent was revoked');
    case 'unknown-service':
    case 'unknown-port':
      return wireError(
        'unknown-service',
        `the connector has no ${transport} port ${port || '(only one)'} of ${service}`,
      );
    default:
      return wireError('not-authorized', `the policy of the connector does not allow ${service}`);
  }
}

function isTarget(outcome: Target | WireError): outcome is Target {
  return 'backend' in outcome;
}

function sameBackend(a: Target, b: Target): boolean {
  return a.backend.host === b.backend.host && a.backend.port === b.backend.port;
}

function dial(state: ConnectorState, flow: Flow, now: number) {
  const { maxPendingDials, maxPendingDialsPerAgent } = state.config;
  const mine = state.dialsOf.of(flow.agent);
  if (state.dialsOf.total >= maxPendingDials || mine >= maxPendingDialsPerAgent) {
    const error = wireError('limit', 'too many connections to backends are being opened');
    return refuseFlow(state, flow, error, now);
  }
  state.timers.cancel(`lag:${flow.key}`);
  flow.state = 'dialling';
  state.dialsOf.add(flow.agent, 1);
  state.outbox.push({ type: 'dial', flow: flow.key, session: flow.session, target: flow.target });
}

function endFlow(state: ConnectorState, flow: Flow, error: WireError, now: number) {
  if (flow.state !== 'open') return refuseFlow(state, flow, error, now);
  flow.state = 'cut';
  flow.cause = error.code;
  state.timers.set(`cut:${flow.key}`, now + CUT_REPORT_MS, { type: 'cut', flow: flow.key });
  state.outbox.push({ type: 'cut-flow', flow: flow.key, error });
  state.count('flow', 'cut');
}

function refuseFlow(state: ConnectorState, flow: Flow, error: WireError, now: number) {
  forget(state, flow);
  state.outbox.push({ type: 'refuse-flow', flow: flow.key, error });
  state.count('flow_refused', error.code);
  record(state, flow, { sent: 0, received: 0, verdict: 'refused', reason: error.code }, now);
}

function forget(state: ConnectorState, flow: Flow) {
  if (flow.state === 'dialling') state.dialsOf.add(flow.agent, -1);
  if (state.flows.delete(flow.key)) state.flowsOf.add(flow.agent, -1);
  state.sessions.get(flow.session)?.flows.delete(flow.key);
  for (const timer of ['lag', 'cut']) state.timers.cancel(`${timer}:${flow.key}`);
}

type Ending = {
  readonly sent: number;
  readonly received: number;
  readonly verdict: 'allowed' | 'refused' | 'cut';
  readonly reason: string;
};

function record(
  state: ConnectorState,
  flow: Omit<Flow, 'target' | 'state' | 'cause'>,
  ending: Ending,
  now: number,
) {
  const { key, session, agent, request, openedAtMs } = flow;
  const { sent, received, verdict, reason } = ending;
  state.outbox.push({
    type: 'record',
    session,
    flow: key,
    agent,
    ...request,
    openedAtMs,
    closedAtMs: now,
    sent,
    received,
    verdict,
    reason,
  });
}

function recordRefusal(
  state: ConnectorState,
  session: ConnectorSession,
  key: FlowKey,
  request: FlowRequest,
  error: WireError,
  now: number,
) {
  state.count('flow_refused', error.code);
  const flow = { key, session: session.uid, agent: session.agent, request, openedAtMs: now };
  record(state, flow, { sent: 0, received: 0, verdict: 'refused', reason: error.code }, now);
}
