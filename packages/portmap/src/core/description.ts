// The description of an Internet gateway device: which services it has, and where they take orders.
import { fail, ok, type Result } from '@ztna/wire';
import { sameAddress } from './address.ts';
import { child, parseXml, type XmlElement } from './xml.ts';

/** Of these one is asked, the first preferred. */
const serviceTypes = [
  'urn:schemas-upnp-org:service:WANIPConnection:2',
  'urn:schemas-upnp-org:service:WANIPConnection:1',
  'urn:schemas-upnp-org:service:WANPPPConnection:1',
];
const maxServices = 3;
const maxUrl = 512;

export interface GatewayService {
  readonly serviceType: string;
  /** As written; resolve with `urlAt`. */
  readonly controlUrl: string;
}

export interface Description {
  readonly urlBase: string | undefined;
  /** At most three, never none. */
  readonly services: readonly GatewayService[];
}

/** A place on the gateway. */
export interface GatewayUrl {
  readonly port: number;
  /** With the query. */
  readonly path: string;
}

export function decodeDescription(bytes: Uint8Array): Result<Description> {
  const parsed = parseXml(bytes);
  if (!parsed.ok) return parsed;
  const services = [...allServices(child(parsed.value, 'device'))]
    .filter(({ serviceType, controlUrl }) => serviceTypes.includes(serviceType) && controlUrl !== '')
    .sort((a, b) => serviceTypes.indexOf(a.serviceType) - serviceTypes.indexOf(b.serviceType))
    .slice(0, maxServices);
  if (services.length === 0) return fail('missing', 'description', 'no service that maps ports');
  return ok({ urlBase: child(parsed.value, 'URLBase')?.text || undefined, services });
}

/** Where a URL, absolute or relative to `base`, leads: plain HTTP to the gateway's own address, or undefined. */
export function urlAt(gateway: string, url: string, base?: string): GatewayUrl | undefined {
  if (url.length > maxUrl || (base?.length ?? 0) > maxUrl || !URL.canParse(url, base)) return undefined;
  const { protocol, hostname, port, username, password, pathname, search } = new URL(url, base);
  const host = hostname.replace(/^\[|\]$/g, '');
  if (protocol !== 'http:' || username !== '' || password !== '' || !sameAddress(host, gateway))
    return undefined;
  return { port: port === '' ? 80 : Number(port), path: pathname + search };
}

function* allServices(device: XmlElement | undefined): Generator<GatewayService> {
  if (!device) return;
  for (const service of child(device, 'serviceList')?.children ?? []) {
    yield {
      serviceType: child(service, 'serviceType')?.text ?? '',
      controlUrl: child(service, 'controlURL')?.text ?? '',
    };
  }
  for (const inner of child(device, 'deviceList')?.children ?? []) yield* allServices(inner);
}
