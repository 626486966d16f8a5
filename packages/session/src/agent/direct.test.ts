import type { DirectPaths } from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import { identityOf } from '../../test/simulation/names.ts';
import {
  allOutputs,
  CONNECTION,
  grantFor,
  greet,
  makeAgent,
  makePlane,
  NOW,
  offered,
  outputs,
  UID,
  WEB,
} from '../../test/testing.ts';
import type { FlowKey } from '../types.ts';
import type { AgentCore } from './core.ts';

describe('direct paths of an agent', () => {
  it('tells the policy once the session is up, and again only when a snapshot changed it', () => {
    const { core, plane } = arrange('allow');
    expect(policies(core)).toEqual(['allow']);
    core.handleInput({ type: 'snapshot', snapshot: snapshot(plane, 'allow') }, NOW);
    expect(policies(core)).toEqual([]);
    core.handleInput({ type: 'snapshot', snapshot: snapshot(plane, 'deny') }, NOW);
    expect(policies(core)).toEqual(['deny']);
  });

  it('keeps flows waiting while a direct path is required and missing, and starts them when it is there', () => {
    const { core } = arrange('require');
    expect(started(core)).toEqual([]);
    core.handleInput({ type: 'direct', session: UID, inUse: true }, NOW + 50);
    expect(started(core)).toEqual([1]);
    want(core, 2);
    expect(started(core)).toEqual([2]);
    core.handleInput({ type: 'direct', session: UID, inUse: false }, NOW + 60);
    want(core, 3);
    expect(started(core)).toEqual([]);
  });

  it('cuts the flows that require one when it is lost, and no others', () => {
    const { core } = arrange('require');
    core.handleInput({ type: 'direct', session: UID, inUse: true }, NOW);
    expect(cut(core)).toEqual([]);
    core.handleInput({ type: 'direct', session: UID, inUse: false }, NOW);
    expect(cut(core)).toEqual([1]);
    core.handleInput({ type: 'flow-closed', flow: 1 as FlowKey }, NOW);
    core.handleInput({ type: 'direct', session: UID, inUse: false }, NOW);
    expect(cut(core)).toEqual([]);

    const other = arrange('allow').core;
    other.handleInput({ type: 'direct', session: UID, inUse: true }, NOW);
    other.handleInput({ type: 'direct', session: UID, inUse: false }, NOW);
    expect(cut(other)).toEqual([]);
  });

  it('cuts relayed flows when a new snapshot requires a direct path', () => {
    const { core, plane } = arrange('allow');
    core.handleInput({ type: 'snapshot', snapshot: snapshot(plane, 'require') }, NOW);
    expect(cut(core)).toEqual([1]);
  });

  it('fails such a flow in time and says that the policy requires a direct path', () => {
    const { core } = arrange('require');
    outputs(core);
    core.handleTimeout(NOW + 10_000);
    const failed = outputs(core).find((output) => output.type === 'flow-failed');
    expect(failed?.error).toMatchObject({ code: 'no-connector' });
    expect(failed?.error.message).toContain('requires a direct path');
  });

  it('starts flows over a direct path while no intermediate is connected', () => {
    const { core } = arrange('allow');
    core.handleInput({ type: 'direct', session: UID, inUse: true }, NOW);
    core.handleInput({ type: 'outer-lost', connection: CONNECTION, reason: 'killed' }, NOW);
    outputs(core);
    want(core, 2);
    expect(started(core)).toEqual([2]);
    core.handleInput({ type: 'direct', session: UID, inUse: false }, NOW);
    want(core, 3);
    expect(started(core)).toEqual([]);
  });
});

function policies(core: AgentCore): DirectPaths[] {
  return allOutputs(core).flatMap((output) => (output.type === 'path-policy' ? [output.direct] : []));
}

function cut(core: AgentCore): FlowKey[] {
  return outputs(core).flatMap((output) => (output.type === 'cut-flow' ? [output.flow] : []));
}

function started(core: AgentCore): FlowKey[] {
  return outputs(core).flatMap((output) => (output.type === 'flow-ready' ? [output.flow] : []));
}

function want(core: AgentCore, flow: number): void {
  const request = { flow: flow as FlowKey, service: WEB, transport: 'tcp', port: 80 } as const;
  core.handleInput({ type: 'flow-requested', ...request }, NOW);
}

function snapshot(plane: ReturnType<typeof makePlane>, direct: DirectPaths) {
  const { content, ...rest } = plane.forAgent('laptop');
  const services = content.services.map((service) => ({ ...service, direct }));
  return { ...rest, content: { ...content, services } };
}

/** A session that is up, with flow 1 asked for. */
function arrange(direct: DirectPaths) {
  const plane = makePlane();
  const core = makeAgent(plane, { snapshot: snapshot(plane, direct) });
  greet(core);
  want(core, 1);
  const peer = identityOf('connector', 'near');
  core.handleInput(offered({ peer: peer.id, grant: grantFor(plane) }), NOW);
  core.handleInput({ type: 'inner-connected', session: UID, identity: peer }, NOW);
  return { core, plane };
}
