import { createHmac, randomBytes } from 'node:crypto';

const salt = randomBytes(32);

/**
 * The server name under which session tickets of a peer are kept: another one for every peer, so that a ticket is
 * never offered to somebody else, and another one in every process, so that it tells an observer nothing.
 */
export function ticketName(peerId: string): string {
  return `${createHmac('sha256', salt).update(peerId).digest('hex').slice(0, 32)}.ztna.invalid`;
}
