// An enrolled peer that says what the agent or connector at the other end of its sessions shall probe. One argument,
// JSON: `role`, `identity` (files as in a configuration), `relay`, `service`, `rounds` (each a list of addresses: one
// is shown after another, over and over). Prints {"event":"session"} with each session.
import { readFileSync } from 'node:fs';
import { innerClientTransport, innerServerTransport } from '@ztna/link';
import { type Connection, Endpoint } from '@ztna/quic';
import { ALPN, relayPrefix, type ServiceName } from '@ztna/wire';
import type { TestIdentity } from '../../e2e/support/pki.ts';
import { HostilePeer } from '../../hostile/support/peer.ts';

interface Orders {
  readonly role: 'agent' | 'connector';
  readonly identity: TestIdentity;
  readonly relay: string;
  readonly service: string;
  readonly rounds: readonly (readonly string[])[];
}

// An endpoint by itself keeps no process alive.
setInterval(() => {}, 1 << 30);

const { role, identity, relay, service, rounds } = JSON.parse(process.argv[2] ?? '') as Orders;
const transport = { idleTimeoutMs: 30_000, keepAliveMs: 10_000, initialMtu: 1200, maxMtu: 1452 };
const { certificateFile, privateKeyFile } = identity.files.identity;
const endpoint = Endpoint.bind({
  listen: '[::]:0',
  trust: { roots: readFileSync(identity.files.trust.bundleFile, 'utf8') },
  identity: {
    certChain: readFileSync(certificateFile, 'utf8'),
    privateKey: readFileSync(privateKeyFile, 'utf8'),
  },
  innerServer: { alpn: [ALPN.SESSION], transport: innerServerTransport(transport) },
  // Whatever it wants to name, its own engine lets it.
  direct: { refuse: [], allow: ['0.0.0.0/0', '::/0'] },
});
const peer = await HostilePeer.over(endpoint, relay);
peer.hello();
await peer.next('hello');

if (role === 'agent') {
  peer.send({
    type: 'openSession',
    requestId: 1,
    service: service as ServiceName,
    excludeConnectors: [],
  });
  const { relayId } = await peer.next('sessionOffer');
  const prefix = relayPrefix(relayId);
  const path = endpoint.addVirtualPath({ carrier: peer.connection, send: prefix, receive: prefix });
  const options = { transport: innerClientTransport(transport), serverName: 'connector.invalid' };
  const inner = await endpoint.connect({ remote: path.address, alpn: [ALPN.SESSION], ...options });
  inner.accept();
  attack(inner);
} else {
  endpoint.onConnection = (inner) => {
    inner.accept();
    attack(inner);
  };
  peer.send({
    type: 'register',
    services: [service as ServiceName],
    capacity: 0,
    labels: new Map(),
  });
  for (;;) {
    const { relayId, sessionUid } = await peer.next('sessionOffer');
    const prefix = relayPrefix(relayId);
    peer.send({ type: 'sessionAnswer', sessionUid, relayId });
    endpoint.addVirtualPath({ carrier: peer.connection, send: prefix, receive: prefix });
  }
}

function attack(inner: Connection): void {
  console.log(JSON.stringify({ event: 'session' }));
  let turn = 0;
  const timer = setInterval(() => {
    if (inner.isClosed) return clearInterval(timer);
    inner.setCandidates(rounds[turn++ % rounds.length] ?? []);
    if (role === 'agent') inner.probe();
  }, 100);
}
