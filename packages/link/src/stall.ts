import type { Connection } from '@ztna/quic';

/** Time for the answer to a ping before a silence is believed, in ms. */
const CONFIRM_MS = 300;

export interface StallEvents {
  onStalled(): void;
  /** Only after `onStalled`. */
  onRecovered(): void;
}

/**
 * Tells when a peer has fallen silent. The engine's `stalled` is a suspicion: it also comes when all that we sent were
 * acknowledgements, which nobody answers. So the peer is pinged, and the silence is believed when it goes on.
 */
export function watchStall(
  connection: Pick<Connection, 'onEvent' | 'ping' | 'closed'>,
  events: StallEvents,
): void {
  let timer: NodeJS.Timeout | undefined;
  let told = false;
  connection.onEvent = ({ type }) => {
    if (type === 'stalled') {
      connection.ping();
      clearTimeout(timer);
      timer = setTimeout(() => {
        told = true;
        events.onStalled();
      }, CONFIRM_MS);
    } else if (type === 'recovered') {
      clearTimeout(timer);
      if (told) events.onRecovered();
      told = false;
    }
  };
  void connection.closed.then(() => clearTimeout(timer));
}
