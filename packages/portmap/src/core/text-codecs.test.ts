import { describe, expect, test } from 'vitest';
import { decodeDescription, urlAt } from './description.ts';
import { decodeAnswer, encodeAction, mappingArguments } from './soap.ts';
import { decodeSearchAnswer, encodeSearches } from './ssdp.ts';
import { maxXmlBytes, parseXml } from './xml.ts';

const bytes = (text: string) => new TextEncoder().encode(text);

describe('XML', () => {
  test('elements, text and entities, prefixes and attributes aside', () => {
    const parsed = parseXml(
      bytes('<?xml version="1.0"?><!-- > --><s:a x="1>2"><b>1 &lt;&#50;</b><c/></s:a>\n'),
    );

    expect(parsed).toEqual({
      ok: true,
      value: {
        name: 'a',
        text: '',
        children: [
          { name: 'b', text: '1 <2', children: [] },
          { name: 'c', text: '', children: [] },
        ],
      },
    });
  });

  test.each([
    ['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', 'unknown-feature'],
    ['<a><![CDATA[b]]></a>', 'unknown-feature'],
    ['<a><b></a></b>', 'malformed'],
    ['</a>', 'malformed'],
    ['<a></a><b></b>', 'malformed'],
    ['text', 'malformed'],
    ['', 'malformed'],
    ['<a>', 'truncated'],
    ['<a', 'truncated'],
    ['<!-- ', 'truncated'],
    ['<a b="></a>', 'truncated'],
    ['<>', 'malformed'],
    ['<a>'.repeat(40) + '</a>'.repeat(40), 'too-large'],
    [`<a>${'<b/>'.repeat(3000)}</a>`, 'too-large'],
    [`<a>${' '.repeat(maxXmlBytes)}</a>`, 'too-large'],
  ])('%.50s is refused: %s', (text, kind) => {
    expect(parseXml(bytes(text))).toMatchObject({ ok: false, error: { kind } });
  });

  test('entities that are none stay as they are', () => {
    expect(parseXml(bytes('<a>&#xd800;&b;&#0;</a>'))).toMatchObject({ value: { text: '&#xd800;&b;&#0;' } });
  });
});

describe('SSDP', () => {
  const answer = (location: string, target = 'urn:schemas-upnp-org:device:InternetGatewayDevice:1') =>
    bytes(`HTTP/1.1 200 OK\r\nST: ${target}\r\nlocation : ${location}\r\n\r\nST: late\r\n`);

  test('a search', () => {
    const [first] = encodeSearches('239.255.255.250:1900');

    expect(new TextDecoder().decode(first)).toBe(
      'M-SEARCH * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\nMAN: "ssdp:discover"\r\nMX: 1\r\n' +
        'ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n',
    );
  });

  test('an answer', () => {
    expect(decodeSearchAnswer(answer('http://192.168.1.1:5000/d.xml'))).toMatchObject({
      ok: true,
      value: { location: 'http://192.168.1.1:5000/d.xml' },
    });
  });

  test.each([
    [answer('http://a/', 'upnp:rootdevice'), 'invalid'],
    [bytes('HTTP/1.1 404 Not Found\r\nST: a\r\n\r\n'), 'malformed'],
    [bytes('NOTIFY * HTTP/1.1\r\nLOCATION: a\r\n\r\n'), 'malformed'],
    [bytes('HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n'), 'missing'],
    [bytes('HTTP/1.1 200 OK\r\nLOCATION: a\r\n'), 'missing'],
    [answer('a'.repeat(2048)), 'too-large'],
  ])('others are refused (%#)', (text, kind) => {
    expect(decodeSearchAnswer(text)).toMatchObject({ ok: false, error: { kind } });
  });
});

