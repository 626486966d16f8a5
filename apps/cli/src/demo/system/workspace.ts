import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IssuableRole, type Issued, initPki, issueIdentity, signDocument } from '@ztna/identity/pki';
import type { Address } from '@ztna/runtime';
import { type Backends, demoDocument } from './document.ts';
import { names } from './names.ts';

export type ComponentName = 'intermediate' | 'connector' | 'agent' | 'visitor';

const roles: Readonly<Record<ComponentName, { role: IssuableRole; name: string; site?: string }>> = {
  intermediate: { role: 'intermediate', name: names.intermediate },
  connector: { role: 'connector', name: names.connector, site: names.site },
  agent: { role: 'agent', name: names.agent },
  visitor: { role: 'agent', name: names.visitor },
};

/** A temporary folder with the authority, identities, snapshots, configurations and logs of one demonstration. */
export class Workspace implements Disposable {
  readonly dir: string;
  readonly logs: string;
  #keep: boolean;

  constructor(o: { readonly keep: boolean }) {
    this.dir = mkdtempSync(join(tmpdir(), 'ztna-demo-'));
    chmodSync(this.dir, 0o700);
    this.logs = this.path('logs');
    this.#keep = o.keep;
    mkdirSync(this.logs);
    process.on('exit', this.#remove);
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  /** Makes the authority and an identity for each component. */
  async issueIdentities(nowMs: number): Promise<void> {
    // The keys live as long as this folder, which its owner alone can read: a passphrase would protect nothing.
    await initPki({ dir: this.path('pki'), trustDomain: names.trustDomain, tenant: 'default', nowMs });
    for (const [component, who] of Object.entries(roles)) await this.#issue(component, who, nowMs);
  }

  /** Signs both revisions and writes the configuration of each component. */
  writeConfigurations(intermediate: Address, backends: Backends, nowMs: number): void {
    for (const revision of [1, 2] as const) {
      const documentFile = this.path(`revision-${revision}.json`);
      writeJson(documentFile, demoDocument(revision, intermediate, backends));
      const out = this.path(`revision-${revision}`);
      signDocument({ dir: this.path('pki'), documentFile, out, nowMs });
    }
    for (const component of Object.keys(roles) as ComponentName[]) {
      writeJson(this.configFile(component), this.#configuration(component));
    }
  }

  /** The folder stays, for somebody to look at. */
  keep(): void {
    this.#keep = true;
  }

  configFile(component: ComponentName): string {
    return this.path(component, 'config.json');
  }

  /** Removes the folder, unless it is to be kept. */
  [Symbol.dispose](): void {
    this.#remove();
    process.off('exit', this.#remove);
  }

  #issue(component: string, who: (typeof roles)[ComponentName], nowMs: number): Promise<Issued> {
    return issueIdentity({ dir: this.path('pki'), out: this.path(component), ...who, nowMs });
  }

  #configuration(component: ComponentName) {
    const { role, site, name } = roles[component];
    const place = site === undefined ? [role] : [role, site];
    const revision = component === 'visitor' ? 'revision-1' : 'revision-2';
    return {
      listen: '127.0.0.1:0',
      metrics: { listen: 'off' },
      identity: { certificateFile: 'certificate.pem', privateKeyFile: 'key.pem' },
      trust: { bundleFile: 'trust.pem' },
      snapshotFile: this.path(revision, ...place, `${name}.snapshot`),
      log: { format: 'json' },
    };
  }

  readonly #remove = () => {
    if (!this.#keep) rmSync(this.dir, { recursive: true, force: true });
  };
}

function writeJson(file: string, value: unknown): void {
  writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`, { mode: 0o600 });
}
