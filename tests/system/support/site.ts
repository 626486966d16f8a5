import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type IssuableRole, type Issued, initPki, issueIdentity, signDocument } from '@ztna/identity/pki';
import type { ComponentFiles } from '@ztna/link';
import {
  type AgentConfig,
  agentSchema,
  type ConnectorConfig,
  checkAgent,
  checkConnector,
  checkIntermediate,
  connectorSchema,
  type IntermediateConfig,
  intermediateSchema,
  parseConfig,
} from '@ztna/runtime/config';
import { createLogger } from '@ztna/runtime/log';

export const DOMAIN = 'corp.example';

/** The parts of a configuration document that tests change. */
export interface Topology {
  readonly intermediate: string;
  /** Of the intermediate `spare`, which the snapshots name after the other. */
  readonly spare?: string;
  readonly services: readonly {
    readonly name: string;
    readonly ports: readonly {
      readonly transport: 'tcp' | 'udp';
      readonly port: number;
      readonly backend: string;
      readonly allowLocal?: boolean;
    }[];
  }[];
  /** Services that agent `laptop` may reach; `stranger` may reach nothing. */
  readonly granted: readonly string[];
  readonly revoked?: readonly string[];
  readonly direct?: 'allow' | 'deny' | 'require';
  readonly showPrivateAddresses?: boolean;
}

/** A PKI in a temporary directory with an intermediate, a connector and two agents. */
export class Site implements Disposable {
  readonly dir: string;
  #revision = 0;

  private constructor(dir: string) {
    this.dir = dir;
  }

  static async create(): Promise<Site> {
    const site = new Site(mkdtempSync(join(tmpdir(), 'ztna-system-')));
    const nowMs = Date.now();
    await initPki({ dir: site.path('pki'), trustDomain: DOMAIN, tenant: 'default', nowMs });
    await site.issue('intermediate', 'relay');
    await site.issue('intermediate', 'spare');
    await site.issue('connector', 'c1', 'berlin');
    await site.issue('agent', 'laptop');
    await site.issue('agent', 'stranger');
    return site;
  }

  path(...parts: string[]): string {
    return join(this.dir, ...parts);
  }

  issue(role: IssuableRole, name: string, place?: string): Promise<Issued> {
    const options = { dir: this.path('pki'), role, name, nowMs: Date.now(), force: true };
    return issueIdentity({ ...options, ...(place && { site: place }) });
  }

  /** Signs a new revision for everybody. */
  publish(topology: Topology): void {
    const file = this.path('document.json');
    writeFileSync(file, JSON.stringify(documentOf(topology, ++this.#revision)));
    const options = { dir: this.path('pki'), documentFile: file, out: this.path('snapshots') };
    signDocument({ ...options, nowMs: Date.now() });
  }

  files(place: string): ComponentFiles {
    return {
      identity: {
        certificateFile: this.path('pki', 'issued', place, 'certificate.pem'),
        privateKeyFile: this.path('pki', 'issued', place, 'key.pem'),
      },
      trust: { bundleFile: this.path('pki', 'trust.pem') },
      snapshotFile: this.path('snapshots', `${place}.snapshot`),
      stateDir: this.path('state', place),
    };
  }

  intermediate(listen = '127.0.0.1:0', name = 'relay'): IntermediateConfig {
    const text = JSON.stringify({
      listen,
      metrics: { listen: '127.0.0.1:0' },
      ...this.files(`intermediate/${name}`),
    });
    return parseConfig(text, 'intermediate.json', this.path('i.json'), intermediateSchema, checkIntermediate)
      .value;
  }

  connector(changes: object = {}): ConnectorConfig {
    const files = this.files('connector/berlin/c1');
    const text = JSON.stringify({ listen: '127.0.0.1:0', metrics: { listen: 'off' }, ...files, ...changes });
    return parseConfig(text, 'connector.json', this.path('c.json'), connectorSchema, checkConnector).value;
  }

  agent(changes: object = {}): AgentConfig {
    const text = JSON.stringify({ listen: '127.0.0.1:0', ...this.files('agent/laptop'), ...changes });
    return parseConfig(text, 'agent.json', this.path('a.json'), agentSchema, checkAgent).value;
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** Collects log lines; `warnings` are those that an operator would have to look at. */
export function testLog(component: string) {
  const lines: Record<string, unknown>[] = [];
  const sink = { write: (line: string) => lines.push(JSON.parse(line)) };
  const log = createLogger({ component, level: 'debug', format: 'json', sink });
  const warnings = () => lines.filter(({ level }) => ['warn', 'error', 'fatal'].includes(String(level)));
  return { log, lines, warnings };
}

function documentOf(topology: Topology, revision: number) {
  const { intermediate, spare, services, granted, revoked = [], direct, showPrivateAddresses } = topology;
  return {
    trustDomain: DOMAIN,
    revision,
    intermediates: [
      { name: 'relay', addresses: [intermediate] },
      ...(spare === undefined ? [] : [{ name: 'spare', addresses: [spare] }]),
    ],
    sites: [{ name: 'berlin', connectors: ['c1'], ...(showPrivateAddresses && { showPrivateAddresses }) }],
    services: services.map((service) => ({ ...service, connectors: ['berlin/c1'] })),
    agents: [
      { name: 'laptop', subject: 'alice' },
      { name: 'stranger', subject: 'mallory' },
    ],
    policies: [{ name: 'allow', who: { agents: ['laptop'] }, services: granted, ...(direct && { direct }) }],
    revoked,
  };
}
