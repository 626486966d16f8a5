import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { parseTenantName, parseTrustDomain, ZtnaError } from '@ztna/wire';
import { type Authority, createAuthority } from '../ca/authority.ts';
import { makeDirectory, readText, writeWhole } from '../files.ts';
import { exportPrivateKey, PBKDF2_ITERATIONS, toPem } from '../keys/pkcs8.ts';
import { loadKey } from '../local.ts';
import type { KeyPair } from '../snapshot/signer.ts';
import { derOfPem } from '../verify/trust.ts';

/**
 * A PKI in a directory:
 *
 *   pki.json                     trust domain and tenant
 *   trust.pem                    the root's certificate: the trust bundle of every component
 *   root.pem      root.key       may be taken offline once the PKI is made
 *   issuing.pem   issuing.key    issues identities
 *   snapshot.pem  snapshot.key   signs snapshots
 */
export interface PkiConfig {
  readonly trustDomain: string;
  readonly tenant: string;
}

export interface InitOptions extends PkiConfig {
  readonly dir: string;
  /** Absent: the keys lie open, protected by their file modes alone. */
  readonly passphrase?: string;
  /** Replace a PKI that is there. */
  readonly force?: boolean;
  readonly nowMs: number;
  /** PBKDF2 rounds; less than the default is for tests. */
  readonly iterations?: number;
}

const GIVE_PASSPHRASE =
  'give --passphrase-file FILE, or set ZTNA_PKI_PASSPHRASE, with that of `ztna pki init`';

const PARTS = ['root', 'issuing', 'snapshot'] as const satisfies (keyof Authority)[];

/** Makes a PKI. Gives the files written. Throws a ZtnaError; nothing is written over without `force`. */
export async function initPki(options: InitOptions): Promise<readonly string[]> {
  const { dir, nowMs, force: replace = false } = options;
  checkName('trust domain', parseTrustDomain(options.trustDomain));
  checkName('tenant', parseTenantName(options.tenant));
  const file = (name: string) => join(dir, name);
  const names = ['pki.json', 'trust.pem', ...PARTS.flatMap((part) => [`${part}.pem`, `${part}.key`])];
  const present = names.find((name) => existsSync(file(name)));
  if (present !== undefined && !replace) {
    throw pkiError(
      'pki-exists',
      `${dir} holds a PKI already (${present})`,
      'choose another --dir, or --force',
    );
  }
  makeDirectory(dir);
  const authority = await createAuthority({ ...options, nowMs });
  for (const part of PARTS) {
    const { certificate, key } = authority[part];
    const pem = exportPrivateKey(key, options.passphrase, options.iterations ?? PBKDF2_ITERATIONS);
    writeWhole(file(`${part}.key`), pem, { secret: true, replace });
    writeWhole(file(`${part}.pem`), toPem('CERTIFICATE', certificate), { replace });
  }
  writeWhole(file('trust.pem'), toPem('CERTIFICATE', authority.root.certificate), { replace });
  const config: PkiConfig = { trustDomain: options.trustDomain, tenant: options.tenant };
  writeWhole(file('pki.json'), `${JSON.stringify(config, null, 2)}\n`, { replace });
  return names.map(file);
}

/** Trust domain and tenant of a PKI. Throws a ZtnaError when the directory holds none. */
export function readPkiConfig(dir: string): PkiConfig {
  const file = join(dir, 'pki.json');
  if (!existsSync(file)) {
    throw pkiError('pki-missing', `${dir} holds no PKI`, 'make one with `ztna pki init`, or give its --dir');
  }
  let config: Partial<PkiConfig> | null = null;
  try {
    config = JSON.parse(readText(file)) as Partial<PkiConfig> | null;
  } catch (cause) {
    if (cause instanceof ZtnaError) throw cause;
  }
  const { trustDomain, tenant } = config ?? {};
  if (typeof trustDomain !== 'string' || typeof tenant !== 'string') {
    throw pkiError(
      'pki-damaged',
      `${file} does not name a trust domain and tenant`,
      'restore it from backup',
    );
  }
  return { trustDomain, tenant };
}

/** Certificate and key of one part of a PKI. Throws a ZtnaError. */
export function openPart(dir: string, part: 'issuing' | 'snapshot', passphrase?: string): KeyPair {
  const certificate = derOfPem(readText(join(dir, `${part}.pem`)));
  return { certificate, key: loadKey(join(dir, `${part}.key`), passphrase, GIVE_PASSPHRASE) };
}

export function pkiError(code: string, happened: string, remedy?: string): ZtnaError {
  return new ZtnaError({ code, fault: 'config', happened, ...(remedy === undefined ? {} : { remedy }) });
}

/** The value of a name from the command line, or a ZtnaError that says which. */
export function checkName<T>(
  what: string,
  parsed: { ok: true; value: T } | { ok: false; error: { detail: string } },
): T {
  if (!parsed.ok) throw pkiError('pki-name', `the ${what} cannot be used: ${parsed.error.detail}`);
  return parsed.value;
}
