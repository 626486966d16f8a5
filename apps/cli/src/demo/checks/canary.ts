import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { type Canary, makeCanary } from '../canary/canary.ts';
import { type MemoryScan, scanMemory } from '../canary/memory.ts';
import { describeFindings, Scanner } from '../canary/scanner.ts';
import { pcap } from '../tap/pcap.ts';
import type { Captured } from '../tap/udp-tap.ts';
import { type Check, type CheckContext, type Evidence, hold } from './check.ts';
import { get } from './http.ts';

const tcpTimes = 500;
const httpTimes = 20;

/** Nothing of a canary may show in the packets of the intermediate; the same scan finds it behind the connector. */
export const canaryCapture: Check = {
  name: 'canary-capture',
  title: 'canary absent from a capture at the intermediate',
  timeoutMs: 60_000,
  async run(context) {
    const { tap, watchedTap, captureFile } = context;
    const canary = makeCanary();
    await tap.record();
    const bytes = await sendCanary(canary, context);
    const { datagrams, truncated } = await tap.stopRecording();
    writeFileSync(captureFile, pcap(datagrams), { mode: 0o600 });
    const captured = datagrams.reduce((sum, { payload }) => sum + payload.length, 0);
    hold(!truncated, 'there was more traffic than the capture may hold');
    hold(
      captured >= 2 * bytes,
      `only ${captured} bytes captured of at least ${2 * bytes}: it went another way`,
    );
    const atIntermediate = scanDatagrams(datagrams, canary);
    hold(atIntermediate.hits === 0, `found in the capture: ${describeFindings(atIntermediate.findings)}`);
    const atBackend = new Scanner(canary.needles);
    for (const piece of watchedTap.recorded) atBackend.push(piece);
    hold(atBackend.hits > 0, 'the same scan does not find it at the backend either: it proves nothing');
    const seen = describeFindings(atBackend.findings);
    const detail = `not in ${datagrams.length} datagrams (${kib(captured)}) taken by a UDP forwarder in front of the intermediate; at the backend ${seen}`;
    return { detail, bytes };
  },
};

/** Nor in the memory of its process, while the canary passes; the same scan finds it in the backend's. */
export const canaryMemory: Check = {
  name: 'canary-memory',
  title: "canary absent from the intermediate's memory",
  timeoutMs: 90_000,
  async run(context) {
    if (process.platform !== 'linux') return notHere();
    const { intermediate, backend } = context.processes;
    const canary = makeCanary();
    const bytes = await sendCanary(canary, context);
    await using flowing = await keepSending(canary, context);
    // What the intermediate surely holds: the path of its configuration. Found, it shows that the scan reads it.
    const control = { form: 'control', bytes: Buffer.from(context.intermediateConfig) };
    const there = await scan(intermediate.pid, [...canary.needles, control], 'the intermediate');
    const atBackend = await scan(backend.pid, canary.needles, 'the backend');
    await flowing.stillFlows();
    const { findings } = there.scanner;
    hold(
      findings.has('control'),
      "the scan does not find the intermediate's own configuration: it proves nothing",
    );
    const found = new Map([...findings].filter(([form]) => form !== 'control'));
    hold(found.size === 0, `found in the memory of the intermediate: ${describeFindings(found)}`);
    hold(
      atBackend.scanner.hits > 0,
      'the same scan does not find it in the backend either: it proves nothing',
    );
    const seen = describeFindings(atBackend.scanner.findings);
    const detail = `not in ${mib(there.scanner.bytes)} of the intermediate while it passed; in the backend ${seen}`;
    return { detail, bytes };
  },
};

/** Sends the canary through TCP and HTTP, in raw and in text, and gets it back. Gives the bytes that went. */
async function sendCanary(canary: Canary, { watched, http, signal }: CheckContext): Promise<number> {
  const message = Buffer.concat(Array.from({ length: tcpTimes }, () => canary.bytes));
  const text = Buffer.from(canary.hex.repeat(20));
  const socket = connect({ ...watched, allowHalfOpen: true });
  const destroy = () => socket.destroy(new Error('given up'));
  signal.addEventListener('abort', destroy);
  try {
    socket.end(Buffer.concat([message, text]));
    const back = await buffer(socket);
    hold(back.equals(Buffer.concat([message, text])), 'TCP did not bring the canary back');
  } finally {
    signal.removeEventListener('abort', destroy);
    socket.destroy();
  }
  for (let i = 0; i < httpTimes; i++) {
    const answer = await buffer(await get(http, `/headers?canary=${canary.hex}`, signal));
    hold(answer.includes(canary.hex), 'HTTP did not bring the canary back');
  }
  return message.length + text.length + httpTimes * canary.hex.length;
}

/** Keeps the canary on its way until disposed: a slow request that names it, and TCP echo without pause. */
async function keepSending(canary: Canary, { watched, http, signal }: CheckContext) {
  const ended = new AbortController();
  const slow = await get(
    http,
    `/slow?ms=60000&chunks=60&canary=${canary.hex}`,
    AbortSignal.any([signal, ended.signal]),
  );
  slow.on('error', () => {});
  slow.resume();
  const socket = connect({ ...watched, noDelay: true });
  socket.on('error', () => {});
  socket.on('data', (piece) => socket.write(piece));
  socket.write(Buffer.concat([canary.bytes, Buffer.from(canary.hex)]));
  return {
    async stillFlows(): Promise<void> {
      await once(socket, 'data', { signal });
    },
    async [Symbol.asyncDispose](): Promise<void> {
      ended.abort();
      socket.destroy();
    },
  };
}

/** Each direction of each pair of endpoints is one sequence of bytes. */
function scanDatagrams(datagrams: readonly Captured[], { needles }: Canary): Scanner {
  const scanner = new Scanner(needles);
  const ways = Map.groupBy(datagrams, ({ from, to }) => `${from.port} ${to.port}`);
  for (const way of ways.values()) {
    scanner.gap();
    for (const { payload } of way) scanner.push(payload);
  }
  return scanner;
}

async function scan(pid: number, needles: Canary['needles'], who: string): Promise<MemoryScan> {
  try {
    return await scanMemory(pid, needles);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    const denied = code === 'EACCES' || code === 'EPERM';
    const why = denied
      ? 'this kernel forbids it (kernel.yama.ptrace_scope, or a container): run as root'
      : message;
    throw new Error(`the memory of ${who} cannot be read: ${why}`);
  }
}

function notHere(): Evidence {
  const detail = `skipped: the memory of another process can be read on Linux only, this is ${process.platform}`;
  return { detail, bytes: 0, skipped: true };
}

function kib(bytes: number): string {
  return `${Math.round(bytes / 1024)} KiB`;
}

function mib(bytes: number): string {
  return `${Math.round(bytes / 2 ** 20)} MiB`;
}
