import { QuicError, type QuicStream } from '@ztna/quic';
import { type DecodeError, Framer, fail, ok, type Result } from '@ztna/wire';

/** How the first message of a stream did not come. `resetCode` is the peer's when it reset the stream. */
export type ReadFailure =
  | DecodeError
  | { readonly kind: 'timeout' | 'closed'; readonly detail: string; readonly resetCode?: number | undefined };

/**
 * Reads one length-delimited message of at most `limit` bytes from the start of a stream (FlowOpen, FlowResult).
 * Bytes behind it are put back, so that a splice takes them. After a failure the stream is of no use: reset it.
 */
export async function readFrame(
  stream: QuicStream,
  limit: number,
  timeoutMs: number,
): Promise<Result<Uint8Array, ReadFailure>> {
  const late = Promise.withResolvers<'late'>();
  const timer = setTimeout(() => late.resolve('late'), timeoutMs);
  const framer = new Framer(limit);
  try {
    for (;;) {
      if (stream.connection.isClosed) return refuse('closed', 'the connection is closed');
      const chunk = await Promise.race([stream.read(), late.promise]);
      if (chunk === 'late') return refuse('timeout', `no whole message within ${timeoutMs} ms`);
      if (chunk === null) return fail('truncated', 'message', 'the stream ended before its first message');
      framer.push(chunk);
      const frame = framer.next();
      if (!frame.ok) return frame;
      if (frame.value === undefined) continue;
      stream.unread(framer.takeRest());
      return ok(frame.value);
    }
  } catch (error) {
    const resetCode = error instanceof QuicError ? error.quicCode : undefined;
    return refuse('closed', error instanceof Error ? error.message : String(error), resetCode);
  } finally {
    clearTimeout(timer);
  }
}

function refuse(kind: 'timeout' | 'closed', detail: string, resetCode?: number) {
  return { ok: false, error: { kind, detail, resetCode } } as const;
}
