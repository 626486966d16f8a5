import type { PeerRefusal } from '@ztna/identity';
import type { CloseInfo } from '@ztna/quic';
import { type WireError, type WireErrorCode, wireError, wireErrorCode, wireErrorNumber } from '@ztna/wire';

/** Longest reason phrase of CONNECTION_CLOSE that is sent, in characters. */
const MAX_REASON = 200;

/** What connections and streams have in common here. */
interface Closable {
  close(code: number, reason: string): void;
}

/** Closes so that the other side can say why. */
export function closeWith(connection: Closable, error: Pick<WireError, 'code' | 'message'>): void {
  connection.close(numberOf(error), error.message.slice(0, MAX_REASON));
}

/** Closes a connection whose certificate is not acceptable. The reason names the kind of refusal, no detail. */
export function closeRefused(connection: Closable, refusal: PeerRefusal): void {
  closeWith(connection, refusedError(refusal));
}

/** What a peer is told of its certificate. */
export function refusedError(refusal: PeerRefusal): WireError {
  return wireError(refusedCode(refusal), `certificate refused: ${refusal.code}`);
}

/** The number of an error as the code of a close or reset. */
export function numberOf({ code }: Pick<WireError, 'code'>): number {
  return wireErrorNumber(code === 'unrecognised' ? 'internal' : code);
}

/** Why a connection ended, in words: `peer: not-authorized: certificate refused: wrong-role`. */
export function closeReason({ kind, code, reason }: CloseInfo): string {
  const isApplication = kind === 'peer' || kind === 'local';
  const name = isApplication && code ? (wireErrorCode(code) ?? `code ${code}`) : undefined;
  return [kind, name, reason].filter(Boolean).join(': ');
}

/** The error with which the peer closed; undefined when it ended in another way. */
export function peerCode(info: CloseInfo): WireErrorCode | undefined {
  return info.kind === 'peer' ? closeCode(info) : undefined;
}

/** The error with which either side closed; undefined when none did, or without a word. */
export function closeCode({ kind, code }: CloseInfo): WireErrorCode | undefined {
  const isApplication = kind === 'peer' || kind === 'local';
  return isApplication && code ? wireErrorCode(code) : undefined;
}

/** The code of what it is told. */
export function refusedCode({ code }: PeerRefusal): WireErrorCode {
  if (code === 'revoked') return 'revoked';
  return code === 'foreign-tenant' ? 'wrong-tenant' : 'not-authorized';
}
