import type { Logger } from '@ztna/runtime';
import type { ControlMessage, SpiffeId } from '@ztna/wire';

/** Tells of sessions that begin by what the core sends: open once the agent has its offer. */
export class SessionLog {
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  onSend(to: SpiffeId | undefined, message: ControlMessage): void {
    if (message.type !== 'sessionOffer' || message.requestId === 0) return;
    const { sessionUid: session, peer: connector, attach } = message;
    const event = attach ? 'session.attached' : 'session.opened';
    this.#log.info(
      { event, session, agent: to, connector },
      attach ? 'session taken up again over this intermediate' : 'session opened',
    );
  }
}
