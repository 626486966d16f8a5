import type {
  NativeConnectionStats,
  NativeCount,
  NativeForwardStats,
  NativePath,
  NativeTransport,
} from './native.ts';
import type { ConnectionStats, ForwardStats, PathInfo, PathStatus, TransportOptions } from './types.ts';

export function statusOf(backup: boolean): PathStatus {
  return backup ? 'backup' : 'available';
}

export function pathInfo(p: NativePath): PathInfo {
  const { isVirtual, backup, ...rest } = p;
  return { ...rest, kind: isVirtual ? 'virtual' : 'direct', status: statusOf(backup) };
}

export function counts(list: readonly NativeCount[]): Record<string, number> {
  return Object.fromEntries(list.map((c) => [c.name, c.count]));
}

export function forwardStats(s: NativeForwardStats): ForwardStats {
  return { ...s, dropped: counts(s.dropped) };
}

export function connectionStats(s: NativeConnectionStats): ConnectionStats {
  return {
    paths: s.paths.map(pathInfo),
    datagrams: { sent: s.datagramsSent, received: s.datagramsReceived, dropped: counts(s.dropped) },
  };
}

export function transport(options: TransportOptions | undefined): NativeTransport {
  return { ...options };
}
