import { instant, type PathStatus } from '@ztna/link';
import type { PathInfo } from '@ztna/quic';
import type { PathVerdict } from '@ztna/session';

/** What there is to say of a session's path as long as there is but one kind: it is relayed, always. */
export function relayedStatus(since: number, path: PathInfo | undefined): PathStatus {
  return asStatus({
    ...{ path: 'relayed', since, reason: 'direct-not-built' },
    ...(path && {
      rttMs: Math.round(path.rttMs * 100) / 100,
      loss: path.sentPackets === 0 ? 0 : path.lostPackets / path.sentPackets,
      mtu: path.mtu,
    }),
  });
}

function asStatus({ since, ...verdict }: PathVerdict): PathStatus {
  return { ...verdict, since: instant(since) };
}
