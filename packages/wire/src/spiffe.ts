import {
  type ComponentName,
  excerpt,
  isSegment,
  parseTrustDomain,
  type SiteName,
  type SpiffeId,
  type TenantName,
  type TrustDomain,
} from './ids.ts';
import { fail, ok, type Result } from './result.ts';

export type Role = 'agent' | 'connector' | 'intermediate' | 'admin';

/** What a SPIFFE id of this system says. Only a connector has a site. */
export type SpiffeParts =
  | {
      readonly trustDomain: TrustDomain;
      readonly tenant: TenantName;
      readonly role: 'connector';
      readonly site: SiteName;
      readonly name: ComponentName;
    }
  | {
      readonly trustDomain: TrustDomain;
      readonly tenant: TenantName;
      readonly role: 'agent' | 'intermediate' | 'admin';
      readonly site?: undefined;
      readonly name: ComponentName;
    };

const MAX_LENGTH = 2048;

/**
 * Parses `spiffe://<trust domain>/<tenant>/agent|intermediate|admin/<name>` or
 * `spiffe://<trust domain>/<tenant>/connector/<site>/<name>`: lower-case scheme and domain, no port, query,
 * fragment, escape, empty or dot segment, at most 2048 characters. One id has one spelling.
 * Source: SPIFFE-ID §2, design §3.
 */
export function parseSpiffeId(uri: string): Result<SpiffeId> {
  const parts = parse(uri);
  return parts.ok ? ok(uri as SpiffeId) : parts;
}

/** The parts of an id that has been parsed. */
export function spiffeParts(id: SpiffeId): SpiffeParts {
  const parts = parse(id);
  if (!parts.ok) throw new TypeError(`not a parsed SPIFFE id: ${parts.error.detail}`);
  return parts.value;
}

/** The id made of parts that have been parsed. */
export function formatSpiffeId(parts: SpiffeParts): SpiffeId {
  const place = parts.role === 'connector' ? `${parts.site}/${parts.name}` : parts.name;
  return `spiffe://${parts.trustDomain}/${parts.tenant}/${parts.role}/${place}` as SpiffeId;
}

function parse(uri: string): Result<SpiffeParts> {
  const refuse = (why: string) => fail('invalid', 'spiffe id', `${excerpt(uri)}: ${why}`);
  if (uri.length > MAX_LENGTH) return fail('too-large', 'spiffe id', `over ${MAX_LENGTH} characters`);
  if (!uri.startsWith('spiffe://')) return refuse('does not begin with spiffe://');
  const [domain = '', tenant = '', role = '', ...place] = uri.slice('spiffe://'.length).split('/');
  const trustDomain = parseTrustDomain(domain);
  if (!trustDomain.ok) return trustDomain;
  if (![tenant, role, ...place].every(isSegment)) return refuse('has a segment that is not allowed');
  const common = { trustDomain: trustDomain.value, tenant: tenant as TenantName };
  switch (role) {
    case 'connector': {
      if (place.length !== 2) return refuse('a connector is connector/<site>/<name>');
      return ok({ ...common, role, site: place[0] as SiteName, name: place[1] as ComponentName });
    }
    case 'agent':
    case 'intermediate':
    case 'admin': {
      if (place.length !== 1) return refuse(`an id of this role is ${role}/<name>`);
      return ok({ ...common, role, name: place[0] as ComponentName });
    }
    default:
      return refuse('the role is none of agent, connector, intermediate, admin');
  }
}
