import { randomBytes } from 'node:crypto';
import type { LocalInfo } from '@ztna/session';
import { FEATURES, type TenantName } from '@ztna/wire';

/** Version of this software, as Hello and metrics tell it. */
export const SOFTWARE_VERSION = '0.1.0';

/** What this process says of itself in Hello; `instance` is new in each process. */
export function localInfo(tenant: TenantName): LocalInfo {
  return {
    tenant,
    instance: randomBytes(8).readBigUInt64BE(),
    software: `ztna/${SOFTWARE_VERSION}`,
    features: Object.values(FEATURES),
  };
}
