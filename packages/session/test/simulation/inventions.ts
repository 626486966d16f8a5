import type { Rng } from '@ztna/sim';
import {
  type ControlMessage,
  encodeGrant,
  type RelayId,
  type Revision,
  type SessionUid,
  type SignedGrant,
} from '@ztna/wire';
import type { PeerIdentity } from '../../src/types.ts';
import { connectorId, service, TENANT } from './names.ts';
import type { World } from './world.ts';

export function hello(): ControlMessage {
  return {
    ...({ type: 'hello', versions: [2], features: [], tenant: TENANT, timeMs: 0 } as const),
    ...{ instance: 1n, software: '', revision: 0 as Revision },
  };
}

/** Any message but Hello, with uids and grants that were overheard, forged or made up. */
export function invent(world: World, rng: Rng, self: PeerIdentity, own?: SignedGrant): ControlMessage {
  const { connectors, hostile } = world.plane.layout;
  const requestId = rng.int(6);
  const sessionUid = anyUid(world, rng);
  const relayId = (1 + rng.int(5)) as RelayId;
  const grant = own ?? anyGrant(world, rng, self);
  const services = [service(rng.pick([...world.plane.everyService, 'nothing']))];
  const peer = connectorId(rng.pick([...Object.keys(connectors), ...Object.keys(hostile?.connectors ?? {})]));
  const error = { code: 'limit', message: 'x', retryable: rng.chance(0.5), requestId } as const;
  return rng.pick<ControlMessage>([
    { type: 'register', services, capacity: 0, labels: new Map() },
    { type: 'registered', services, refused: [] },
    {
      type: 'openSession',
      requestId: requestId + 1,
      service: service(services[0] ?? ''),
      excludeConnectors: [],
    },
    { type: 'sessionOffer', requestId, sessionUid, relayId, peer, grant, attach: rng.chance(0.5) },
    { type: 'sessionAnswer', sessionUid, relayId },
    { type: 'sessionAnswer', sessionUid, relayId, error },
    { type: 'attachPath', requestId: requestId + 1, sessionUid, grant },
    { type: 'extendGrant', requestId: requestId + 1, sessionUid, services },
    { type: 'grantUpdate', requestId, sessionUid, grant },
    { type: 'closeSession', sessionUid },
    { type: 'goAway', deadlineMs: rng.int(10_000), alternatives: [], reason: '' },
    { type: 'error', error },
    { type: 'goodbye', reason: '' },
  ]);
}

export function anyUid(world: World, rng: Rng): SessionUid {
  const { issued } = world.plane;
  return issued.length > 0 && rng.chance(0.8) ? rng.pick(issued).grant.sessionUid : newUid(rng);
}

export function newUid(rng: Rng): SessionUid {
  return Array.from(rng.bytes(16), (b) => b.toString(16).padStart(2, '0')).join('') as SessionUid;
}

function anyGrant(world: World, rng: Rng, self: PeerIdentity): SignedGrant {
  const { issued } = world.plane;
  if (issued.length === 0)
    return { grant: rng.bytes(40), signature: rng.bytes(64), issuerChain: [rng.bytes(40)] };
  const { grant, signed } = rng.pick(issued);
  const forged = { ...grant, agent: self.id, agentKey: self.keyThumbprint };
  return rng.chance(0.5) ? signed : { ...signed, grant: encodeGrant(forged) };
}
