import { type Hello, type Revision, type TenantName, type WireError, wireError } from '@ztna/wire';

export const PROTOCOL_VERSION = 2;
/** Time for the peer's Hello after the handshake, in ms. */
export const HELLO_TIMEOUT_MS = 5_000;

/** What this process says of itself. */
export interface LocalInfo {
  readonly tenant: TenantName;
  /** Random per process start. */
  readonly instance: bigint;
  readonly software: string;
  readonly features: readonly string[];
}

export function makeHello(local: LocalInfo, revision: Revision, now: number): Hello {
  return {
    type: 'hello',
    versions: [PROTOCOL_VERSION],
    features: local.features,
    tenant: local.tenant,
    timeMs: Math.floor(now),
    instance: local.instance,
    software: local.software,
    revision,
  };
}

/** The error that refuses a Hello, or undefined when it is acceptable from a peer of `certifiedTenant`. */
export function refuseHello(
  hello: Hello,
  local: LocalInfo,
  certifiedTenant: TenantName,
): WireError | undefined {
  if (!hello.versions.includes(PROTOCOL_VERSION)) {
    const spoken = hello.versions.slice(0, 8).join(', ');
    return wireError(
      'unsupported-version',
      `this side speaks version ${PROTOCOL_VERSION}, the peer ${spoken}; update the older one`,
    );
  }
  if (hello.tenant !== certifiedTenant || certifiedTenant !== local.tenant) {
    return wireError(
      'wrong-tenant',
      'the tenant in Hello, in the certificate and of this component must be one',
    );
  }
  return undefined;
}
