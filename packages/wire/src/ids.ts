import { LIMITS } from './registry.ts';
import { fail, ok, type Result } from './result.ts';

declare const brand: unique symbol;
/** A value that has passed its parser. */
export type Branded<T, Name extends string> = T & { readonly [brand]: Name };

/** Whole id of a component, in its only spelling: compare with `===`, use as a key. See `spiffeParts`. */
export type SpiffeId = Branded<string, 'SpiffeId'>;
export type TrustDomain = Branded<string, 'TrustDomain'>;
export type TenantName = Branded<string, 'TenantName'>;
export type SiteName = Branded<string, 'SiteName'>;
/** Name of an agent, connector, intermediate or admin inside its tenant. */
export type ComponentName = Branded<string, 'ComponentName'>;
/** Lower-case DNS name without the suffix, e.g. `web` of `web.ztna.internal`. */
export type ServiceName = Branded<string, 'ServiceName'>;
/** The user or workload behind an agent. */
export type SubjectName = Branded<string, 'SubjectName'>;
/** 16 bytes as 32 lower-case hex digits. */
export type SessionUid = Branded<string, 'SessionUid'>;
/** W3C trace id: 16 bytes as 32 lower-case hex digits. */
export type TraceId = Branded<string, 'TraceId'>;
/** SHA-256 of a SubjectPublicKeyInfo as 64 lower-case hex digits. */
export type KeyThumbprint = Branded<string, 'KeyThumbprint'>;
/** 1 to LIMITS.relayId; local to one connection. */
export type RelayId = Branded<number, 'RelayId'>;
/** 1 to LIMITS.flowId; unique among the open flows of one connection. */
export type FlowId = Branded<number, 'FlowId'>;
/** Version of the configuration, rising; 0 means none. */
export type Revision = Branded<number, 'Revision'>;

const SEGMENT = /^[A-Za-z0-9._-]{1,63}$/;
const DOMAIN = /^[a-z0-9](?:[a-z0-9._-]{0,253}[a-z0-9])?$/;
const LABELS = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const PRINTABLE = /^[!-~]{1,255}$/;
const HEX_16 = /^[0-9a-f]{32}$/;
const HEX_32 = /^[0-9a-f]{64}$/;

function text<T extends string>(field: string, test: (s: string) => boolean, want: string) {
  return (input: string): Result<T> =>
    test(input) ? ok(input as T) : fail('invalid', field, `${excerpt(input)} is not ${want}`);
}

function integer<T extends number>(field: string, min: number, max: number) {
  return (input: number): Result<T> =>
    Number.isInteger(input) && input >= min && input <= max
      ? ok(input as T)
      : fail('out-of-range', field, `${input} is not an integer from ${min} to ${max}`);
}

/** A path segment of a SPIFFE id: no dot segments (SPIFFE-ID §2.2), nothing that needs escaping. */
export function isSegment(s: string): boolean {
  return SEGMENT.test(s) && s !== '.' && s !== '..';
}

const SEGMENT_WANTED = '1 to 63 of A-Z a-z 0-9 . _ - (and not "." or "..")';

export const parseTrustDomain = text<TrustDomain>(
  'trust domain',
  (s) => DOMAIN.test(s),
  'a lower-case trust domain of at most 255 of a-z 0-9 . _ -',
);
export const parseTenantName = text<TenantName>('tenant', isSegment, SEGMENT_WANTED);
export const parseSiteName = text<SiteName>('site', isSegment, SEGMENT_WANTED);
export const parseComponentName = text<ComponentName>('name', isSegment, SEGMENT_WANTED);
export const parseServiceName = text<ServiceName>(
  'service',
  (s) => s.length <= 128 && LABELS.test(s),
  'a lower-case DNS name of at most 128 characters',
);
export const parseSubjectName = text<SubjectName>(
  'subject',
  (s) => PRINTABLE.test(s),
  '1 to 255 printable ASCII characters without spaces',
);
export const parseSessionUid = text<SessionUid>(
  'session uid',
  (s) => HEX_16.test(s),
  '32 lower-case hex digits',
);
export const parseTraceId = text<TraceId>('trace id', (s) => HEX_16.test(s), '32 lower-case hex digits');
export const parseKeyThumbprint = text<KeyThumbprint>(
  'key thumbprint',
  (s) => HEX_32.test(s),
  '64 lower-case hex digits',
);

export const parseRelayId = integer<RelayId>('relay id', 1, LIMITS.relayId);
export const parseFlowId = integer<FlowId>('flow id', 1, LIMITS.flowId);
export const parseRevision = integer<Revision>('revision', 0, Number.MAX_SAFE_INTEGER);

/** The session uid in 16 bytes made by the caller (random, or off the wire). */
export function sessionUidFromBytes(bytes: Uint8Array): Result<SessionUid> {
  return fixedBytes(bytes, 16, 'session uid');
}

export function traceIdFromBytes(bytes: Uint8Array): Result<TraceId> {
  return fixedBytes(bytes, 16, 'trace id');
}

export function keyThumbprintFromBytes(bytes: Uint8Array): Result<KeyThumbprint> {
  return fixedBytes(bytes, 32, 'key thumbprint');
}

/** The bytes of an id that is kept as hex. */
export function idToBytes(id: SessionUid | TraceId | KeyThumbprint): Uint8Array {
  return fromHex(id);
}

export function toHex(bytes: Uint8Array): string {
  let out = '';
  for (const byte of bytes) out += byte.toString(16).padStart(2, '0');
  return out;
}

/** Bytes of a string of hex digits. Throws on anything else: for text that is known to be hex. */
export function fromHex(hex: string): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(hex)) throw new TypeError('not a string of hex digit pairs');
  const out = new Uint8Array(hex.length / 2);
  for (let i = 0; i < out.length; i++) out[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16);
  return out;
}

function fixedBytes<T extends string>(bytes: Uint8Array, size: number, field: string): Result<T> {
  return bytes.length === size
    ? ok(toHex(bytes) as T)
    : fail('invalid', field, `${bytes.length} bytes instead of ${size}`);
}

/** A short quotation of text from outside that is safe in a log line. */
export function excerpt(input: string): string {
  const shown = input.length > 64 ? `${input.slice(0, 64)}…` : input;
  return JSON.stringify(shown).replace(/[^\x20-\x7e…]/g, '?');
}
