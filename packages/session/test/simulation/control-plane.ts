import {
  decodeGrant,
  encodeGrant,
  type Grant,
  type Revision,
  type ServiceName,
  type SessionUid,
  type SignedGrant,
  type SpiffeId,
  toHex,
} from '@ztna/wire';
import type { VerifyGrant } from '../../src/grant.ts';
import type { AgentSnapshot, ConnectorSnapshot, IntermediateSnapshot } from '../../src/snapshot.ts';
import { agentId, component, connectorId, intermediateId, service, subjectOf, TENANT } from './names.ts';

export interface Layout {
  readonly agents: readonly string[];
  readonly intermediates: readonly string[];
  /** Connector → services that it may serve. */
  readonly connectors: Readonly<Record<string, readonly string[]>>;
  /** Enrolled like the others, and played by attackers. */
  readonly hostile?: Layout;
}

/** The administrator and the CA in one: what is allowed, and which grants were really signed. */
export class ControlPlane {
  readonly layout: Layout;
  /** `agent|service` */
  readonly allowed = new Set<string>();
  readonly revoked = new Set<SpiffeId>();
  /** Service → host of its backend, where that is not the first one. */
  readonly backends = new Map<string, string>();
  revision = 1;
  /** Every grant ever signed, for the model and for thieves. */
  readonly issued: { readonly grant: Grant; readonly signed: SignedGrant }[] = [];
  readonly #genuine = new Set<string>();
  readonly #bySession = new Map<SessionUid, Grant[]>();

  constructor(layout: Layout) {
    this.layout = layout;
  }

  /** What connectors that behave serve. */
  get services(): string[] {
    return [...new Set(Object.values(this.layout.connectors).flat())].sort();
  }

  get everyService(): ServiceName[] {
    return [...new Set(Object.values(this.#everyConnector).flat())].sort().map(service);
  }

  isAllowed(agent: string, name: string): boolean {
    return this.allowed.has(`${agent}|${name}`) && !this.revoked.has(agentId(agent));
  }

  revokeIntermediate(name: string): void {
    this.revoked.add(intermediateId(name));
  }

  /** The last grants of a session, of each issuer. */
  grantsOf(session: SessionUid): readonly Grant[] {
    return this.#bySession.get(session) ?? [];
  }

  sign(issuer: SpiffeId): (grant: Grant) => SignedGrant {
    return (grant) => {
      const bytes = encodeGrant(grant);
      const signature = new TextEncoder().encode(`by ${issuer}`);
      const signed = { grant: bytes, signature, issuerChain: [new TextEncoder().encode(issuer)] };
      this.#genuine.add(`${issuer}|${toHex(bytes)}`);
      this.issued.push({ grant, signed });
      const before = this.grantsOf(grant.sessionUid);
      const same = before.filter((other) => other.issuer === grant.issuer).slice(-7);
      const others = before.filter((other) => other.issuer !== grant.issuer);
      this.#bySession.set(grant.sessionUid, [...others, ...same, grant]);
      if (this.issued.length > 2_000) this.issued.splice(0, 1_000);
      return signed;
    };
  }

  readonly verify: VerifyGrant = (signed) => {
    const issuer = new TextDecoder().decode(signed.issuerChain[0] ?? new Uint8Array()) as SpiffeId;
    if (!this.#genuine.has(`${issuer}|${toHex(signed.grant)}`)) return { ok: false, reason: 'bad signature' };
    const grant = decodeGrant(signed.grant);
    return grant.ok ? { ok: true, grant: grant.value, issuer } : { ok: false, reason: grant.error.detail };
  };

  forAgent(name: string): AgentSnapshot {
    const services = this.everyService
      .filter((wanted) => this.isAllowed(name, wanted))
      .map((wanted) => ({
        name: service(wanted),
        ports: [{ transport: 'tcp' as const, port: 80 }],
        connectors: this.#serving(wanted),
        direct: 'allow' as const,
      }));
    return this.#envelope({
      role: 'agent' as const,
      services,
      subject: subjectOf(name),
      ...this.#shared(name),
    });
  }

  forConnector(name: string): ConnectorSnapshot {
    const services = (this.layout.connectors[name] ?? []).map((served) => ({
      name: service(served),
      targets: [
        {
          ...({ transport: 'tcp', port: 80, allowLocal: false } as const),
          backend: { host: this.backends.get(served) ?? '192.0.2.1', port: 80 },
        },
      ],
      direct: 'allow' as const,
    }));
    return this.#envelope({
      role: 'connector' as const,
      services,
      rules: this.#rules(),
      showPrivateAddresses: false,
      ...this.#shared(),
    });
  }

  forIntermediate(): IntermediateSnapshot {
    const services = this.everyService.map((name) => ({
      name: service(name),
      connectors: this.#serving(name),
    }));
    return this.#envelope({
      role: 'intermediate' as const,
      services,
      rules: this.#rules(),
      ...this.#shared(),
    });
  }

  #serving(name: string) {
    const connectors = this.#everyConnector;
    return Object.keys(connectors)
      .filter((c) => connectors[c]?.includes(name))
      .map(connectorId);
  }

  get #everyConnector(): Layout['connectors'] {
    return { ...this.layout.connectors, ...this.layout.hostile?.connectors };
  }

  #rules() {
    return [...this.allowed].map((pair) => {
      const [agent = '', name = ''] = pair.split('|');
      return {
        name: pair,
        principals: [{ agent: agentId(agent), subject: subjectOf(agent) }],
        services: [service(name)],
        direct: 'allow' as const,
      };
    });
  }

  #shared(agent?: string) {
    const { agents, hostile, intermediates: honest } = this.layout;
    // With attackers each agent prefers another one, so that some of them ask a hostile one first.
    const first = hostile && agent !== undefined ? agents.indexOf(agent) : 0;
    const all = [...honest, ...(hostile?.intermediates ?? [])];
    const names = [...all.slice(first), ...all.slice(0, first)];
    const intermediates = names.map((name) => ({
      name: component(name),
      id: intermediateId(name),
      addresses: [{ host: name, port: 4433 }],
    }));
    return { intermediates, revoked: [...this.revoked] };
  }

  #envelope<Content>(content: Content) {
    return {
      tenant: TENANT,
      revision: this.revision as Revision,
      expiresAtMs: Number.MAX_SAFE_INTEGER,
      content,
    };
  }
}
