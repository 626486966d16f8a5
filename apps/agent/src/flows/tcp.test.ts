import { once } from 'node:events';
import { connect } from 'node:net';
import { generateKey, toPem } from '@ztna/identity';
import { createAuthority, issueLeaf } from '@ztna/identity/pki';
import { type Connection, Endpoint, type QuicStream, type TcpSocket } from '@ztna/quic';
import {
  encodeFlowResult,
  encodeFrame,
  type FlowId,
  type SpiffeId,
  STREAM_CODE,
  wireError,
} from '@ztna/wire';
import { afterEach, expect, test } from 'vitest';
import type { Target } from '../services.ts';
import { abandonStream, type Flow, openStream, readResult, readResultInto } from './flow.ts';
import { joinTcp } from './tcp.ts';

const TARGET = { service: 'web', transport: 'tcp', port: 80 } as Target;
const PATIENCE = { timeoutMs: 200, why: () => undefined };
const REFUSED = { error: wireError('backend-refused', 'refused') };
const stack: AsyncDisposable[] = [];
afterEach(async () => {
  for (const resource of stack.splice(0)) await resource[Symbol.asyncDispose]();
});

test.each<[string, string, (stream: QuicStream) => void]>([
  [
    'refuses and stops nothing',
    'backend-refused',
    (s) => void s.write(encodeFrame(encodeFlowResult(REFUSED))),
  ],
  ['never answers', 'timeout', () => {}],
  ['answers with something else', 'protocol', (s) => void s.write(Uint8Array.of(2, 0xff, 0xff))],
  ['ends without an answer', 'no-connector', (s) => void s.finish()],
  ['resets the stream', 'no-connector', (s) => s.reset(1)],
  ['has a backend that resets at once', 'backend-refused', (s) => s.reset(STREAM_CODE.FLOW_RESET)],
  ['closes the connection', 'no-connector', (s) => s.connection.close()],
])('a connector that %s: the program is reset, the error is %s', async (_, code, answer) => {
  const { flow, local, socket } = await start(answer);
  const ended = once(local, 'error');
  await expect(joinTcp(flow, socket)).rejects.toMatchObject({ code });
  expect((await ended)[0].code).toBe('ECONNRESET');
});

test("bytes behind the answer are the program's", async () => {
  const { flow, local, socket } = await start((s) => {
    void s.write(Buffer.concat([encodeFrame(encodeFlowResult({})), Buffer.from('hello')]));
    void s.finish();
  });
  local.end();
  const first = once(local, 'data');
  const result = await joinTcp(flow, socket);
  expect((await first)[0].toString()).toBe('hello');
  expect(result.reason).toBe('finished');
});

/** A program's connection and a flow to a connector that does `answer` with the flow's stream. */
async function start(answer: (stream: QuicStream) => void) {
  const [agent, connector] = await endpoints();
  connector.onConnection = (connection) => {
    connection.onBiStream = answer;
    connection.accept();
  };
  const connection = await agent.connect({ remote: connector.localAddress, alpn: ['test'] });
  connection.accept();
  const accepted = Promise.withResolvers<TcpSocket>();
  const listener = agent.listenTcp({ listen: '127.0.0.1:0', onConnection: accepted.resolve });
  const local = connect(Number(listener.address.split(':')[1]), '127.0.0.1');
  return { flow: await open(connection), local, socket: await accepted.promise };
}

async function open(connection: Connection): Promise<Flow> {
  const stream = await openStream(connection, TARGET, 'alice' as never, 0 as FlowId);
  return {
    ...{ target: TARGET, connection, stream, flowId: 0 as FlowId, release: () => {} },
    result: () => readResult(stream, TARGET, PATIENCE),
    resultInto: (to: TcpSocket) => readResultInto(stream, TARGET, PATIENCE, to),
    abandon: () => abandonStream(stream),
  };
}

async function endpoints(): Promise<[Endpoint, Endpoint]> {
  const now = { nowMs: Date.now() };
  const authority = await createAuthority({ trustDomain: 'test.example', tenant: 'default', ...now });
  const trust = { roots: toPem('CERTIFICATE', authority.root.certificate) };
  const bind = async (path: string) => {
    const publicKey = generateKey('p256');
    const id = `spiffe://test.example/default/${path}` as SpiffeId;
    const issued = await issueLeaf(authority.issuing, { id, publicKey, ...now });
    if (!issued.ok) throw new Error(issued.error.detail);
    const certChain = issued.value.map((der) => toPem('CERTIFICATE', der)).join('');
    const privateKey = publicKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    const endpoint = Endpoint.bind({
      ...{ listen: '127.0.0.1:0', trust, identity: { certChain, privateKey } },
      server: { alpn: ['test'] },
    });
    stack.push(endpoint);
    return endpoint;
  };
  return [await bind('agent/a'), await bind('connector/s/c')];
}
