import type {
  NativeConnectionStats,
  NativeCount,
  NativeEvent,
  NativeForwardStats,
  NativePath,
  NativeTransport,
} from './native.ts';
import type {
  ConnectionStats,
  ForwardStats,
  PathCloseReason,
  PathEvent,
  PathInfo,
  PathStatus,
  TransportOptions,
} from './types.ts';

export function statusOf(backup: boolean): PathStatus {
  return backup ? 'backup' : 'available';
}

export function pathInfo(p: NativePath): PathInfo {
  const { isVirtual, backup, ...rest } = p;
  return { ...rest, kind: isVirtual ? 'virtual' : 'direct', status: statusOf(backup) };
}

export function pathEvent(e: Extract<NativeEvent, { type: 'path' }>): PathEvent {
  const { path, isVirtual, remote, local, change, backup, reason } = e;
  const facts = { path, virtual: isVirtual, remote, ...(local !== undefined && { local }) };
  switch (change) {
    case 'opened':
    case 'status':
      return { ...facts, type: change, backup: backup === true };
    case 'closed':
      return { ...facts, type: 'closed', reason: reason as PathCloseReason };
    default:
      return { ...facts, type: change as 'dead' | 'alive' | 'moved' };
  }
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
