import { create } from '@bufbuild/protobuf';
import type { ControlMessage } from './control.ts';
import { clip } from './fields.ts';
import { ControlMessageSchema, type ControlMessage as Proto } from './gen/ztna/v2/control_pb.ts';
import { writeSignedGrant } from './grant.ts';
import { idToBytes } from './ids.ts';
import { writeWireError } from './wire-error.ts';

type Init = Exclude<
  NonNullable<Parameters<typeof create<typeof ControlMessageSchema>>[1]>['message'],
  undefined
>;

/** The protobuf form of a message. */
export function writeControlMessage(message: ControlMessage): Proto {
  return create(ControlMessageSchema, { message: body(message) });
}

function body(message: ControlMessage): Init {
  switch (message.type) {
    case 'hello':
      return {
        case: 'hello',
        value: {
          versions: [...message.versions],
          features: [...message.features],
          tenant: message.tenant,
          timeMs: BigInt(message.timeMs),
          instance: message.instance,
          software: clip(message.software),
          revision: BigInt(message.revision),
        },
      };
    case 'register': {
      const { services, capacity, labels } = message;
      return {
        case: 'register',
        value: { services: [...services], capacity, labels: Object.fromEntries(labels) },
      };
    }
    case 'registered':
      return {
        case: 'registered',
        value: { services: [...message.services], refused: [...message.refused] },
      };
    case 'openSession': {
      const { requestId, service, excludeConnectors } = message;
      return {
        case: 'openSession',
        value: { requestId, service, excludeConnectors: [...excludeConnectors] },
      };
    }
    case 'sessionOffer': {
      const { requestId, sessionUid, relayId, peer, grant, attach } = message;
      return {
        case: 'sessionOffer',
        value: {
          requestId,
          sessionUid: idToBytes(sessionUid),
          relayId: BigInt(relayId),
          peer,
          grant: writeSignedGrant(grant),
          attach,
        },
      };
    }
    case 'sessionAnswer': {
      const { sessionUid, relayId, error } = message;
      return {
        case: 'sessionAnswer',
        value: {
          sessionUid: idToBytes(sessionUid),
          relayId: BigInt(relayId),
          ...(error && { error: writeWireError(error) }),
        },
      };
    }
    case 'attachPath':
    case 'grantUpdate': {
      const { requestId, sessionUid, grant } = message;
      return {
        case: message.type,
        value: { requestId, sessionUid: idToBytes(sessionUid), grant: writeSignedGrant(grant) },
      };
    }
    case 'extendGrant': {
      const { requestId, sessionUid, services } = message;
      return {
        case: 'extendGrant',
        value: { requestId, sessionUid: idToBytes(sessionUid), services: [...services] },
      };
    }
    case 'closeSession': {
      const { sessionUid, reason } = message;
      return {
        case: 'closeSession',
        value: { sessionUid: idToBytes(sessionUid), ...(reason && { reason: writeWireError(reason) }) },
      };
    }
    case 'goAway': {
      const { deadlineMs, alternatives, reason } = message;
      return {
        case: 'goAway',
        value: { deadlineMs, alternatives: [...alternatives], reason: clip(reason) },
      };
    }
    case 'error':
      return { case: 'error', value: writeWireError(message.error) };
    case 'goodbye':
      return { case: 'goodbye', value: { reason: clip(message.reason) } };
    default:
      return message satisfies never;
  }
}
