/** Stable codes of everything that can go wrong in this package. */
export type QuicErrorCode =
  | 'ERR_BIND'
  | 'ERR_TLS_CONFIG'
  | 'ERR_CLOSED'
  | 'ERR_CONNECT'
  | 'ERR_TIMEOUT'
  | 'ERR_STREAM_RESET'
  | 'ERR_STREAM_STOPPED'
  | 'ERR_INVALID_ARG'
  | 'ERR_TCP_REFUSED'
  | 'ERR_TCP_UNREACHABLE'
  | 'ERR_TCP_TIMEOUT'
  | 'ERR_TCP_RESET'
  | 'ERR_INTERNAL';

/** An error of the transport. `quicCode` is the code that the peer sent, where there is one. */
export class QuicError extends Error {
  override readonly name = 'QuicError';
  readonly code: QuicErrorCode;
  readonly quicCode: number | undefined;

  constructor(code: QuicErrorCode, message: string, options?: { cause?: unknown; quicCode?: number }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.quicCode = options?.quicCode;
  }
}

const NATIVE = /^(ERR_[A-Z_]+): (.*)$/s;

/** Errors of the addon are texts of the form "CODE: message". */
export function fromNative(error: unknown): QuicError {
  const text = error instanceof Error ? error.message : String(error);
  const match = NATIVE.exec(text);
  const code = (match?.[1] ?? 'ERR_INTERNAL') as QuicErrorCode;
  // A text that was understood is repeated whole: as a cause it would say the same again.
  return new QuicError(code, match?.[2] ?? text, match ? undefined : { cause: error });
}

const TCP_CODES: Record<string, QuicErrorCode> = {
  refused: 'ERR_TCP_REFUSED',
  unreachable: 'ERR_TCP_UNREACHABLE',
  timeout: 'ERR_TCP_TIMEOUT',
  reset: 'ERR_TCP_RESET',
  closed: 'ERR_CLOSED',
};

/** A TCP failure by the addon's name for it. */
export function tcpError(name: string, what: string): QuicError {
  return new QuicError(TCP_CODES[name] ?? 'ERR_INTERNAL', `${what}: ${name}`);
}

/** How a stream was cut: a code of the peer, or -1 because stream or connection are closed. */
export function cutError(cut: number, doing: 'reading' | 'writing'): QuicError {
  if (cut < 0) return new QuicError('ERR_CLOSED', `${doing}: the stream or its connection is closed`);
  const code = doing === 'reading' ? 'ERR_STREAM_RESET' : 'ERR_STREAM_STOPPED';
  const what = doing === 'reading' ? 'the peer reset the stream' : 'the peer wants no more of the stream';
  return new QuicError(code, `${what} (code ${cut})`, { quicCode: cut });
}
