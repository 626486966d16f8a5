import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { httpAnswer, MAX_HEAD, parseHead } from './http-head.ts';

const head = (...lines: string[]) => Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1');

describe('CONNECT', () => {
  test('names host and port; what follows the empty line is not its own', () => {
    const input = head('CONNECT web.ztna.internal:443 HTTP/1.1', 'Host: web.ztna.internal:443');
    const destination = { host: 'web.ztna.internal', port: 443 };
    const expected = { type: 'done', value: { type: 'connect', destination }, size: input.length };
    expect(parseHead(input)).toEqual(expected);
    expect(parseHead(Buffer.concat([input, Buffer.from('\x16\x03')]))).toEqual(expected);
  });

  test('may name an address', () => {
    expect(parseHead(head('CONNECT [::1]:22 HTTP/1.0'))).toMatchObject({
      value: { destination: { host: '::1', port: 22 } },
    });
  });
});

describe('a request for an http URL', () => {
  test('becomes one for the service, once, without the fields of the hop', () => {
    const input = head(
      'GET http://web.ztna.internal:8080/a?b HTTP/1.1',
      'Host: elsewhere',
      'Proxy-Authorization: Basic c2VjcmV0',
      'Connection: keep-alive, X-Hop',
      'X-Hop: 1',
      'Accept: */*',
    );
    expect(parseHead(input)).toMatchObject({
      value: {
        type: 'forward',
        destination: { host: 'web.ztna.internal', port: 8080 },
        head: 'GET /a?b HTTP/1.1\r\nHost: web.ztna.internal:8080\r\nAccept: */*\r\nConnection: close\r\n\r\n',
      },
    });
  });

  test('is for port 80 and / when it names none', () => {
    expect(parseHead(head('GET http://web.ztna.internal HTTP/1.1'))).toMatchObject({
      value: { destination: { port: 80 }, head: expect.stringMatching(/^GET \/ HTTP/) },
    });
  });

  test('keeps the fields that frame its body, whatever Connection says', () => {
    const input = head('POST http://web/ HTTP/1.1', 'Connection: content-length', 'Content-Length: 3');
    expect(parseHead(input)).toMatchObject({ value: { head: expect.stringContaining('Content-Length: 3') } });
  });
});

test.each([
  ['an origin-form request', 501, head('GET / HTTP/1.1', 'Host: x')],
  ['an https URL', 501, head('GET https://web.ztna.internal/ HTTP/1.1')],
  ['a URL with a user', 400, head('GET http://user@web/ HTTP/1.1')],
  ['CONNECT without a port', 400, head('CONNECT web.ztna.internal HTTP/1.1')],
  ['CONNECT to port 0', 400, head('CONNECT web:0 HTTP/1.1')],
  ['CONNECT to port 65536', 400, head('CONNECT web:65536 HTTP/1.1')],
  ['CONNECT to a URL', 400, head('CONNECT http://web/ HTTP/1.1')],
  ['HTTP/2', 505, head('CONNECT web:80 HTTP/2.0')],
  ['no version', 400, head('GET http://web/')],
  ['two spaces', 400, head('CONNECT  web:80 HTTP/1.1')],
  ['an empty request line', 400, head('', 'Host: x')],
  ['a field without a colon', 400, head('CONNECT web:80 HTTP/1.1', 'nonsense')],
  ['a folded field', 400, head('CONNECT web:80 HTTP/1.1', 'A: b', ' c')],
  ['a space before the colon', 400, head('CONNECT web:80 HTTP/1.1', 'A : b')],
  ['a bare LF', 400, Buffer.from('CONNECT web:80 HTTP/1.1\n')],
  ['a bare CR', 400, Buffer.from('CONNECT web:80\rHTTP/1.1')],
  ['a zero byte', 400, Buffer.from('CONNECT web\0:80')],
  ['a head without end', 431, Buffer.from(`GET http://web/ HTTP/1.1\r\nA: ${'a'.repeat(MAX_HEAD)}`)],
])('is refused: %s', (_, status, input) => {
  expect(parseHead(input)).toMatchObject({ type: 'error', error: { status } });
});

test('an answer is one sentence and ends the connection', () => {
  const text = httpAnswer(403, 'Not allowed.');
  expect(text).toMatch(/^HTTP\/1\.1 403 Forbidden\r\n/);
  expect(text).toContain('Content-Length: 13\r\n');
  expect(text).toContain('Connection: close\r\n');
});

test('any bytes are decided on a prefix as on the whole', () => {
  const line = fc.constantFrom(
    'CONNECT web:80 HTTP/1.1',
    'GET http://web/ HTTP/1.1',
    'A: b',
    'x',
    '',
    ' ',
    '\x01',
  );
  const lines = fc.array(fc.tuple(line, fc.constantFrom('\r\n', '\r\n', '\r\n', '\n', '\r')), {
    maxLength: 6,
  });
  const texts = lines.map((parts) => Buffer.from(parts.flat().join(''), 'latin1'));
  fc.assert(
    fc.property(fc.oneof(texts, fc.uint8Array({ maxLength: 80 })), (input) => {
      const whole = parseHead(input);
      for (let n = 0; n < input.length; n++) {
        const part = parseHead(input.subarray(0, n));
        if (part.type !== 'need-more') expect(part).toEqual(whole);
      }
    }),
  );
});
