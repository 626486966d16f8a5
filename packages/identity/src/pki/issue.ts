import { createPublicKey } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  formatSpiffeId,
  parseComponentName,
  parseSiteName,
  parseTenantName,
  parseTrustDomain,
  type SpiffeId,
} from '@ztna/wire';
import { issueLeaf, publicKeyOfRequest } from '../ca/issue.ts';
import { keyThumbprint, readCertificate } from '../certificate.ts';
import { readText, writeWhole } from '../files.ts';
import { exportPrivateKey, generateKey, toPem } from '../keys/pkcs8.ts';
import { checkName, openPart, type PkiConfig, pkiError, readPkiConfig } from './directory.ts';

export type IssuableRole = 'agent' | 'connector' | 'intermediate';

export interface IssueOptions {
  readonly dir: string;
  readonly role: IssuableRole;
  readonly name: string;
  /** A connector's, and nobody else's. */
  readonly site?: string;
  readonly ttlMs?: number;
  /** Directory for the files; by default `issued/<role>/[<site>/]<name>` in the PKI's. */
  readonly out?: string;
  /** PKCS#10 file: the key stays where it was made, and no key file is written. */
  readonly csrFile?: string;
  readonly passphrase?: string;
  readonly force?: boolean;
  readonly nowMs: number;
}

export interface Issued {
  readonly id: SpiffeId;
  readonly serial: string;
  /** SHA-256 of the public key, hexadecimal. */
  readonly keyThumbprint: string;
  readonly notAfterMs: number;
  readonly certificateFile: string;
  readonly privateKeyFile: string | undefined;
  readonly bundleFile: string;
}

/** Issues the identity of one component into files. Throws a ZtnaError. */
export async function issueIdentity(options: IssueOptions): Promise<Issued> {
  const { dir, nowMs, force: replace = false } = options;
  const id = idOf(readPkiConfig(dir), options);
  const issuing = openPart(dir, 'issuing', options.passphrase);
  const key = options.csrFile === undefined ? generateKey('p256') : undefined;
  const publicKey = key === undefined ? await readRequest(options.csrFile ?? '') : createPublicKey(key);
  const { ttlMs } = options;
  const issued = await issueLeaf(issuing, {
    id,
    publicKey,
    nowMs,
    ...(ttlMs === undefined ? {} : { ttlMs }),
  });
  if (!issued.ok) throw pkiError(`pki-${issued.error.code}`, issued.error.detail);
  const leaf = readCertificate(issued.value[0] ?? new Uint8Array());
  if (leaf === undefined) throw new TypeError('an issued certificate cannot be read');

  const place = options.site === undefined ? [options.name] : [options.site, options.name];
  const out = options.out ?? join(dir, 'issued', options.role, ...place);
  const certificateFile = join(out, 'certificate.pem');
  const privateKeyFile = key === undefined ? undefined : join(out, 'key.pem');
  const taken = [certificateFile, privateKeyFile].find((file) => file !== undefined && existsSync(file));
  if (taken !== undefined && !replace) {
    throw pkiError('file-exists', `${taken} exists already`, 'choose another --out, or --force');
  }
  if (key !== undefined) {
    writeWhole(join(out, 'key.pem'), exportPrivateKey(key), { secret: true, replace });
  }
  const chain = issued.value.map((der) => toPem('CERTIFICATE', der)).join('');
  writeWhole(certificateFile, chain, { replace });
  const bundleFile = join(out, 'trust.pem');
  writeWhole(bundleFile, readText(join(dir, 'trust.pem')), { replace: true });
  return {
    ...{ id, serial: leaf.serial, notAfterMs: leaf.notAfterMs },
    keyThumbprint: Buffer.from(keyThumbprint(leaf)).toString('hex'),
    ...{ certificateFile, privateKeyFile, bundleFile },
  };
}

function idOf(config: PkiConfig, { role, name, site }: IssueOptions): SpiffeId {
  const common = {
    trustDomain: checkName('trust domain', parseTrustDomain(config.trustDomain)),
    tenant: checkName('tenant', parseTenantName(config.tenant)),
    name: checkName('name', parseComponentName(name)),
  };
  if (role !== 'connector') {
    if (site !== undefined) throw pkiError('pki-site', `an ${role} has no site`, 'leave out --site');
    return formatSpiffeId({ ...common, role });
  }
  if (site === undefined) throw pkiError('pki-site', 'a connector needs a site', 'give --site SITE');
  return formatSpiffeId({ ...common, role, site: checkName('site', parseSiteName(site)) });
}

async function readRequest(file: string) {
  const publicKey = await publicKeyOfRequest(readText(file, 64 * 1024));
  if (!publicKey.ok) throw pkiError('pki-csr', `${file}: ${publicKey.error.detail}`);
  return publicKey.value;
}
