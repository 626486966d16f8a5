// Process of a measurement: an endpoint that forwards opaque datagrams as the intermediate's does, without
// broker or policy. Far ends connect first; everybody who comes later is joined to the far end of the kind
// that its ALPN names.

import { readFileSync } from 'node:fs';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { type Connection, Endpoint, type FramePrefix, type TransportOptions } from '@ztna/quic';

export interface RelaySettings {
  readonly chain: string;
  readonly key: string;
  readonly roots: string;
  readonly transport: TransportOptions;
}

/** `idle` ones are joined to nobody. */
const kinds = ['echo', 'sink', 'idle'];
const settings = JSON.parse(process.argv[2] ?? '') as RelaySettings;
const far = new Map<string, Connection>();
let relayIds = 0;

const relay = endpoint('never');
const retrying = endpoint('always');
retrying.onConnection = (connection) => connection.accept();
relay.onConnection = (connection) => {
  const [side, kind = ''] = connection.alpn.split('-');
  if (side === 'far') far.set(kind, connection);
  else join(connection, far.get(kind));
  connection.accept();
};
console.log(JSON.stringify({ address: relay.localAddress, retrying: retrying.localAddress }));

// Since the last line: how late JavaScript was while the thread forwarded.
const loop = monitorEventLoopDelay({ resolution: 1 });
loop.enable();
const input = createInterface({ input: process.stdin });
input.on('line', async (question) => {
  if (question === 'memory') return tellMemory();
  const paths = await Promise.all([...far].map(async ([kind, c]) => [kind, (await c.paths())[0]]));
  const loopLagP99Ms = loop.percentile(99) / 1e6;
  loop.reset();
  console.log(JSON.stringify({ ...(await relay.stats()), loopLagP99Ms, far: Object.fromEntries(paths) }));
});
input.on('close', () => process.exit(0));

/** After a collection, when it was started with `--expose-gc`. */
function tellMemory(): void {
  globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
  const { heapUsed, external } = process.memoryUsage();
  console.log(JSON.stringify({ heapUsed, external }));
}

function endpoint(retry: 'always' | 'never'): Endpoint {
  return Endpoint.bind({
    listen: '127.0.0.1:0',
    identity: {
      certChain: readFileSync(settings.chain, 'utf8'),
      privateKey: readFileSync(settings.key, 'utf8'),
    },
    trust: { roots: readFileSync(settings.roots, 'utf8') },
    server: {
      alpn: kinds.flatMap((kind) => [`far-${kind}`, `near-${kind}`]),
      transport: settings.transport,
      retry,
    },
  });
}

/** Near sides use relay id 1; at the far end each has one of its own, used again once its owner is long gone. */
function join(near: Connection, to: Connection | undefined): void {
  if (to === undefined) return;
  relayIds = (relayIds % 63) + 1;
  const [a, b] = [prefix(1), prefix(relayIds)];
  relay.forward({ from: near, to, match: a, rewrite: b });
  relay.forward({ from: to, to: near, match: b, rewrite: a });
}

function prefix(id: number): FramePrefix {
  return { whole: Uint8Array.of(0x2e, id), fragment: Uint8Array.of(0x2d, id) };
}
