import { REPLY, type ReplyCode } from './socks5.ts';

/** How an error of a flow is told to the clients of the two proxies. */
export interface ProxyReply {
  readonly socks: ReplyCode;
  readonly http: 403 | 502 | 503 | 504;
}

const NOT_ALLOWED: ProxyReply = { socks: REPLY.notAllowed, http: 403 };
const OTHER: ProxyReply = { socks: REPLY.generalFailure, http: 502 };

/** By the stable code of a ZtnaError. */
const REPLIES: Readonly<Record<string, ProxyReply>> = {
  'backend-refused': { socks: REPLY.connectionRefused, http: 502 },
  'backend-unreachable': { socks: REPLY.hostUnreachable, http: 502 },
  'backend-name': { socks: REPLY.hostUnreachable, http: 502 },
  'backend-timeout': { socks: REPLY.ttlExpired, http: 504 },
  'backend-forbidden': NOT_ALLOWED,
  'not-authorized': NOT_ALLOWED,
  'unknown-service': NOT_ALLOWED,
  'unknown-port': NOT_ALLOWED,
  'wrong-tenant': NOT_ALLOWED,
  'grant-expired': NOT_ALLOWED,
  'grant-invalid': NOT_ALLOWED,
  revoked: NOT_ALLOWED,
  'stale-snapshot': { socks: REPLY.generalFailure, http: 503 },
  'no-connector': { socks: REPLY.networkUnreachable, http: 502 },
  'going-away': { socks: REPLY.networkUnreachable, http: 503 },
  'name-unresolved': { socks: REPLY.networkUnreachable, http: 504 },
  'no-route': { socks: REPLY.networkUnreachable, http: 504 },
  'intermediate-stopped': { socks: REPLY.networkUnreachable, http: 504 },
  'not-listening': { socks: REPLY.networkUnreachable, http: 504 },
  'udp-blocked': { socks: REPLY.networkUnreachable, http: 504 },
  'intermediate-silent': { socks: REPLY.networkUnreachable, http: 504 },
  'handshake-failed': { socks: REPLY.networkUnreachable, http: 504 },
  timeout: { socks: REPLY.networkUnreachable, http: 504 },
  limit: { socks: REPLY.generalFailure, http: 503 },
};

/** The answer for an error with this code; a general failure for any other. */
export function replyFor(code: string): ProxyReply {
  return REPLIES[code] ?? OTHER;
}
