// The head of a request to an HTTP proxy (RFC 9110 §9.3.6, RFC 9112 §3.2). Pure.
import { done, failed, NEED_MORE, type Parsed } from './parsed.ts';

/** Most bytes of a request's head. */
export const MAX_HEAD = 16 * 1024;

/** `status` and `detail` (a sentence) answer the client. */
export interface HttpError {
  readonly status: 400 | 431 | 501 | 505;
  readonly detail: string;
}

export interface HttpDestination {
  readonly host: string;
  readonly port: number;
}

export type HttpRequest =
  | { readonly type: 'connect'; readonly destination: HttpDestination }
  /** A plain request for an `http:` URL; `head` is what the service is to get. */
  | { readonly type: 'forward'; readonly destination: HttpDestination; readonly head: string };

/** Everything up to the empty line. Lines end with CRLF; bytes that no head has are refused at once. */
export function parseHead(bytes: Uint8Array): Parsed<HttpRequest, HttpError> {
  const length = Math.min(bytes.length, MAX_HEAD);
  for (let i = 0; i < length; i++) {
    const byte = bytes[i] as number;
    const previous = i === 0 ? 0 : bytes[i - 1];
    if ((byte === LF) !== (previous === CR)) return refuse(400, 'Lines must end with CR LF.');
    if (byte === 0x7f || (byte < 0x20 && byte !== TAB && byte !== CR && byte !== LF)) {
      return refuse(400, 'The head has control characters.');
    }
    if (byte === LF && i >= 3 && bytes[i - 2] === LF) return readHead(bytes.subarray(0, i - 3), i + 1);
  }
  return length < MAX_HEAD ? NEED_MORE : refuse(431, `The head is longer than ${MAX_HEAD} bytes.`);
}

/** An answer without keep-alive whose body is one sentence. */
export function httpAnswer(status: number, sentence: string): string {
  const body = `${sentence}\n`;
  const fields = [
    'Content-Type: text/plain; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    'Cache-Control: no-store',
    'X-Content-Type-Options: nosniff',
    'Connection: close',
  ];
  return `HTTP/1.1 ${status} ${PHRASES[status] ?? 'Error'}\r\n${fields.join('\r\n')}\r\n\r\n${body}`;
}

export const CONNECT_ESTABLISHED = 'HTTP/1.1 200 Connection established\r\n\r\n';

const TAB = 9;
const LF = 10;
const CR = 13;
const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
const PHRASES: Readonly<Record<number, string>> = {
  400: 'Bad Request',
  403: 'Forbidden',
  408: 'Request Timeout',
  431: 'Request Header Fields Too Large',
  501: 'Not Implemented',
  502: 'Bad Gateway',
  503: 'Service Unavailable',
  504: 'Gateway Timeout',
  505: 'HTTP Version Not Supported',
};
/** Fields between client and proxy alone (RFC 9110 §7.6.1); credentials for a proxy are nobody else's. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authorization',
  'te',
  'upgrade',
]);

function readHead(head: Uint8Array, size: number): Parsed<HttpRequest, HttpError> {
  const [requestLine = '', ...lines] = Buffer.from(head).toString('latin1').split('\r\n');
  const [method = '', target = '', version = '', ...more] = requestLine.split(' ');
  if (!TOKEN.test(method) || target === '' || more.length > 0)
    return refuse(400, 'The request line is malformed.');
  if (!/^HTTP\/\d\.\d$/.test(version)) return refuse(400, 'The request line has no HTTP version.');
  if (!version.startsWith('HTTP/1.')) return refuse(505, 'This proxy speaks HTTP/1.1.');
  const fields = lines.map((line) => line.split(':', 1)[0] ?? '');
  if (fields.some((name, i) => !TOKEN.test(name) || !lines[i]?.includes(':'))) {
    return refuse(400, 'A header field is malformed.');
  }
  if (method === 'CONNECT') {
    const destination = readAuthority(target, undefined);
    if (!destination) return refuse(400, 'CONNECT needs HOST:PORT.');
    return done({ type: 'connect', destination }, size);
  }
  return readAbsolute(method, target, lines, size);
}

function readAbsolute(method: string, target: string, lines: readonly string[], size: number) {
  const match = /^http:\/\/([^/?#]+)([^#]*)$/i.exec(target);
  if (!match) {
    return refuse(501, 'This is a proxy: it takes CONNECT HOST:PORT and requests for http://NAME/ URLs.');
  }
  const [, authority = '', rest = ''] = match;
  const destination = readAuthority(authority, 80);
  if (!destination) return refuse(400, 'The URL has no usable host and port.');
  const path = rest === '' ? (method === 'OPTIONS' ? '*' : '/') : rest.startsWith('/') ? rest : `/${rest}`;
  const named = new Set(lines.filter((line) => /^connection:/i.test(line)).flatMap(options));
  const kept = lines.filter((line) => {
    const name = line.slice(0, line.indexOf(':')).toLowerCase();
    return name !== 'host' && !HOP_BY_HOP.has(name) && !named.has(name);
  });
  // One request per connection: the next one may be for another service.
  const fields = [`Host: ${authority}`, ...kept, 'Connection: close'];
  const head = `${method} ${path} HTTP/1.1\r\n${fields.join('\r\n')}\r\n\r\n`;
  return done<HttpRequest>({ type: 'forward', destination, head }, size);
}

/** Fields that `Connection` names are hop-by-hop too; those that frame the body cannot be. */
function options(line: string): string[] {
  const names = line
    .slice(line.indexOf(':') + 1)
    .toLowerCase()
    .split(',');
  return names
    .map((name) => name.trim())
    .filter((name) => name !== 'content-length' && name !== 'transfer-encoding');
}

function readAuthority(text: string, defaultPort: number | undefined): HttpDestination | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([A-Za-z0-9._-]{1,253}))(?::(\d{1,5}))?$/.exec(text);
  if (!match) return undefined;
  const port = match[3] === undefined ? defaultPort : Number(match[3]);
  if (port === undefined || port < 1 || port > 65_535) return undefined;
  return { host: match[1] ?? match[2] ?? '', port };
}

function refuse(status: HttpError['status'], detail: string) {
  return failed<HttpError>({ status, detail });
}
