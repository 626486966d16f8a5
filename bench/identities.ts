import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { generateKey, toPem } from '@ztna/identity';
import { type Authority, createAuthority, issueLeaf } from '@ztna/identity/pki';
import type { SpiffeId } from '@ztna/wire';

/** Paths of PEM files, as the roles take them. */
export interface IdentityFiles {
  readonly chain: string;
  readonly key: string;
  readonly roots: string;
}

/** Identities made for one run, in a folder that goes with them. */
export class Identities implements AsyncDisposable {
  readonly folder: string;
  readonly #authority: Authority;

  private constructor(folder: string, authority: Authority) {
    this.folder = folder;
    this.#authority = authority;
  }

  static async make(): Promise<Identities> {
    const folder = await mkdtemp(join(tmpdir(), 'ztna-bench-'));
    const options = { trustDomain: 'bench.invalid', tenant: 'default', nowMs: Date.now() };
    const authority = await createAuthority(options);
    await writeFile(join(folder, 'roots.pem'), toPem('CERTIFICATE', authority.root.certificate));
    return new Identities(folder, authority);
  }

  async issue(name: string, path: string): Promise<IdentityFiles> {
    const key = generateKey('p256');
    const id = `spiffe://bench.invalid/default/${path}` as SpiffeId;
    const issued = await issueLeaf(this.#authority.issuing, { id, publicKey: key, nowMs: Date.now() });
    if (!issued.ok) throw new Error(issued.error.detail);
    const files = {
      chain: join(this.folder, `${name}.pem`),
      key: join(this.folder, `${name}.key`),
      roots: join(this.folder, 'roots.pem'),
    };
    await writeFile(files.chain, issued.value.map((der) => toPem('CERTIFICATE', der)).join(''));
    await writeFile(files.key, key.export({ type: 'pkcs8', format: 'pem' }), { mode: 0o600 });
    return files;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
