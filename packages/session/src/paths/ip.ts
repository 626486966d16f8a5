/** An address as bytes. IPv4 inside IPv6 (`::ffff:a.b.c.d`) is IPv4: one address has one form. */
export interface Ip {
  readonly family: 4 | 6;
  readonly bytes: readonly number[];
}

export interface SocketAddress {
  readonly ip: Ip;
  /** From 1. */
  readonly port: number;
}

/** All addresses that begin with the first `bits` bits of `ip`. */
export interface Range {
  readonly ip: Ip;
  readonly bits: number;
}

/** Reads `192.0.2.1` or `2001:db8::1`; no zone, no brackets, no leading zeros in IPv4. */
export function parseIp(text: string): Ip | undefined {
  if (text.length > 45) return undefined;
  if (!text.includes(':')) return ipv4(text);
  const bytes = ipv6Bytes(text);
  if (!bytes) return undefined;
  const mapped = bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  return mapped ? { family: 4, bytes: bytes.slice(12) } : { family: 6, bytes };
}

/** The one spelling of an address (RFC 5952). */
export function formatIp({ family, bytes }: Ip): string {
  if (family === 4) return bytes.join('.');
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i] ?? 0) * 256 + (bytes[2 * i + 1] ?? 0));
  const { start, length } = longestZeros(groups);
  const hex = (part: readonly number[]) => part.map((group) => group.toString(16)).join(':');
  if (length < 2) return hex(groups);
  return `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** Reads `192.0.2.1:4433` or `[2001:db8::1]:4433`. */
export function parseSocketAddress(text: string): SocketAddress | undefined {
  const match = /^(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15})):([1-9][0-9]{0,4})$/.exec(text);
  const ip = match && parseIp(match[1] ?? match[2] ?? '');
  const port = Number(match?.[3]);
  return ip && port <= 0xffff ? { ip, port } : undefined;
}

export function formatSocketAddress({ ip, port }: SocketAddress): string {
  return ip.family === 4 ? `${formatIp(ip)}:${port}` : `[${formatIp(ip)}]:${port}`;
}

/** Reads `10.0.0.0/8`; throws TypeError, for ranges come from code and checked configuration. */
export function parseRange(text: string): Range {
  const [address = '', length = ''] = text.split('/');
  const ip = parseIp(address);
  const bits = Number(length);
  if (!ip || !/^\d{1,3}$/.test(length) || bits > ip.bytes.length * 8)
    throw new TypeError(`not a range: ${text}`);
  return { ip, bits };
}

export function isInRange(ip: Ip, range: Range): boolean {
  if (ip.family !== range.ip.family) return false;
  return ip.bytes.every((byte, i) => {
    const bits = Math.min(8, Math.max(0, range.bits - 8 * i));
    return byte >> (8 - bits) === (range.ip.bytes[i] ?? 0) >> (8 - bits);
  });
}

export function sameIp(a: Ip, b: Ip): boolean {
  return a.family === b.family && a.bytes.every((byte, i) => byte === b.bytes[i]);
}

/** True for the address of an IPv4 subnet with all host bits set. */
export function isBroadcastOf(ip: Ip, subnet: Range): boolean {
  if (ip.family !== 4 || subnet.bits > 30 || !isInRange(ip, subnet)) return false;
  return ip.bytes.every((byte, i) => {
    const host = 0xff >> Math.min(8, Math.max(0, subnet.bits - 8 * i));
    return (byte & host) === host;
  });
}

function ipv4(text: string): Ip | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  const parts = match?.slice(1) ?? [];
  const bytes = parts.map(Number);
  const isPlain = parts.every((part, i) => String(bytes[i]) === part && (bytes[i] ?? 256) < 256);
  return match && isPlain ? { family: 4, bytes } : undefined;
}

function ipv6Bytes(text: string): number[] | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map(groupsOf);
  if (!head || (halves.length === 2 && !tail)) return undefined;
  if (halves.length === 1) return head.length === 16 ? head : undefined;
  const missing = 16 - head.length - (tail?.length ?? 0);
  return missing >= 2 ? [...head, ...Array<number>(missing).fill(0), ...(tail ?? [])] : undefined;
}

/** The bytes of `a:b:c` or `a:b:1.2.3.4`; of nothing, none. */
function groupsOf(text: string): number[] | undefined {
  if (text === '') return [];
  const bytes: number[] = [];
  const parts = text.split(':');
  for (const [i, part] of parts.entries()) {
    if (part.includes('.')) {
      const last = i === parts.length - 1 ? ipv4(part) : undefined;
      if (!last) return undefined;
      bytes.push(...last.bytes);
    } else {
      if (!/^[0-9A-Fa-f]{1,4}$/.test(part)) return undefined;
      const group = Number.parseInt(part, 16);
      bytes.push(group >> 8, group & 0xff);
    }
  }
  return bytes;
}

function longestZeros(groups: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 };
  for (let start = 0; start < groups.length; start++) {
    let end = start;
    while (groups[end] === 0) end++;
    if (end - start > best.length) best = { start, length: end - start };
  }
  return best;
}