describe('URLs of a gateway', () => {
  const gateway = '192.168.1.1';

  test.each([
    ['http://192.168.1.1:5000/d.xml', undefined, { port: 5000, path: '/d.xml' }],
    ['http://192.168.1.1', undefined, { port: 80, path: '/' }],
    ['/ctl?a=1', 'http://192.168.1.1:5000/d.xml', { port: 5000, path: '/ctl?a=1' }],
    ['ctl', 'http://192.168.1.1:5000/x/d.xml', { port: 5000, path: '/x/ctl' }],
  ])('%s', (url, base, place) => {
    expect(urlAt(gateway, url, base)).toEqual(place);
  });

  test.each([
    ['http://192.168.1.2:5000/d.xml', undefined],
    ['http://192.168.1.1.example.com/', undefined],
    ['http://router.lan/d.xml', undefined],
    ['http://192.168.1.1@10.0.0.1/', undefined],
    ['http://user@192.168.1.1/', undefined],
    ['https://192.168.1.1/d.xml', undefined],
    ['file:///etc/passwd', undefined],
    ['//10.0.0.1/ctl', 'http://192.168.1.1/'],
    ['http://127.0.0.1:8080/', 'http://192.168.1.1/'],
    ['/ctl', undefined],
    ['/ctl', 'http://10.0.0.1/'],
    [`http://192.168.1.1/${'a'.repeat(512)}`, undefined],
  ])('%s leads elsewhere', (url, base) => {
    expect(urlAt(gateway, url, base)).toBeUndefined();
  });
});

test('a description names the services that map ports, the preferred first', () => {
  const service = (type: string, url: string) =>
    `<service><serviceType>urn:schemas-upnp-org:service:${type}</serviceType><controlURL>${url}</controlURL></service>`;
  const nested = `<device><serviceList>${service('WANPPPConnection:1', '/ppp')}${service('WANIPConnection:1', '/ip')}${service('Layer3Forwarding:1', '/l3')}</serviceList></device>`;

  const decoded = decodeDescription(
    bytes(
      `<root><device><deviceList><device><deviceList>${nested}</deviceList></device></deviceList></device></root>`,
    ),
  );

  expect(decoded).toMatchObject({
    ok: true,
    value: { urlBase: undefined, services: [{ controlUrl: '/ip' }, { controlUrl: '/ppp' }] },
  });
  expect(decodeDescription(bytes('<root><device/></root>'))).toMatchObject({
    ok: false,
    error: { kind: 'missing' },
  });
});

describe('SOAP', () => {
  const envelope = (inner: string) => bytes(`<s:Envelope><s:Body>${inner}</s:Body></s:Envelope>`);
  const fault = (code: string) =>
    envelope(
      `<s:Fault><detail><UPnPError><errorCode>${code}</errorCode><errorDescription>A\u001b[1m</errorDescription></UPnPError></detail></s:Fault>`,
    );

  test('an order carries its arguments in their order', () => {
    const order = { externalPort: 1, internalPort: 2, internalClient: '10.0.0.2', lifetime: 3 };

    const { body, headers } = encodeAction(
      'urn:x:WANIPConnection:1',
      'AddPortMapping',
      mappingArguments(order),
    );

    expect(headers.SOAPAction).toBe('"urn:x:WANIPConnection:1#AddPortMapping"');
    expect(body).toContain(
      '<u:AddPortMapping xmlns:u="urn:x:WANIPConnection:1"><NewRemoteHost></NewRemoteHost>' +
        '<NewExternalPort>1</NewExternalPort><NewProtocol>UDP</NewProtocol><NewInternalPort>2</NewInternalPort>' +
        '<NewInternalClient>10.0.0.2</NewInternalClient><NewEnabled>1</NewEnabled>' +
        '<NewPortMappingDescription>ztna</NewPortMappingDescription><NewLeaseDuration>3</NewLeaseDuration></u:AddPortMapping>',
    );
  });

  test('values, faults and neither', () => {
    const done = envelope(
      '<u:AddAnyPortMappingResponse><NewReservedPort>5</NewReservedPort></u:AddAnyPortMappingResponse>',
    );

    expect(decodeAnswer(done, 'AddAnyPortMapping')).toEqual({
      ok: true,
      value: { type: 'done', values: { NewReservedPort: '5' } },
    });
    expect(decodeAnswer(fault('718'), 'AddAnyPortMapping')).toEqual({
      ok: true,
      value: { type: 'fault', code: 718, detail: 'A?[1m' },
    });
    expect(decodeAnswer(fault('x'), 'AddAnyPortMapping').ok).toBe(false);
    expect(decodeAnswer(done, 'AddPortMapping').ok).toBe(false);
  });
});
