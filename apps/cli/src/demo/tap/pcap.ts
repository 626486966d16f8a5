import type { Captured, Endpoint } from './udp-tap.ts';

const headerBytes = 20 + 8;

/**
 * A capture file that tcpdump and Wireshark read: classic pcap, link type RAW (101). The IPv4 and UDP headers are
 * made from what the tap knows; checksums are zero.
 */
export function pcap(datagrams: readonly Captured[]): Buffer {
  const file = Buffer.alloc(24);
  file.writeUInt32LE(0xa1b2c3d4, 0);
  file.writeUInt16LE(2, 4);
  file.writeUInt16LE(4, 6);
  file.writeUInt32LE(65_535, 16);
  file.writeUInt32LE(101, 20);
  return Buffer.concat([file, ...datagrams.flatMap(record)]);
}

function record({ atMs, from, to, payload }: Captured): Uint8Array[] {
  const length = headerBytes + payload.length;
  const head = Buffer.alloc(16 + headerBytes);
  head.writeUInt32LE(Math.floor(atMs / 1000), 0);
  head.writeUInt32LE((atMs % 1000) * 1000, 4);
  head.writeUInt32LE(length, 8);
  head.writeUInt32LE(length, 12);
  const ip = head.subarray(16);
  ip.writeUInt8(0x45, 0);
  ip.writeUInt16BE(length, 2);
  ip.writeUInt8(64, 8);
  ip.writeUInt8(17, 9);
  ip.set(octets(from), 12);
  ip.set(octets(to), 16);
  const udp = ip.subarray(20);
  udp.writeUInt16BE(from.port, 0);
  udp.writeUInt16BE(to.port, 2);
  udp.writeUInt16BE(8 + payload.length, 4);
  return [head, payload];
}

function octets({ host }: Endpoint): number[] {
  return host.split('.').map(Number);
}
