import { once } from 'node:events';
import { chmodSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { isMainThread } from 'node:worker_threads';
import { RuntimeFault, systemCode, systemReason } from '../faults.ts';
import { isAnswered } from './ask.ts';
import { findSockets, prepareDirectory, statOf } from './place.ts';
import {
  CONTROL_LIMITS,
  CONTROL_VERSION,
  type ControlErrorCode,
  type ControlResponse,
  readRequest,
} from './protocol.ts';

/** Gives the result of one request, as JSON can carry it. */
export type ControlHandler = () => unknown;

export interface ControlServerOptions {
  readonly path: string;
  readonly uid: number;
  readonly handlers: Readonly<Record<string, ControlHandler>>;
  /** A handler threw: a bug. */
  readonly onError: (error: unknown) => void;
}

export interface ControlServer extends AsyncDisposable {
  readonly path: string;
}

/** A socket younger than this may be about to listen, ms. */
const SETTLED_MS = 10_000;

/**
 * Answers requests of this user's programs on a Unix socket with mode 0600 until disposed; does not keep the process
 * alive. The socket of a dead process is replaced, that of a live one never. Throws RuntimeFault `control-unsafe`,
 * `control-in-use`, `control-failed`.
 */
export async function serveControl(options: ControlServerOptions): Promise<ControlServer> {
  const { path, uid } = options;
  prepareDirectory(path, uid);
  const sockets = new Set<Socket>();
  const answers = new Answers(options);
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    serveOne(socket, answers);
  });
  server.maxConnections = CONTROL_LIMITS.connections;
  server.unref();
  await bind(server, path, uid);
  return {
    path,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close(); // removes the path too
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** Removes the sockets of dead processes from the directories. */
export async function sweepSockets(directories: readonly string[], uid: number): Promise<void> {
  for (const path of findSockets(directories, uid)) {
    const stat = statOf(path);
    if (!stat || Date.now() - stat.ctimeMs < SETTLED_MS || (await isAnswered(path))) continue;
    if (statOf(path)?.ino === stat.ino) rmSync(path, { force: true });
  }
}

async function bind(server: Server, path: string, uid: number): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await listen(server, path);
      chmodSync(path, 0o600);
      return;
    } catch (cause) {
      if (systemCode(cause) !== 'EADDRINUSE')
        throw failed('control-failed', path, systemReason(cause), cause);
      if (attempt > 0) throw inUse(path, 'another process took it', cause);
    }
    const stat = statOf(path);
    if (stat && !stat.isSocket()) throw inUse(path, 'a file that is no socket has this name');
    if (stat && stat.uid !== uid) throw inUse(path, 'it belongs to another user');
    if (await isAnswered(path)) throw inUse(path, 'another process listens on it');
    if (statOf(path)?.ino === stat?.ino) rmSync(path, { force: true });
  }
}

async function listen(server: Server, path: string): Promise<void> {
  const listening = once(server, 'listening');
  // The socket is made within this call; worker threads (of tests) may not set the mask.
  const mask = isMainThread ? process.umask(0o177) : undefined;
  server.listen(path);
  if (mask !== undefined) process.umask(mask);
  await listening;
}

function serveOne(socket: Socket, answers: Answers): void {
  const chunks: Buffer[] = [];
  let length = 0;
  let answered = false;
  const reply = (text: string) => {
    socket.removeAllListeners('data').pause();
    clearTimeout(deadline);
    deadline = setTimeout(() => socket.destroy(), CONTROL_LIMITS.responseMs).unref();
    socket.end(text, () => socket.destroySoon());
  };
  const take = (line: string | undefined) => {
    if (answered) return;
    answered = true;
    clearTimeout(deadline);
    socket.removeAllListeners('data').pause();
    if (line === undefined) return reply(refusal('too-long', 'the request is too long'));
    void answers.to(line).then(reply);
  };
  const late = () => {
    answered = true;
    reply(refusal('timeout', 'the request did not come in time'));
  };
  let deadline = setTimeout(late, CONTROL_LIMITS.requestMs).unref();
  socket.on('data', (chunk) => {
    length += chunk.length;
    chunks.push(chunk);
    if (chunk.includes(0x0a)) {
      const [line = ''] = Buffer.concat(chunks).toString('utf8').split('\n', 1);
      take(Buffer.byteLength(line) > CONTROL_LIMITS.requestBytes ? undefined : line);
    } else if (length > CONTROL_LIMITS.requestBytes) take(undefined);
  });
  socket.on('end', () => {
    if (!answered) socket.destroy();
  });
  socket.on('error', () => socket.destroy());
  socket.on('close', () => clearTimeout(deadline));
}

/** Makes answers, as they go over the wire. Several who ask the same at once get the same one. */
class Answers {
  readonly #options: ControlServerOptions;
  readonly #underWay = new Map<string, Promise<string>>();

  constructor(options: ControlServerOptions) {
    this.#options = options;
  }

  async to(line: string): Promise<string> {
    const read = readRequest(line);
    if ('code' in read) return refusal(read.code, read.message);
    const { request } = read;
    const { handlers } = this.#options;
    const handler = Object.hasOwn(handlers, request) ? handlers[request] : undefined;
    if (!handler) return refusal('unknown-request', `there are: ${Object.keys(handlers).join(', ')}`);
    const answer = this.#underWay.get(request) ?? this.#make(handler);
    this.#underWay.set(request, answer);
    return answer.finally(() => this.#underWay.delete(request));
  }

  async #make(handler: ControlHandler): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<string>((resolve) => {
      const say = () => resolve(refusal('timeout', 'the answer was not ready in time'));
      timer = setTimeout(say, CONTROL_LIMITS.handlerMs).unref();
    });
    try {
      // Within the attempt: what a handler gives may be nothing that JSON can carry.
      const made = (async () =>
        encode({ v: CONTROL_VERSION, ok: true, result: (await handler()) ?? null }))();
      return await Promise.race([made, late]);
    } catch (error) {
      this.#options.onError(error);
      return refusal('internal', 'the answer could not be made: see the log of the process');
    } finally {
      clearTimeout(timer);
    }
  }
}

function encode(response: ControlResponse): string {
  const text = `${JSON.stringify(response)}\n`;
  if (Buffer.byteLength(text) <= CONTROL_LIMITS.responseBytes) return text;
  return refusal('internal', 'the answer is too long');
}

function refusal(code: ControlErrorCode, message: string): string {
  return encode({ v: CONTROL_VERSION, ok: false, error: { code, message } });
}

function inUse(path: string, why: string, cause?: unknown): RuntimeFault {
  return failed('control-in-use', path, why, cause);
}

function failed(code: string, path: string, why: string, cause: unknown): RuntimeFault {
  return new RuntimeFault({
    code,
    fault: 'config',
    message: `no control socket at ${path}: ${why}`,
    remedy: 'choose another path with control.socket, or leave it out: each process takes one of its own',
    cause,
  });
}
