/** Inner connections over a relay on loopback, for the tests of this folder. */
import {
  generateKey,
  type PeerIdentity,
  type PeerRefusal,
  readTrustBundle,
  toPem,
  verifyPeer,
} from '@ztna/identity';
import { type Authority, createAuthority, issueLeaf } from '@ztna/identity/pki';
import { type Connection, type DirectOptions, Endpoint, type EndpointOptions } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import { createLogger } from '@ztna/runtime/log';
import {
  ALPN,
  type RelayId,
  type Result,
  relayPrefix,
  type SpiffeId,
  type TenantName,
  type TrustDomain,
} from '@ztna/wire';
import { innerClientTransport, innerServerTransport } from '../transport.ts';
import { type DirectSettings, directRanges } from './direct-paths.ts';

const OUTER = 'test/1';
const INNER = 'test-inner/1';
const TRANSPORT = { idleTimeoutMs: 60_000, keepAliveMs: 10_000, initialMtu: 1452, maxMtu: 1452 };
/** A machine that is busy with other things is not a dead path. */
const SILENCE_MS = 3_000;

/** As from a configuration, on loopback. */
export const SETTINGS: DirectSettings = {
  enabled: true,
  interfaces: { allow: ['*'], deny: [] },
  addresses: [],
  portMapping: false,
  allowLoopback: true,
};

export class TestPki {
  readonly #authority: Authority;

  private constructor(authority: Authority) {
    this.#authority = authority;
  }

  static async create(): Promise<TestPki> {
    const options = { trustDomain: 'corp.example', tenant: 'default', nowMs: Date.now() };
    return new TestPki(await createAuthority(options));
  }

  get #roots(): string {
    return toPem('CERTIFICATE', this.#authority.root.certificate);
  }

  verify(
    chain: readonly Uint8Array[],
    role: PeerIdentity['role'],
    revoked: readonly SpiffeId[],
  ): Result<PeerIdentity, PeerRefusal> {
    const who = { trustDomain: 'corp.example' as TrustDomain, tenant: 'default' as TenantName };
    const expected = { trust: readTrustBundle(this.#roots), ...who, roles: [role], revoked };
    return verifyPeer(chain, Date.now(), expected);
  }

  async endpoint(path: string, extra: Partial<EndpointOptions> = {}): Promise<Endpoint> {
    const key = generateKey('p256');
    const id = `spiffe://corp.example/default/${path}` as SpiffeId;
    const issued = await issueLeaf(this.#authority.issuing, { id, publicKey: key, nowMs: Date.now() });
    if (!issued.ok) throw new Error(issued.error.detail);
    const certChain = issued.value.map((der) => toPem('CERTIFICATE', der)).join('');
    const privateKey = key.export({ type: 'pkcs8', format: 'pem' }).toString();
    const roots = this.#roots;
    return Endpoint.bind({
      ...{ listen: '127.0.0.1:0', identity: { certChain, privateKey }, trust: { roots } },
      ...{ server: { alpn: [OUTER, ALPN.CONTROL] }, ...extra },
    });
  }
}

/** One side of a session: its endpoint, the outer connection under it, the inner connection. */
export interface TestSide {
  readonly endpoint: Endpoint;
  readonly carrier: Connection;
  readonly inner: Connection;
  /** Connects to the relay anew, which forwards to the same other side; the virtual path moves there. */
  rebind(): Promise<Connection>;
}

export interface TestPair extends AsyncDisposable {
  readonly agent: TestSide;
  readonly connector: TestSide;
  /** Packets that the relay passed on. */
  relayed(): Promise<number>;
}

/** A session whose inner connection is up; nothing is said of direct paths. */
export async function sessionPair(pki: TestPki): Promise<TestPair> {
  await using made = new AsyncDisposableStack();
  const direct: DirectOptions = { ...directRanges(SETTINGS, true), minSilenceMs: SILENCE_MS };
  const innerServer = { alpn: [INNER], transport: innerServerTransport(TRANSPORT) };
  const relay = made.use(await pki.endpoint('intermediate/i'));
  const agent = made.use(await pki.endpoint('agent/a', { direct }));
  const connector = made.use(await pki.endpoint('connector/s/c', { direct, innerServer }));
  const [one, two] = [relayPrefix(1 as RelayId), relayPrefix(2 as RelayId)];
  const [a, c] = [await connected(agent, relay), await connected(connector, relay)];
  let ends = { a: a.far, c: c.far };
  const join = () => [
    relay.forward({ from: ends.a, to: ends.c, match: one, rewrite: two }),
    relay.forward({ from: ends.c, to: ends.a, match: two, rewrite: one }),
  ];
  let rules = join();
  const paths = {
    a: agent.addVirtualPath({ carrier: a.near, send: one, receive: one }),
    c: connector.addVirtualPath({ carrier: c.near, send: two, receive: two }),
  };
  const rebind = (side: 'a' | 'c', endpoint: Endpoint) => async () => {
    const { near, far } = await connected(endpoint, relay);
    for (const rule of rules) rule.remove();
    ends = { ...ends, [side]: far };
    rules = join();
    const prefix = side === 'a' ? one : two;
    paths[side].rebind({ carrier: near, send: prefix, receive: prefix });
    return near;
  };
  const accepted = next<Connection>((f) => (connector.onConnection = f));
  const transport = innerClientTransport(TRANSPORT);
  const inner = await agent.connect({ remote: paths.a.address, alpn: [INNER], transport });
  const running = made.move();
  return {
    agent: { endpoint: agent, carrier: a.near, inner, rebind: rebind('a', agent) },
    connector: {
      ...{ endpoint: connector, carrier: c.near, inner: await accepted },
      rebind: rebind('c', connector),
    },
    async relayed() {
      const all = await Promise.all(rules.map((rule) => rule.stats()));
      return all.reduce((sum, stats) => sum + (stats?.forwarded ?? 0), 0);
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** Resolves with the next value that the handler is called with. */
export function next<T>(set: (handler: (value: T) => void) => void): Promise<T> {
  return new Promise(set);
}

/** Collects log lines. */
export function testLog(): { readonly log: Logger; readonly lines: Record<string, unknown>[] } {
  const lines: Record<string, unknown>[] = [];
  const sink = { write: (line: string) => void lines.push(JSON.parse(line)) };
  return { log: createLogger({ component: 'test', level: 'debug', format: 'json', sink }), lines };
}

async function connected(from: Endpoint, to: Endpoint) {
  const accepted = next<Connection>((f) => (to.onConnection = f));
  const near = await from.connect({ remote: to.localAddress, alpn: [OUTER] });
  const far = await accepted;
  near.accept();
  far.accept();
  return { near, far };
}
