/** A UDP or TCP endpoint. IPv6 without brackets, a zone (`%eth0`) allowed. */
export interface Endpoint {
  readonly address: string;
  readonly port: number;
}

/** Who can reach an address: everybody, only a network behind a NAT, or nobody (not an address of a host). */
export type Reach = 'public' | 'private' | 'unusable';

const v4Prefix = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff];

/** An address as PCP carries it: 16 bytes, IPv4 as `::ffff:a.b.c.d`. Undefined when it is no IP literal. */
export function parseIp(text: string): Uint8Array | undefined {
  if (text.length > 80) return undefined;
  const [bare = '', ...zones] = text.split('%');
  if (!bare.includes(':')) {
    const v4 = zones.length === 0 ? parseV4(bare) : undefined;
    return v4 && Uint8Array.from([...v4Prefix, ...v4]);
  }
  const halves = bare.split('::');
  if (zones.length > 1 || halves.length > 2) return undefined;
  const [head, tail] = halves.map((half, i) => parseGroups(half, i === halves.length - 1));
  if (!head || (halves.length === 2 && !tail)) return undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  if (halves.length === 2 ? missing < 2 : missing !== 0) return undefined;
  return Uint8Array.from([...head, ...new Array<number>(missing).fill(0), ...(tail ?? [])]);
}

/** Dotted for IPv4-mapped addresses, else RFC 5952. */
export function formatIp(ip: Uint8Array): string {
  if (isV4(ip)) return ip.subarray(12).join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (ip[i * 2] ?? 0) * 256 + (ip[i * 2 + 1] ?? 0));
  const gap = longestZeros(groups);
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return gap.length < 2 ? hex(0, 8) : `${hex(0, gap.start)}::${hex(gap.start + gap.length, 8)}`;
}

/** `203.0.113.5:41000`, `[2001:db8::1]:41000`. */
export function formatEndpoint({ address, port }: Endpoint): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

/** Whether two texts name the same address, zones aside. */
export function sameAddress(a: string, b: string): boolean {
  const [left, right] = [parseIp(a), parseIp(b)];
  return left !== undefined && right !== undefined && left.every((byte, i) => byte === right[i]);
}

export function isV4(ip: Uint8Array): boolean {
  return v4Prefix.every((byte, i) => ip[i] === byte);
}

/** By the IANA special-purpose registries (RFC 6890), as far as a gateway could name such an address. */
export function reachOf(ip: Uint8Array): Reach {
  if (!isV4(ip)) return reachOfV6(ip);
  const [a = 0, b = 0, c = 0] = ip.subarray(12);
  if (a === 0 || a === 127 || a >= 224) return 'unusable';
  const behindNat =
    a === 10 ||
    (a === 100 && b >= 64 && b < 128) ||
    (a === 169 && b === 254) ||
    (a === 172 && b >= 16 && b < 32) ||
    (a === 192 && b === 168) ||
    (a === 192 && b === 0 && c === 0) ||
    (a === 198 && (b === 18 || b === 19));
  return behindNat ? 'private' : 'public';
}

function reachOfV6(ip: Uint8Array): Reach {
  const [a = 0, b = 0] = ip;
  if (ip.subarray(0, 12).every((byte) => byte === 0) || a === 0xff) return 'unusable';
  return (a & 0xfe) === 0xfc || (a === 0xfe && (b & 0xc0) === 0x80) ? 'private' : 'public';
}

function parseV4(text: string): number[] | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part))) return undefined;
  const bytes = parts.map(Number);
  return bytes.every((byte) => byte < 256) ? bytes : undefined;
}

/** Only the end of an address may be dotted. */
function parseGroups(text: string, atEnd: boolean): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const groups = text.split(':');
  for (const [i, group] of groups.entries()) {
    const v4 = atEnd && i === groups.length - 1 && group.includes('.') ? parseV4(group) : undefined;
    if (v4) bytes.push(...v4);
    else if (/^[0-9a-f]{1,4}$/i.test(group))
      bytes.push(Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255);
    else return undefined;
  }
  return bytes.length <= 16 ? bytes : undefined;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let length = 0;
    while (groups[start + length] === 0) length++;
    if (length > best.length) best = { start, length };
  }
  return best;
}
