import { existsSync } from 'node:fs';
import { join } from 'node:path';
import {
  checkSnapshot,
  explainOwn,
  exposedFiles,
  type LocalIdentity,
  loadIdentity,
  loadKey,
  loadTrustBundle,
  type TrustBundle,
  verifyPeer,
} from '@ztna/identity';
import { isFault } from '@ztna/runtime';
import type { AgentConfig } from '@ztna/runtime/config';
import type { AgentContent, Snapshot } from '@ztna/wire';
import { type Check, fail, failed, ok, skip, warn } from './check.ts';

const HOUR_MS = 3_600_000;
/** Agents' certificates hold 24 h, snapshots 7 days. */
const CERTIFICATE_SOON_MS = 4 * HOUR_MS;
const SNAPSHOT_SOON_MS = 24 * HOUR_MS;
const TIME_CODES: ReadonlySet<string> = new Set(['certificate-expired', 'certificate-not-yet-valid']);
const ISSUE = '`ztna pki issue --role agent --name NAME --out DIR --force`';

export type AgentSnapshotFile = Snapshot & { readonly content: AgentContent };

/** What the files of an agent gave, as far as they are usable. */
export interface Files {
  readonly checks: readonly Check[];
  readonly identity: LocalIdentity | undefined;
  readonly trust: (TrustBundle & { readonly pem: string }) | undefined;
  readonly snapshot: AgentSnapshotFile | undefined;
}

/** Reads and judges key, certificate, trust and snapshot; changes nothing on disk. */
export function checkFiles(config: AgentConfig, nowMs: number): Files {
  const key = checkKey(config);
  if (key.status === 'fail') {
    const why = 'needs a key that can be used';
    const checks = [key, skip('certificate', why), skip('snapshot', why)];
    return { checks, identity: undefined, trust: undefined, snapshot: undefined };
  }
  const { check: certificate, identity, trust } = checkCertificate(config, nowMs);
  // One that is of another time names its agent all the same.
  const isNamed = certificate.status !== 'fail' || TIME_CODES.has(certificate.code);
  const { check: state, snapshot } = snapshotOf(config, isNamed ? identity : undefined, trust, nowMs);
  const usable = certificate.status === 'fail' ? undefined : identity;
  return { checks: [key, certificate, state], identity: usable, trust, snapshot };
}

function checkKey({ identity }: AgentConfig): Check {
  const file = identity.privateKeyFile;
  try {
    loadKey(file);
  } catch (error) {
    return failed('key', error, `name the file of ${ISSUE} in identity.privateKeyFile`);
  }
  const [exposed] = exposedFiles([file]);
  if (!exposed) return ok('key', 'the private key can be read, by its owner alone');
  return warn('key', {
    code: 'key-exposed',
    message: `others than its owner have rights on ${file} (mode ${exposed.mode})`,
    remedy: `chmod 600 ${file}`,
  });
}

function checkCertificate(config: AgentConfig, nowMs: number) {
  let identity: LocalIdentity | undefined;
  let trust: Files['trust'];
  try {
    trust = loadTrustBundle(config.trust.bundleFile);
    identity = loadIdentity(config.identity);
  } catch (error) {
    return { check: failed('certificate', error, ISSUE), identity, trust };
  }
  return { check: judge(config, identity, trust, nowMs), identity, trust };
}

function judge(config: AgentConfig, identity: LocalIdentity, trust: TrustBundle, nowMs: number): Check {
  const { trustDomain, tenant, chain, id } = identity;
  const own = verifyPeer(chain, nowMs, { trust, trustDomain, tenant, roles: ['agent'], revoked: [] });
  if (!own.ok) {
    const { certificateFile } = config.identity;
    const { bundleFile } = config.trust;
    const { happened, remedy } = explainOwn(own.error, { certificateFile, bundleFile, role: 'agent' });
    return fail('certificate', { code: `certificate-${own.error.code}`, message: happened, remedy });
  }
  const { notAfterMs } = own.value;
  const facts = { id, notAfter: new Date(notAfterMs).toISOString() };
  const message = `${id}, valid until ${facts.notAfter}`;
  if (notAfterMs - nowMs >= CERTIFICATE_SOON_MS) return ok('certificate', message, facts);
  return warn('certificate', { code: 'certificate-expires', message, remedy: ISSUE }, facts);
}

function snapshotOf(
  { snapshotFile: file, stateDir }: AgentConfig,
  identity: LocalIdentity | undefined,
  trust: TrustBundle | undefined,
  nowMs: number,
): { readonly check: Check; readonly snapshot: AgentSnapshotFile | undefined } {
  if (!identity || !trust)
    return { check: skip('snapshot', 'needs a certificate that can be used'), snapshot: undefined };
  const source = { file, stateDir, trust, audience: identity.id };
  try {
    const snapshot = checkSnapshot(source, nowMs);
    return { check: judgeSnapshot(snapshot, nowMs), snapshot: snapshot as AgentSnapshotFile };
  } catch (error) {
    return lastGood(source, nowMs, error);
  }
}

function judgeSnapshot({ revision, expiresAtMs, content }: Snapshot, nowMs: number): Check {
  const expires = new Date(expiresAtMs).toISOString();
  const services = 'services' in content ? content.services.length : 0;
  const facts = { revision, expires, services };
  const message = `revision ${revision}, valid until ${expires}, services: ${services}`;
  if (services === 0) {
    const remedy = 'ask who writes the policy for access';
    return warn(
      'snapshot',
      { code: 'no-services', message: `${message}: no service is granted`, remedy },
      facts,
    );
  }
  if (expiresAtMs - nowMs >= SNAPSHOT_SOON_MS) return ok('snapshot', message, facts);
  const remedy = 'sign a new one with `ztna pki sign-snapshot`';
  return warn('snapshot', { code: 'snapshot-expires', message, remedy }, facts);
}

/** The file is no good: an agent takes the last good one as long as that holds. */
function lastGood(source: Parameters<typeof checkSnapshot>[0], nowMs: number, error: unknown) {
  const check = failed('snapshot', error, 'name a file of `ztna pki sign-snapshot` in snapshotFile');
  const file = join(source.stateDir, 'last-good.snapshot');
  if (!existsSync(file)) return { check, snapshot: undefined };
  try {
    const snapshot = checkSnapshot({ ...source, file }, nowMs) as AgentSnapshotFile;
    const { code, message, remedy } = check;
    const said = `${message}; the last good one, revision ${snapshot.revision}, is used instead`;
    return { check: warn('snapshot', { code, message: said, remedy }), snapshot };
  } catch (later) {
    if (!isFault(later)) throw later;
    return { check, snapshot: undefined };
  }
}
