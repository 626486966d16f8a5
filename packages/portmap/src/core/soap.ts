// SOAP actions of the services WANIPConnection:1, :2 and WANPPPConnection:1.
import { fail, ok, type Result } from '@ztna/wire';
import { child, escapeXml, parseXml } from './xml.ts';

export type Action = 'GetExternalIPAddress' | 'AddPortMapping' | 'AddAnyPortMapping' | 'DeletePortMapping';

/** Error codes that we act on. */
export const upnpErrors = {
  invalidAction: 401,
  noSuchEntry: 714,
  conflict: 718,
  samePortRequired: 724,
  permanentOnly: 725,
  notImplemented: 602,
} as const;

export type SoapAnswer =
  | { readonly type: 'done'; readonly values: Readonly<Record<string, string>> }
  | { readonly type: 'fault'; readonly code: number; readonly detail: string };

export interface PortMappingOrder {
  readonly externalPort: number;
  readonly internalPort: number;
  readonly internalClient: string;
  /** Seconds. */
  readonly lifetime: number;
}

/** The arguments in the order that the service's description has: some gateways insist. */
export function mappingArguments(order: PortMappingOrder): [string, string][] {
  return [
    ['NewRemoteHost', ''],
    ['NewExternalPort', String(order.externalPort)],
    ['NewProtocol', 'UDP'],
    ['NewInternalPort', String(order.internalPort)],
    ['NewInternalClient', order.internalClient],
    ['NewEnabled', '1'],
    ['NewPortMappingDescription', 'ztna'],
    ['NewLeaseDuration', String(order.lifetime)],
  ];
}

export function deletionArguments(externalPort: number): [string, string][] {
  return [
    ['NewRemoteHost', ''],
    ['NewExternalPort', String(externalPort)],
    ['NewProtocol', 'UDP'],
  ];
}

/** Body and headers of an action. */
export function encodeAction(serviceType: string, action: Action, args: readonly [string, string][]) {
  const inner = args.map(([name, value]) => `<${name}>${escapeXml(value)}</${name}>`).join('');
  const body =
    '<?xml version="1.0"?>\r\n' +
    '<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/" ' +
    's:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/">' +
    `<s:Body><u:${action} xmlns:u="${serviceType}">${inner}</u:${action}></s:Body></s:Envelope>\r\n`;
  const headers = {
    'Content-Type': 'text/xml; charset="utf-8"',
    SOAPAction: `"${serviceType}#${action}"`,
  };
  return { body, headers };
}

/** Reads the answer to an action, a fault included. */
export function decodeAnswer(bytes: Uint8Array, action: Action): Result<SoapAnswer> {
  const parsed = parseXml(bytes);
  if (!parsed.ok) return parsed;
  const body = child(parsed.value, 'Body');
  const fault = child(body, 'Fault');
  if (fault) {
    const error = child(child(fault, 'detail'), 'UPnPError');
    const code = child(error, 'errorCode')?.text ?? '';
    if (!/^\d{1,4}$/.test(code)) return fail('missing', 'soap.fault', 'a fault without a code');
    return ok({
      type: 'fault',
      code: Number(code),
      detail: printable(child(error, 'errorDescription')?.text ?? ''),
    });
  }
  const response = child(body, `${action}Response`);
  if (!response) return fail('missing', 'soap.body', `no answer to ${action}`);
  const values = Object.fromEntries(response.children.map(({ name, text }) => [name, text.slice(0, 256)]));
  return ok({ type: 'done', values });
}

/** What a gateway says goes to logs and terminals. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]/g, '?').slice(0, 80);
}
