/** Endpoints on loopback with fresh identities, for the tests of this package. */
import { generateKey, toPem } from '@ztna/identity';
import { type Authority, createAuthority, issueLeaf } from '@ztna/identity/pki';
import type { SpiffeId } from '@ztna/wire';
import {
  type Connection,
  type DirectOptions,
  Endpoint,
  type EndpointOptions,
  type FramePrefix,
  type TransportOptions,
} from './index.ts';

export const OUTER = 'test/1';
export const INNER = 'test-inner/1';
const LOOPBACK = '127.0.0.1:0';

export type TestPki = Authority & { readonly roots: string };

export async function makePki(): Promise<TestPki> {
  const options = { trustDomain: 'corp.example', tenant: 'default', nowMs: Date.now() };
  const authority = await createAuthority(options);
  return { ...authority, roots: toPem('CERTIFICATE', authority.root.certificate) };
}

export async function identity(pki: TestPki, path: string, ttlMs?: number) {
  const key = generateKey('p256');
  const id = `spiffe://corp.example/default/${path}` as SpiffeId;
  const lifetime = ttlMs === undefined ? {} : { ttlMs };
  const issued = await issueLeaf(pki.issuing, { id, publicKey: key, nowMs: Date.now(), ...lifetime });
  if (!issued.ok) throw new Error(issued.error.detail);
  const certChain = issued.value.map((der) => toPem('CERTIFICATE', der)).join('');
  return { certChain, privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** An endpoint in every role, on a free port. */
export async function endpoint(
  pki: TestPki,
  path: string,
  extra?: Partial<EndpointOptions>,
): Promise<Endpoint> {
  return Endpoint.bind({
    listen: LOOPBACK,
    identity: await identity(pki, path),
    trust: { roots: pki.roots },
    server: { alpn: [OUTER] },
    ...extra,
  });
}

/** The next connection that somebody makes to this endpoint, accepted. */
export function nextConnection(server: Endpoint): Promise<Connection> {
  return new Promise((resolve) => {
    server.onConnection = (connection) => {
      connection.accept();
      resolve(connection);
    };
  });
}

/** An accepted connection from one endpoint to another: [dialling side, listening side]. */
export async function connected(
  from: Endpoint,
  to: Endpoint,
  transport?: TransportOptions,
): Promise<[Connection, Connection]> {
  const accepted = nextConnection(to);
  const dialled = await from.connect({
    remote: to.localAddress,
    alpn: [OUTER],
    ...(transport && { transport }),
  });
  dialled.accept();
  return [dialled, await accepted];
}

export function prefix(id: number): FramePrefix {
  return { whole: Uint8Array.of(0x2e, id), fragment: Uint8Array.of(0x2d, id) };
}

/** Everything that comes until the end. */
export async function readAll(stream: { read(): Promise<Uint8Array | null> }): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for (let part = await stream.read(); part !== null; part = await stream.read()) parts.push(part);
  return Buffer.concat(parts);
}

/** Resolves with the next value that the handler is called with. */
export function next<T>(set: (handler: (value: T) => void) => void): Promise<T> {
  return new Promise(set);
}

/** Loopback relay: two connections of `relay` joined by forwarding rules, relay ids 1 and 2. */
export function joinByRules(relay: Endpoint, a: Connection, b: Connection) {
  const there = relay.forward({ from: a, to: b, match: prefix(1), rewrite: prefix(2) });
  const back = relay.forward({ from: b, to: a, match: prefix(2), rewrite: prefix(1) });
  return { there, back };
}

/** An inner connection from `agent` to `connector` over `relay`: [agent's side, connector's side]. */
export async function relayed(
  pki: TestPki,
  outer?: TransportOptions,
  inner?: TransportOptions,
  direct?: DirectOptions,
) {
  const innerServer = { alpn: [INNER], ...(inner && { transport: inner }) };
  const relay = await endpoint(pki, 'intermediate/i', {
    server: { alpn: [OUTER], ...(outer && { transport: outer }) },
  });
  const extra = direct && { direct };
  const agent = await endpoint(pki, 'agent/a', extra);
  const connector = await endpoint(pki, 'connector/s/c', { innerServer, ...extra });
  const [agentOuter, relayAgent] = await connected(agent, relay, outer);
  const [connectorOuter, relayConnector] = await connected(connector, relay, outer);
  const rules = joinByRules(relay, relayAgent, relayConnector);
  const agentPath = agent.addVirtualPath({ carrier: agentOuter, send: prefix(1), receive: prefix(1) });
  const connectorPath = connector.addVirtualPath({
    carrier: connectorOuter,
    send: prefix(2),
    receive: prefix(2),
  });
  const accepted = nextConnection(connector);
  const options = { remote: agentPath.address, alpn: [INNER], ...(inner && { transport: inner }) };
  const dialled = await agent.connect(options);
  dialled.accept();
  const close = () => Promise.all([agent.close(), connector.close(), relay.close()]);
  return {
    ...{ relay, agent, connector, agentOuter, connectorOuter, relayAgent, relayConnector },
    ...{ rules, agentPath, connectorPath, inner: [dialled, await accepted] as const },
    [Symbol.asyncDispose]: async () => void (await close()),
  };
}
