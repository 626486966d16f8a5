import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IssuableRole, initPki, issueIdentity, signDocument } from '@ztna/identity/pki';
import type { SpiffeId } from '@ztna/wire';

export const TRUST_DOMAIN = 'test.example';

/** A freshly made component: its id, and the part of its configuration that names its files. */
export interface TestIdentity {
  readonly id: SpiffeId;
  readonly files: {
    readonly identity: { readonly certificateFile: string; readonly privateKeyFile: string };
    readonly trust: { readonly bundleFile: string };
    readonly snapshotFile: string;
    readonly stateDir: string;
  };
}

/** A certificate authority in a directory of its own, which goes when the PKI is disposed. */
export interface TestPki extends Disposable {
  readonly dir: string;
  /** Issues an identity. Connectors are named `site/name`. */
  issue(role: IssuableRole, name: string, ttlMs?: number): Promise<TestIdentity>;
  /** Signs a document (without trust domain and revision, which rises): running components take it up. */
  sign(document: object): void;
}

/** `parent` is the folder that its own one is made in. */
export async function makePki(parent = tmpdir()): Promise<TestPki> {
  const dir = mkdtempSync(join(parent, 'ztna-e2e-'));
  const pki = join(dir, 'pki');
  const snapshots = join(dir, 'snapshots');
  await initPki({ dir: pki, trustDomain: TRUST_DOMAIN, tenant: 'default', nowMs: Date.now() });
  let revision = 0;
  return {
    dir,
    issue: (role, name, ttlMs) => issue(dir, role, name, ttlMs),
    sign(document) {
      const documentFile = join(dir, 'document.json');
      writeFileSync(
        documentFile,
        JSON.stringify({ trustDomain: TRUST_DOMAIN, revision: ++revision, ...document }),
      );
      signDocument({ dir: pki, documentFile, out: snapshots, nowMs: Date.now() });
    },
    [Symbol.dispose]: () => rmSync(dir, { recursive: true, force: true }),
  };
}

async function issue(dir: string, role: IssuableRole, name: string, ttlMs?: number): Promise<TestIdentity> {
  const [last = '', site] = name.split('/').reverse();
  const issued = await issueIdentity({
    ...{ dir: join(dir, 'pki'), role, name: last, nowMs: Date.now() },
    ...(site !== undefined && { site }),
    ...(ttlMs !== undefined && { ttlMs }),
  });
  const { certificateFile, privateKeyFile = '', bundleFile } = issued;
  const files = {
    identity: { certificateFile, privateKeyFile },
    trust: { bundleFile },
    snapshotFile: join(dir, 'snapshots', role, `${name}.snapshot`),
    stateDir: join(dir, 'state', role, name),
  };
  return { id: issued.id, files };
}
