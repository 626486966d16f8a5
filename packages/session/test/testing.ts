import {
  encodeControlMessage,
  type Grant,
  type RelayId,
  type Revision,
  type ServiceName,
  type SessionOffer,
  type SessionUid,
  type SignedGrant,
} from '@ztna/wire';
import { AgentCore } from '../src/agent/core.ts';
import { ConnectorCore } from '../src/connector/core.ts';
import { makeHello } from '../src/hello.ts';
import type { LinkInput } from '../src/link-io.ts';
import type { ConnectionKey, Core } from '../src/types.ts';
import { ControlPlane } from './simulation/control-plane.ts';
import { identityOf, intermediateId, service, subjectOf, TENANT } from './simulation/names.ts';

/** For tests of one core: a control plane with one of each, and what a peer would say. */
export const WEB: ServiceName = service('web');
export const UID = '00112233445566778899aabbccddeeff' as SessionUid;
export const NOW = 1_800_000_000_000;
export const LOCAL = { tenant: TENANT, instance: 1n, software: 'test', features: [] };
export const RELAY = identityOf('intermediate', 'relay');
/** The first connection of an agent's or connector's core. */
export const CONNECTION = 1 as ConnectionKey;
export const PEER_HELLO = makeHello({ ...LOCAL, instance: 2n }, 1 as Revision, NOW);
export const relayId = (id: number) => id as RelayId;

export function makePlane(): ControlPlane {
  const plane = new ControlPlane({
    agents: ['laptop', 'phone'],
    intermediates: ['relay', 'other'],
    connectors: { near: ['web'], far: ['web', 'mail'], evil: ['games'] },
  });
  for (const pair of ['laptop|web', 'laptop|mail']) plane.allowed.add(pair);
  return plane;
}

/** A grant from an intermediate for `laptop` on `near`, with changes. */
export function grantFor(plane: ControlPlane, change: Partial<Grant> = {}, by = 'relay'): SignedGrant {
  const agent = identityOf('agent', 'laptop');
  const grant: Grant = {
    tenant: TENANT,
    sessionUid: UID,
    agent: agent.id,
    agentKey: agent.keyThumbprint,
    connector: identityOf('connector', 'near').id,
    issuer: intermediateId(by),
    subject: subjectOf('laptop'),
    services: [WEB],
    policyRevision: 1 as Revision,
    notBeforeMs: NOW,
    notAfterMs: NOW + 600_000,
    requiredFeatures: [],
    ...change,
  };
  return plane.sign(intermediateId(by))(grant);
}

/** The core of `laptop`, which has a snapshot. */
export function makeAgent(
  plane: ControlPlane,
  { config = {}, snapshot = plane.forAgent('laptop') }: AgentChange = {},
): AgentCore {
  const core = new AgentCore(dependencies(plane, identityOf('agent', 'laptop')), config);
  core.handleInput({ type: 'snapshot', snapshot }, NOW);
  return core;
}

/** The core of a connector, which has a snapshot. */
export function makeConnector(
  plane: ControlPlane,
  { name = 'near', config = {}, snapshot = plane.forConnector(name) }: ConnectorChange = {},
): ConnectorCore {
  const core = new ConnectorCore(dependencies(plane, identityOf('connector', name)), config);
  core.handleInput({ type: 'snapshot', snapshot }, NOW);
  return core;
}

interface AgentChange {
  readonly config?: ConstructorParameters<typeof AgentCore>[1];
  readonly snapshot?: ReturnType<ControlPlane['forAgent']>;
}

interface ConnectorChange {
  readonly name?: string;
  readonly config?: ConstructorParameters<typeof ConnectorCore>[1];
  readonly snapshot?: ReturnType<ControlPlane['forConnector']>;
}

function dependencies(plane: ControlPlane, identity: ReturnType<typeof identityOf>) {
  return { identity, local: LOCAL, random: () => 0.5, verifyGrant: plane.verify };
}

/** RELAY, or another one, is connected, and has said Hello. */
export function greet(
  core: Pick<Core<LinkInput, never>, 'handleInput'>,
  connection = CONNECTION,
  now = NOW,
  identity = RELAY,
): void {
  core.handleInput({ type: 'outer-connected', connection, identity }, now);
  core.handleInput({ type: 'message', connection, message: PEER_HELLO }, now);
}

/** RELAY offers session UID, and relay id 7 for it, with changes: what an agent with its first request gets. */
export function offered(
  offer: Pick<SessionOffer, 'peer' | 'grant'> & Partial<SessionOffer>,
  connection = CONNECTION,
): Extract<LinkInput, { type: 'message' }> {
  const usual = { requestId: 1, sessionUid: UID, relayId: relayId(7), attach: false };
  const message: SessionOffer = { type: 'sessionOffer', ...usual, ...offer };
  return { type: 'message', connection, message };
}

/** All outputs that are pending, without events, counters and path policies; what is sent must encode. */
export function outputs<O extends { readonly type: string }>(
  core: Core<never, O>,
): Exclude<O, { type: Quiet }>[] {
  return allOutputs(core).filter(({ type }) => !isQuiet(type)) as Exclude<O, { type: Quiet }>[];
}

type Quiet = 'event' | 'count' | 'path-policy';

function isQuiet(type: string): boolean {
  return type === 'event' || type === 'count' || type === 'path-policy';
}

/** As `outputs`, and everything else too. */
export function allOutputs<O extends { readonly type: string }>(core: Core<never, O>): O[] {
  const all: O[] = [];
  for (let output = core.pollOutput(); output; output = core.pollOutput()) {
    if (output.type === 'send')
      encodeControlMessage(
        (output as unknown as { message: Parameters<typeof encodeControlMessage>[0] }).message,
      );
    all.push(output);
  }
  return all;
}
