// Process of a measurement: agents, each with an identity of its own, that are connected and do nothing else.
// A line of standard input is how many there are to be; the answer is how many there are.

import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { ControlStream, localInfo, outerClientTransport, ticketName } from '@ztna/link';
import { type Connection, Endpoint } from '@ztna/quic';
import { makeHello } from '@ztna/session';
import type { Revision, TenantName } from '@ztna/wire';
import type { IdentityFiles } from './identities.ts';

export interface IdleSettings {
  readonly remote: string;
  readonly alpn: string;
  /** Whether they open a control stream and wait for Hello, as with an intermediate; a bare relay has none. */
  readonly greet: boolean;
  readonly identities: readonly IdentityFiles[];
}

const HELLO_MS = 5_000;
/** As the configuration's defaults. */
const transport = outerClientTransport({
  ...{ idleTimeoutMs: 30_000, keepAliveMs: 10_000, initialMtu: 1200, maxMtu: 1452 },
});
const settings = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as IdleSettings;
const identities = settings.identities.map(tlsOf);
const first = identities[0];
if (first === undefined) throw new Error('no identity');
const endpoint = Endpoint.bind({ listen: '127.0.0.1:0', ...first });
const connections = new Set<Connection>();
let made = 0;

console.log('ready');
const input = createInterface({ input: process.stdin });
input.on('close', () => process.exit(0));
for await (const line of input) {
  try {
    await become(Number(line));
    console.log(JSON.stringify({ connections: connections.size }));
  } catch (error) {
    console.log(JSON.stringify({ error: String(error), connections: connections.size }));
  }
}

async function become(wanted: number): Promise<void> {
  const excess = [...connections].slice(wanted);
  for (const connection of excess) connection.close();
  await Promise.all(excess.map(({ closed }) => closed));
  while (connections.size < wanted) await add();
}

async function add(): Promise<void> {
  const index = made++ % identities.length;
  const identity = identities[index];
  if (identity) await endpoint.reload(identity);
  const { remote, alpn, greet } = settings;
  const connection = await endpoint.connect({
    remote,
    alpn: [alpn],
    transport,
    serverName: ticketName(`${index}`),
  });
  connections.add(connection);
  void connection.closed.then(() => connections.delete(connection));
  connection.accept();
  if (greet) await hello(connection);
}

async function hello(connection: Connection): Promise<void> {
  const answered = Promise.withResolvers<void>();
  const late = () => answered.reject(new Error('no Hello'));
  const timer = setTimeout(late, HELLO_MS);
  const control = new ControlStream(connection.openBi(), {
    onMessage: (message) => (message.type === 'hello' ? answered.resolve() : undefined),
    onMalformed: (reason) => answered.reject(new Error(reason)),
    onEnd: (reason) => answered.reject(new Error(reason)),
  });
  control.send(makeHello(localInfo('default' as TenantName), 0 as Revision, Date.now()));
  await answered.promise.finally(() => clearTimeout(timer));
}

function tlsOf({ chain, key, roots }: IdentityFiles) {
  return {
    identity: { certChain: readFileSync(chain, 'utf8'), privateKey: readFileSync(key, 'utf8') },
    trust: { roots: readFileSync(roots, 'utf8') },
  };
}
