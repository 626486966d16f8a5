import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Compiled,
  type Configuration,
  compile,
  type LocatedIssue,
  MAX_DOCUMENT_CHARS,
  parseConfiguration,
  runPolicyTests,
} from '@ztna/policy/document';
import { type Revision, type Snapshot, type TenantName, type TrustDomain, ZtnaError } from '@ztna/wire';
import { readCertificate } from '../certificate.ts';
import { readText, writeWhole } from '../files.ts';
import { peekSnapshot, signSnapshot } from '../snapshot/envelope.ts';
import type { KeyPair } from '../snapshot/signer.ts';
import { openPart, type PkiConfig, pkiError, readPkiConfig } from './directory.ts';

export interface SignOptions {
  readonly dir: string;
  readonly documentFile: string;
  /** Directory for the envelopes: `agent/NAME.snapshot`, `connector/SITE/NAME.snapshot`, ... */
  readonly out: string;
  readonly passphrase?: string;
  /** Sign although this revision, or a later one, was signed with another content. */
  readonly force?: boolean;
  readonly nowMs: number;
}

export interface Signed {
  readonly epoch: number;
  readonly revision: number;
  readonly expiresAtMs: number;
  readonly tests: number;
  readonly snapshots: readonly {
    readonly audience: string;
    readonly file: string;
    readonly services: string[];
  }[];
}

/**
 * Makes one signed snapshot per component of a document. Nothing is written unless the document is valid, fits the
 * PKI, its tests hold, and its revision is new (or the very same document again). Throws a ZtnaError.
 */
export function signDocument(options: SignOptions): Signed {
  const { dir, documentFile, nowMs } = options;
  const configuration = readDocument(documentFile);
  checkFits(configuration, readPkiConfig(dir), documentFile);
  checkTests(configuration, documentFile);
  const digest = digestOf(configuration);
  if (!options.force) checkRevision(dir, configuration, digest, documentFile);
  const signer = openPart(dir, 'snapshot', options.passphrase);
  const expiresAtMs = nowMs + configuration.validityMs;
  checkSignerOutlives(signer, expiresAtMs);
  const envelopes = compile(configuration).map((compiled) => {
    const file = join(options.out, ...pathOf(compiled));
    return { file, compiled, bytes: envelope(configuration, compiled, signer, nowMs) };
  });
  for (const { file, bytes } of envelopes) writeWhole(file, bytes, { replace: true, secret: true });
  const { epoch, revision } = configuration;
  writeWhole(join(dir, SIGNED_FILE), `${JSON.stringify({ epoch, revision, digest })}\n`, { replace: true });
  const snapshots = envelopes.map(({ file, compiled: { audience, content } }) => {
    return { audience, file, services: content.services.map((service) => service.name) };
  });
  return { epoch, revision, expiresAtMs, tests: configuration.tests.length, snapshots };
}

/** Reads and validates a document. Throws a ZtnaError (`document-invalid`) with file, line and field of each issue. */
export function readDocument(file: string): Configuration {
  const parsed = parseConfiguration(readText(file, 4 * MAX_DOCUMENT_CHARS));
  if (parsed.ok) return parsed.value;
  const shown = parsed.error.slice(0, 20).map((issue) => describeIssue(file, issue));
  throw pkiError('document-invalid', `the document is not valid:\n  ${shown.join('\n  ')}`);
}

const SIGNED_FILE = 'signed.json';

function describeIssue(file: string, { path, line, column, message }: LocatedIssue): string {
  const field = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${part}`)).join('');
  return `${file}:${line}:${column}: ${field === '' ? '' : `${field.replace(/^\./, '')}: `}${message}`;
}

function checkFits(configuration: Configuration, pki: PkiConfig, file: string): void {
  for (const field of ['trustDomain', 'tenant'] as const) {
    if (configuration[field] === pki[field]) continue;
    const happened = `${file}: ${field}: is ${configuration[field]}, but the PKI is for ${pki[field]}`;
    throw pkiError('document-foreign', happened, `write ${pki[field]}, or give the --dir of the other PKI`);
  }
}

function checkTests(configuration: Configuration, file: string): void {
  const failed = runPolicyTests(configuration).filter(({ expected, actual }) => expected !== actual);
  if (failed.length === 0) return;
  const lines = failed.slice(0, 20).map(({ index, who, service, expected, actual, why }) => {
    return `${file}: tests[${index}]: ${who} -> ${service}: expected ${expected}, is ${actual} (${why})`;
  });
  throw new ZtnaError({
    code: 'document-tests',
    fault: 'policy',
    happened: `${failed.length} of ${configuration.tests.length} policy tests failed:\n  ${lines.join('\n  ')}`,
  });
}

/** A revision is signed with one content only: components could otherwise hold different ones of the same number. */
function checkRevision(dir: string, { epoch, revision }: Configuration, digest: string, file: string): void {
  const path = join(dir, SIGNED_FILE);
  if (!existsSync(path)) return;
  const last = parseLast(readText(path));
  if (last === undefined) throw pkiError('pki-damaged', `${path} cannot be read`, 'restore it, or --force');
  if (epoch > last.epoch || (epoch === last.epoch && revision > last.revision)) return;
  if (epoch === last.epoch && revision === last.revision && digest === last.digest) return;
  const happened = `${file}: revision: ${revision} (epoch ${epoch}) is not newer than what was signed last`;
  throw pkiError(
    'document-revision',
    happened,
    `write revision: ${last.revision + 1}, or sign it with --force`,
  );
}

function parseLast(text: string): { epoch: number; revision: number; digest: string } | undefined {
  try {
    return JSON.parse(text) ?? undefined;
  } catch {
    return undefined;
  }
}

function checkSignerOutlives(signer: KeyPair, expiresAtMs: number): void {
  const end = readCertificate(signer.certificate)?.notAfterMs ?? 0;
  if (end >= expiresAtMs) return;
  const happened = `the snapshots would hold longer than the snapshot key (${new Date(end).toISOString()})`;
  throw pkiError('document-validity', happened, 'shorten `validity`, or make a new PKI');
}

function envelope(configuration: Configuration, compiled: Compiled, signer: KeyPair, nowMs: number) {
  const snapshot: Snapshot = {
    trustDomain: configuration.trustDomain as TrustDomain,
    tenant: configuration.tenant as TenantName,
    audience: compiled.audience,
    epoch: configuration.epoch,
    revision: configuration.revision as Revision,
    issuedAtMs: nowMs,
    expiresAtMs: nowMs + configuration.validityMs,
    requiredFeatures: [],
    content: compiled.content,
  };
  try {
    const bytes = signSnapshot(snapshot, signer);
    // What no component could read is not given out.
    const read = peekSnapshot(bytes);
    if (read.ok) return bytes;
    throw new RangeError(read.error.detail);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw pkiError('document-limits', `no snapshot can be made for ${compiled.audience}: ${error.message}`);
  }
}

/** Mirrors the path of the SPIFFE id, whose segments are safe as file names. */
function pathOf({ audience }: Compiled): string[] {
  const [role = '', ...place] = audience.split('/').slice(4);
  return [role, ...place.slice(0, -1), `${place.at(-1)}.snapshot`];
}

/** Of what the document says, defaults filled in; its tests and its spelling do not count. */
function digestOf({ tests: _, ...said }: Configuration): string {
  return createHash('sha256').update(JSON.stringify(said)).digest('hex');
}
