import type { Logger } from '@ztna/runtime';
import type { ControlMessage, SessionUid, SpiffeId } from '@ztna/wire';

/** Tells of sessions by what the core sends: open once the agent has its offer, over when a side is told so. */
export class SessionLog {
  readonly #log: Logger;
  /** Both sides are told of an end one after the other: one line. */
  #lastClosed: SessionUid | undefined;

  constructor(log: Logger) {
    this.#log = log;
  }

  onSend(to: SpiffeId | undefined, message: ControlMessage): void {
    if (message.type === 'sessionOffer' && message.requestId !== 0) {
      const { sessionUid: session, peer: connector, attach } = message;
      const event = attach ? 'session.attached' : 'session.opened';
      this.#log.info(
        { event, session, agent: to, connector },
        attach ? 'session taken up again over this intermediate' : 'session opened',
      );
    }
    if (message.type !== 'closeSession' || message.sessionUid === this.#lastClosed) return;
    this.#lastClosed = message.sessionUid;
    const { sessionUid: session, reason } = message;
    this.#log.info({ event: 'session.closed', session, reason: reason?.code }, 'session closed');
  }
}
