// SSDP search of UPnP Device Architecture 2.0, section 1.3.
import { fail, ok, type Result } from '@ztna/wire';

export const maxSsdpBytes = 2048;
/** Where searches go besides the gateway. */
export const ssdpGroup = '239.255.255.250';

/** Version 2 answers to version 1 too, but not all gateways know that. */
const targets = [1, 2].map((version) => `urn:schemas-upnp-org:device:InternetGatewayDevice:${version}`);

export interface SearchAnswer {
  /** Where the description is; not yet checked to be at the gateway. */
  readonly location: string;
  readonly target: string;
}

/** The searches for a gateway, to be sent to `host` (address and port). Answers come within a second. */
export function encodeSearches(host: string): Uint8Array[] {
  return targets.map((target) =>
    new TextEncoder().encode(
      `M-SEARCH * HTTP/1.1\r\nHOST: ${host}\r\nMAN: "ssdp:discover"\r\nMX: 1\r\nST: ${target}\r\n\r\n`,
    ),
  );
}

export function decodeSearchAnswer(bytes: Uint8Array): Result<SearchAnswer> {
  if (bytes.length > maxSsdpBytes) return fail('too-large', 'ssdp', `${bytes.length} bytes`);
  const [status = '', ...lines] = new TextDecoder('latin1').decode(bytes).split(/\r?\n/);
  if (!/^HTTP\/1\.[01] 200\b/.test(status)) return fail('malformed', 'ssdp', 'not a 200');
  const location = header(lines, 'location');
  const target = header(lines, 'st');
  if (location === undefined) return fail('missing', 'ssdp.location', 'no LOCATION');
  if (target === undefined) return fail('missing', 'ssdp.st', 'no ST');
  if (!targets.includes(target)) return fail('invalid', 'ssdp.st', 'not a gateway');
  return ok({ location, target });
}

function header(lines: readonly string[], name: string): string | undefined {
  for (const line of lines) {
    if (line === '') return undefined;
    const colon = line.indexOf(':');
    if (colon > 0 && line.slice(0, colon).trim().toLowerCase() === name) return line.slice(colon + 1).trim();
  }
  return undefined;
}
