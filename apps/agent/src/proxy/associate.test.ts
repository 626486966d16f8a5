import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { generateKey, toPem } from '@ztna/identity';
import { createAuthority, issueLeaf } from '@ztna/identity/pki';
import { Endpoint } from '@ztna/quic';
import { createLogger } from '@ztna/runtime/log';
import type { SpiffeId } from '@ztna/wire';
import { afterEach, expect, test, vi } from 'vitest';
import type { Agent } from '../agent.ts';
import { startProxy } from './start.ts';

const GREETING = Uint8Array.of(5, 1, 0);
const ASSOCIATE = Uint8Array.of(5, 3, 0, 1, 0, 0, 0, 0, 0, 0);
const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

test('associations are bounded: those beyond are told so and counted, and places come back', async () => {
  const endpoint = await bind();
  const add = vi.fn();
  using proxy = startProxy(agentOf(endpoint, add), { host: '127.0.0.1', port: 0 }, '--listen');
  const replies = await Promise.all(Array.from({ length: 260 }, () => associate(proxy.listen)));
  expect(replies.filter((reply) => reply === 0)).toHaveLength(256);
  expect(replies.filter((reply) => reply === 1)).toHaveLength(4);
  expect(add.mock.calls).toEqual(Array(4).fill(['proxy_refused', 'associations']));
  for (const socket of sockets.splice(0)) socket.destroy();
  await expect.poll(() => associate(proxy.listen)).toBe(0);
  await endpoint.close();
});

/** The reply to a client that asks for an association; it stays connected. */
async function associate(address: string): Promise<number | undefined> {
  const socket = connect({ host: '127.0.0.1', port: Number(address.split(':').at(-1)) });
  sockets.push(socket);
  socket.write(Buffer.concat([GREETING, ASSOCIATE]));
  let answer = Buffer.alloc(0);
  while (answer.length < 4) {
    const [chunk] = await once(socket, 'data');
    answer = Buffer.concat([answer, chunk]);
  }
  return answer[3];
}

async function bind(): Promise<Endpoint> {
  const nowMs = Date.now();
  const { root, issuing } = await createAuthority({ trustDomain: 'corp.example', tenant: 'default', nowMs });
  const key = generateKey('p256');
  const id = 'spiffe://corp.example/default/agent/a' as SpiffeId;
  const issued = await issueLeaf(issuing, { id, publicKey: key, nowMs });
  if (!issued.ok) throw new Error(issued.error.detail);
  const certChain = issued.value.map((der) => toPem('CERTIFICATE', der)).join('');
  const privateKey = key.export({ type: 'pkcs8', format: 'pem' }).toString();
  const roots = toPem('CERTIFICATE', root.certificate);
  return Endpoint.bind({ listen: '127.0.0.1:0', identity: { certChain, privateKey }, trust: { roots } });
}

/** As much of an agent as the proxy needs before there is a flow. */
function agentOf(endpoint: Endpoint, add: (metric: string, cause: string) => void): Agent {
  const proxy = { handshakeTimeoutMs: 10_000, handshakes: 1000, domain: 'ztna.internal' };
  const log = createLogger({ component: 'agent', level: 'silent', format: 'json' });
  return { endpoint, config: { proxy }, observer: { add }, log, listeners: new Set() } as unknown as Agent;
}
