import type { DirectPaths } from '@ztna/wire';
import { describe, expect, it } from 'vitest';
import { identityOf, subjectOf } from '../../test/simulation/names.ts';
import {
  allOutputs,
  grantFor,
  greet,
  makeConnector,
  makePlane,
  NOW,
  offered,
  outputs,
  UID,
  WEB,
} from '../../test/testing.ts';
import type { FlowKey } from '../types.ts';
import type { ConnectorCore } from './core.ts';

const LAPTOP = identityOf('agent', 'laptop');

describe('direct paths of a connector', () => {
  it('tells policy and whether private addresses may be shown, again only when changed', () => {
    const { core, plane } = arrange('allow');
    expect(policies(core)).toEqual([['allow', false]]);
    core.handleInput({ type: 'snapshot', snapshot: snapshot(plane, 'allow') }, NOW);
    expect(policies(core)).toEqual([]);
    core.handleInput({ type: 'snapshot', snapshot: snapshot(plane, 'require', true) }, NOW);
    expect(policies(core)).toEqual([['require', true]]);
  });

  it('dials at once where a direct path is in use, or none is required', () => {
    const { core } = arrange('allow');
    open(core, 1);
    expect(kinds(core)).toContain('dial');
    const strict = arrange('require').core;
    strict.handleInput({ type: 'direct', session: UID, inUse: true }, NOW);
    open(strict, 1);
    expect(kinds(strict)).toContain('dial');
  });

  it('waits a moment for the news of the direct path, then refuses', () => {
    const { core } = arrange('require');
    open(core, 1);
    open(core, 2);
    expect(kinds(core)).not.toContain('dial');
    core.handleInput({ type: 'flow-closed', flow: 2 as FlowKey, sent: 0, received: 0, reason: '' }, NOW);
    core.handleTimeout(NOW + 1_000);
    const refused = outputs(core).filter((output) => output.type === 'refuse-flow');
    expect(refused).toMatchObject([{ flow: 1, error: { code: 'not-authorized' } }]);
    expect(refused[0]?.error.message).toContain('direct path');
    open(core, 3, NOW + 1_000);
    core.handleInput({ type: 'direct', session: UID, inUse: true }, NOW + 1_100);
    expect(kinds(core)).toContain('dial');
  });

  it('cuts flows that require the direct path when it is gone, and no others', () => {
    for (const [direct, cut] of [
      ['require', true],
      ['allow', false],
    ] as const) {
      const { core } = arrange(direct);
      core.handleInput({ type: 'direct', session: UID, inUse: true }, NOW);
      open(core, 1);
      core.handleInput({ type: 'dial-succeeded', flow: 1 as FlowKey }, NOW);
      outputs(core);
      core.handleInput({ type: 'direct', session: UID, inUse: false }, NOW);
      expect(kinds(core).includes('cut-flow')).toBe(cut);
    }
  });
});

function policies(core: ConnectorCore): [DirectPaths, boolean][] {
  return allOutputs(core).flatMap((output): [DirectPaths, boolean][] =>
    output.type === 'path-policy' ? [[output.direct, output.showPrivateAddresses]] : [],
  );
}

function kinds(core: ConnectorCore): string[] {
  return outputs(core).map(({ type }) => type);
}

function open(core: ConnectorCore, flow: number, now = NOW): void {
  const request = { service: WEB, transport: 'tcp', port: 80, subject: subjectOf('laptop') } as const;
  core.handleInput(
    { type: 'flow-opened', session: UID, flow: flow as FlowKey, traceId: '', ...request },
    now,
  );
}

function snapshot(plane: ReturnType<typeof makePlane>, direct: DirectPaths, showPrivateAddresses = false) {
  const { content, ...rest } = plane.forConnector('near');
  const services = content.services.map((service) => ({ ...service, direct }));
  return { ...rest, content: { ...content, services, showPrivateAddresses } };
}

/** A session that is up. */
function arrange(direct: DirectPaths) {
  const plane = makePlane();
  const core = makeConnector(plane, { snapshot: snapshot(plane, direct) });
  greet(core);
  core.handleInput(offered({ requestId: 0, peer: LAPTOP.id, grant: grantFor(plane) }), NOW);
  core.handleInput({ type: 'inner-connected', session: UID, identity: LAPTOP }, NOW);
  return { core, plane };
}
