import { create, toBinary } from '@bufbuild/protobuf';
import { Fields } from './fields.ts';
import { PathHelloSchema, NatMapping as Proto } from './gen/ztna/v2/path_pb.ts';
import { decodeMessage } from './protobuf.ts';
import { LIMITS } from './registry.ts';
import type { Result } from './result.ts';

/**
 * What a NAT does with the source port of one socket towards different destinations (RFC 4787 §4.1). `none`: the
 * address seen from outside is one of the machine's own. `destination-dependent` is also called symmetric.
 */
export type NatMapping = 'unknown' | 'none' | 'endpoint-independent' | 'destination-dependent';

/** Agent ↔ connector, on a unidirectional stream of each side; replaces the one before. For the verdict only. */
export interface PathHello {
  readonly nat: NatMapping;
  /** The sender's policy or configuration lets it use direct paths. */
  readonly directAllowed: boolean;
  /** Direct addresses that the sender shows now. */
  readonly candidates: number;
}

const MAPPINGS = {
  unknown: Proto.UNSPECIFIED,
  none: Proto.NONE,
  'endpoint-independent': Proto.ENDPOINT_INDEPENDENT,
  'destination-dependent': Proto.DESTINATION_DEPENDENT,
} as const satisfies Record<NatMapping, Proto>;

export function encodePathHello({ nat, directAllowed, candidates }: PathHello): Uint8Array {
  return toBinary(
    PathHelloSchema,
    create(PathHelloSchema, { nat: MAPPINGS[nat], directAllowed, candidates }),
  );
}

/** A mapping that this version does not know is `unknown`. Errors: too-large, malformed, out-of-range. */
export function decodePathHello(bytes: Uint8Array): Result<PathHello> {
  const message = decodeMessage(PathHelloSchema, bytes, LIMITS.pathHello, 'ignore');
  if (!message.ok) return message;
  const { nat, directAllowed, candidates } = message.value;
  const fields = new Fields('PathHello');
  if (candidates > LIMITS.candidates)
    fields.refuse('out-of-range', 'candidates', `over ${LIMITS.candidates}`);
  return fields.finish({ nat: mappingOf(nat), directAllowed, candidates });
}

function mappingOf(nat: Proto): NatMapping {
  const names = Object.keys(MAPPINGS) as NatMapping[];
  return names.find((name) => MAPPINGS[name] === nat) ?? 'unknown';
}
