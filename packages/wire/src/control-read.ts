import type { ControlMessage } from './control.ts';
import type { WireError } from './errors.ts';
import { Fields } from './fields.ts';
import type * as proto from './gen/ztna/v2/control_pb.ts';
import { readSignedGrant } from './grant.ts';
import {
  parseComponentName,
  parseRelayId,
  parseServiceName,
  parseTenantName,
  type RelayId,
  type Revision,
  type ServiceName,
  sessionUidFromBytes,
} from './ids.ts';
import { LIMITS } from './registry.ts';
import { fail, ok, type Result } from './result.ts';
import { parseSpiffeId } from './spiffe.ts';
import { readWireError } from './wire-error.ts';

const UINT32 = 0xffff_ffff;
const LABEL_KEY = /^[A-Za-z0-9._/-]{1,63}$/;
const LABEL_VALUE = /^[ -~]{0,255}$/;

type Known = Exclude<proto.ControlMessage['message'], { case: undefined }>;

/** Validates the fields of the one message that is there. */
export function readControlMessage(message: Known): Result<ControlMessage> {
  const fields = new Fields(message.case);
  return fields.finish(read(message, fields));
}

function read(message: Known, fields: Fields): ControlMessage {
  switch (message.case) {
    case 'hello':
      return hello(message.value, fields);
    case 'register':
      return register(message.value, fields);
    case 'registered': {
      const { services, refused } = message.value;
      return {
        type: 'registered',
        services: names('services', services, fields),
        refused: names('refused', refused, fields),
      };
    }
    case 'openSession': {
      const { requestId, service, excludeConnectors } = message.value;
      return {
        type: 'openSession',
        requestId: fields.range('request_id', requestId, 1, UINT32),
        service: fields.id('service', service, parseServiceName),
        excludeConnectors: fields.list(
          'exclude_connectors',
          excludeConnectors,
          LIMITS.connectors,
          parseSpiffeId,
        ),
      };
    }
    case 'sessionOffer':
      return sessionOffer(message.value, fields);
    case 'sessionAnswer': {
      const { sessionUid, relayId, error } = message.value;
      return {
        type: 'sessionAnswer',
        sessionUid: fields.use('session_uid', sessionUidFromBytes(sessionUid)),
        relayId: relay(relayId, fields),
        ...optional('error', error, fields),
      };
    }
    case 'attachPath': {
      const { requestId, sessionUid, grant } = message.value;
      return {
        type: 'attachPath',
        requestId: fields.range('request_id', requestId, 1, UINT32),
        sessionUid: fields.use('session_uid', sessionUidFromBytes(sessionUid)),
        grant: fields.use('grant', readSignedGrant(grant)),
      };
    }
    case 'extendGrant': {
      const { requestId, sessionUid, services } = message.value;
      return {
        type: 'extendGrant',
        requestId: fields.range('request_id', requestId, 1, UINT32),
        sessionUid: fields.use('session_uid', sessionUidFromBytes(sessionUid)),
        services: names('services', services, fields),
      };
    }
    case 'grantUpdate': {
      const { requestId, sessionUid, grant } = message.value;
      return {
        type: 'grantUpdate',
        requestId,
        sessionUid: fields.use('session_uid', sessionUidFromBytes(sessionUid)),
        grant: fields.use('grant', readSignedGrant(grant)),
      };
    }
    case 'closeSession': {
      const { sessionUid, reason } = message.value;
      return {
        type: 'closeSession',
        sessionUid: fields.use('session_uid', sessionUidFromBytes(sessionUid)),
        ...optional('reason', reason, fields),
      };
    }
    case 'goAway': {
      const { deadlineMs, alternatives, reason } = message.value;
      return {
        type: 'goAway',
        deadlineMs,
        alternatives: fields.list('alternatives', alternatives, LIMITS.alternatives, parseComponentName),
        reason: fields.text('reason', reason),
      };
    }
    case 'error':
      return { type: 'error', error: fields.use('error', readWireError(message.value)) };
    case 'goodbye':
      return { type: 'goodbye', reason: fields.text('reason', message.value.reason) };
    default:
      return message satisfies never;
  }
}

function hello(value: proto.Hello, fields: Fields): ControlMessage {
  if (value.versions.length === 0) fields.refuse('missing', 'versions', 'is empty');
  return {
    type: 'hello',
    versions: fields.list('versions', value.versions, LIMITS.versions, ok),
    features: fields.features('features', value.features),
    tenant: fields.id('tenant', value.tenant, parseTenantName),
    timeMs: fields.uint('time_ms', value.timeMs),
    instance: value.instance,
    software: fields.text('software', value.software),
    revision: fields.uint('revision', value.revision) as Revision,
  };
}

function register(value: proto.Register, fields: Fields): ControlMessage {
  const labels = fields.list('labels', Object.entries(value.labels), LIMITS.labels, ([key, text]) =>
    LABEL_KEY.test(key) && LABEL_VALUE.test(text)
      ? ok([key, text] as const)
      : fail(
          'invalid',
          'label',
          'a key is 1 to 63 of A-Z a-z 0-9 . _ / -, a value printable ASCII up to 255',
        ),
  );
  return {
    type: 'register',
    services: names('services', value.services, fields),
    capacity: value.capacity,
    labels: fields.failed ? new Map() : new Map(labels),
  };
}

function sessionOffer(value: proto.SessionOffer, fields: Fields): ControlMessage {
  return {
    type: 'sessionOffer',
    requestId: value.requestId,
    sessionUid: fields.use('session_uid', sessionUidFromBytes(value.sessionUid)),
    relayId: relay(value.relayId, fields),
    peer: fields.id('peer', value.peer, parseSpiffeId),
    grant: fields.use('grant', readSignedGrant(value.grant)),
    attach: value.attach,
  };
}

function names(field: string, inputs: readonly string[], fields: Fields): readonly ServiceName[] {
  return fields.unique(field, inputs, LIMITS.services, parseServiceName, (name) => name);
}

function relay(input: bigint, fields: Fields): RelayId {
  return fields.use('relay_id', parseRelayId(fields.uint('relay_id', input)));
}

function optional<Name extends 'error' | 'reason'>(
  name: Name,
  error: proto.Error | undefined,
  fields: Fields,
): Partial<Record<Name, WireError>> {
  if (error === undefined) return {};
  return { [name]: fields.use(name, readWireError(error)) } as Record<Name, WireError>;
}
