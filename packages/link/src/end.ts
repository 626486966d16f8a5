import type { Connection } from '@ztna/quic';
import type { WireError } from '@ztna/wire';
import { closeWith } from './close.ts';
import type { ControlStream } from './control-stream.ts';

/** Time for the peer to take the last message and close, in ms. */
const LINGER_MS = 250;

/**
 * Ends an outer connection: says why on the control stream (Goodbye for `going-away`, else Error), finishes it, lets
 * the peer close in answer, and closes after a moment if it does not. Closing at once would drop what is under way.
 */
export async function endOrderly(
  connection: Connection,
  control: ControlStream,
  error: WireError,
): Promise<void> {
  const isGoodbye = error.code === 'going-away';
  control.send(isGoodbye ? { type: 'goodbye', reason: error.message } : { type: 'error', error });
  const late = Promise.withResolvers<void>();
  const timer = setTimeout(late.resolve, LINGER_MS);
  void control.finish();
  await Promise.race([connection.closed, late.promise]);
  clearTimeout(timer);
  closeWith(connection, error);
  await connection.closed;
}
