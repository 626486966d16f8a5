import { connect, type Socket } from 'node:net';
import { RuntimeFault, systemCode, systemReason } from '../faults.ts';
import { CONTROL_LIMITS, CONTROL_VERSION, type ControlResponse, readResponse } from './protocol.ts';

const ASK_MS = CONTROL_LIMITS.requestMs + CONTROL_LIMITS.handlerMs;

/**
 * Asks a running component one thing. Throws RuntimeFault: `control-gone` (nobody listens), `control-timeout`,
 * `control-malformed` (what answers is no component of a version that this one understands), `control-refused`.
 */
export async function askControl(
  path: string,
  request: string,
  o: { timeoutMs?: number } = {},
): Promise<unknown> {
  const { timeoutMs = ASK_MS } = o;
  const response = await exchange(path, `${JSON.stringify({ v: CONTROL_VERSION, request })}\n`, timeoutMs);
  if (response.ok) return response.result;
  const { code, message } = response.error;
  throw fault('refused', `${path} does not answer '${request}': ${message} (${code})`);
}

/** Whether a process listens on a socket. What cannot be told counts as yes: nothing of anybody is taken away. */
export function isAnswered(path: string, timeoutMs = 1000): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (answered: boolean) => {
      socket.destroy();
      resolve(answered);
    };
    socket.setTimeout(timeoutMs, () => settle(true));
    socket.on('connect', () => settle(true));
    socket.on('error', (error) => settle(!isGone(error)));
  });
}

function exchange(path: string, line: string, timeoutMs: number): Promise<ControlResponse> {
  const { promise, resolve, reject } = Promise.withResolvers<ControlResponse>();
  const socket: Socket = connect(path);
  const chunks: Buffer[] = [];
  let length = 0;
  const late = () => reject(fault('timeout', `${path} did not answer within ${timeoutMs} ms`));
  const timer = setTimeout(late, timeoutMs);
  socket.on('connect', () => socket.write(line));
  socket.on('data', (chunk) => {
    length += chunk.length;
    chunks.push(chunk);
    if (length > CONTROL_LIMITS.responseBytes) {
      reject(
        fault('malformed', `the answer of ${path} is longer than ${CONTROL_LIMITS.responseBytes} bytes`),
      );
    } else if (chunk.includes(0x0a)) {
      const [text = ''] = Buffer.concat(chunks).toString('utf8').split('\n', 1);
      const response = readResponse(text);
      if (response) resolve(response);
      else reject(fault('malformed', `${path} does not answer as a component of this version`));
    }
  });
  socket.on('error', (error) => {
    const code = isGone(error) ? 'gone' : 'malformed';
    reject(fault(code, `cannot ask ${path}: ${systemReason(error)}`, error));
  });
  socket.on('close', () => reject(fault('malformed', `${path} closed without an answer`)));
  return promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

function isGone(error: unknown): boolean {
  return ['ECONNREFUSED', 'ENOENT'].includes(systemCode(error) ?? '');
}

function fault(code: string, message: string, cause?: unknown): RuntimeFault {
  return new RuntimeFault({ code: `control-${code}`, fault: 'peer', message, cause });
}
