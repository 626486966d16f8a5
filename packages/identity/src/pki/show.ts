import { createHash } from 'node:crypto';
import { type DirectPaths, type Snapshot, ZtnaError } from '@ztna/wire';
import { type Certificate, keyThumbprint, readCertificate } from '../certificate.ts';
import { readWhole } from '../files.ts';
import { peekSnapshot } from '../snapshot/envelope.ts';
import { SNAPSHOT_SIGNING_EKU } from '../snapshot/signer.ts';
import { derOfPem, splitPem } from '../verify/trust.ts';
import { pkiError } from './directory.ts';

export interface CertificateSummary {
  readonly kind: 'authority' | 'snapshot-signer' | 'identity';
  readonly names: readonly string[];
  readonly serial: string;
  readonly notBefore: string;
  readonly notAfter: string;
  readonly keyThumbprint: string;
  /** SHA-256 of the certificate. */
  readonly fingerprint: string;
}

/** What a file holds, for people and for JSON. Nothing in it has been verified. */
export type Shown =
  | { readonly type: 'certificates'; readonly certificates: readonly CertificateSummary[] }
  | { readonly type: 'snapshot'; readonly snapshot: Snapshot };

/** Describes a PEM file of certificates or a snapshot envelope. Throws a ZtnaError for anything else. */
export function describeFile(file: string): Shown {
  const bytes = readShown(file);
  const pem = splitPem(bytes.toString('latin1'));
  if (pem.length > 0) {
    return { type: 'certificates', certificates: pem.map((block) => summarise(derIn(file, block), file)) };
  }
  if (bytes.includes('PRIVATE KEY-----')) throw pkiError('pki-show', `${file} is a private key; not shown`);
  const snapshot = peekSnapshot(bytes);
  if (snapshot.ok) return { type: 'snapshot', snapshot: snapshot.value };
  throw pkiError('pki-show', `${file} ${whatElse(bytes)}`, WHAT_IS_SHOWN);
}

function readShown(file: string): Buffer {
  try {
    return readWhole(file);
  } catch (error) {
    if (!(error instanceof ZtnaError) || !isMissing(error.cause)) throw error;
    throw pkiError('file-system', `there is no file ${file}`, WHAT_IS_SHOWN);
  }
}

function isMissing(cause: unknown): boolean {
  return (cause as NodeJS.ErrnoException | undefined)?.code === 'ENOENT';
}

const WHAT_IS_SHOWN =
  'name certificate.pem or trust.pem of a component, or a snapshot that `ztna pki sign-snapshot` made';

/** What a file is that holds neither certificates nor a snapshot. */
function whatElse(bytes: Buffer): string {
  if (bytes.length === 0) return 'is empty';
  const label = /-----BEGIN ([A-Z0-9 ]+)-----/.exec(bytes.toString('latin1'))?.[1];
  if (label !== undefined) return `holds ${label} (PEM), but no certificate`;
  return 'holds neither certificates (PEM) nor a snapshot';
}

function derIn(file: string, block: string): Uint8Array {
  try {
    return derOfPem(block);
  } catch (error) {
    if (!(error instanceof ZtnaError)) throw error;
    const damaged = `${file} holds a certificate that cannot be read: it was cut off or changed`;
    throw pkiError('pki-show', damaged, 'issue it again, or copy it anew');
  }
}

function summarise(der: Uint8Array, file: string): CertificateSummary {
  const certificate = readCertificate(der);
  if (certificate === undefined) throw pkiError('pki-show', `${file} holds a certificate that is not DER`);
  return {
    kind: kindOf(certificate),
    names: (certificate.altNames ?? []).map((name) => (name.kind === 'uri' ? name.value : `(${name.kind})`)),
    serial: certificate.serial,
    notBefore: new Date(certificate.notBeforeMs).toISOString(),
    notAfter: new Date(certificate.notAfterMs).toISOString(),
    keyThumbprint: Buffer.from(keyThumbprint(certificate)).toString('hex'),
    fingerprint: createHash('sha256').update(der).digest('hex'),
  };
}

function kindOf(certificate: Certificate): CertificateSummary['kind'] {
  if (certificate.isCa) return 'authority';
  return certificate.extendedKeyUsage?.includes(SNAPSHOT_SIGNING_EKU) ? 'snapshot-signer' : 'identity';
}

/** Lines for people. */
export function formatShown(shown: Shown): string[] {
  if (shown.type === 'snapshot') return formatSnapshot(shown.snapshot);
  return shown.certificates.flatMap((c, i) => [
    ...(i > 0 ? [''] : []),
    `${c.kind}  ${c.names.join(', ')}`.trimEnd(),
    `  serial       ${c.serial}`,
    `  valid        ${c.notBefore} to ${c.notAfter}`,
    `  key          ${c.keyThumbprint}`,
    `  fingerprint  ${c.fingerprint}`,
  ]);
}

function formatSnapshot({ content, ...snapshot }: Snapshot): string[] {
  const at = (ms: number) => new Date(ms).toISOString();
  const rules = content.role === 'agent' ? [] : content.rules;
  return [
    `snapshot (signature not checked)  ${snapshot.audience}`,
    `  epoch, revision  ${snapshot.epoch}, ${snapshot.revision}`,
    `  valid            ${at(snapshot.issuedAtMs)} to ${at(snapshot.expiresAtMs)}`,
    ...(content.role === 'agent' ? [`  subject          ${content.subject}`] : []),
    `  intermediates    ${list(content.intermediates.map(({ name }) => name))}`,
    `  services         ${list(content.services.map((service) => service.name + conditions(service)))}`,
    ...rules.map(({ name, principals, services, ...rule }) => {
      const agents = list(principals.map(({ agent, subject }) => `${agent.split('/').at(-1)} (${subject})`));
      return `  rule             ${name}: ${agents} -> ${list(services)}${conditions(rule)}`;
    }),
    ...(content.role === 'connector' && content.showPrivateAddresses
      ? ['  shows            its private addresses to agents']
      : []),
    `  revoked          ${list(content.revoked)}`,
  ];
}

/** What narrows the use of direct paths. */
function conditions({ direct = 'allow' }: { readonly name?: string; readonly direct?: DirectPaths }): string {
  return direct === 'allow' ? '' : ` (direct paths: ${direct})`;
}

function list(items: readonly string[]): string {
  return items.length === 0 ? '(none)' : items.join(', ');
}
