import { concat } from './bytes.ts';
import { fail, ok, type Result } from './result.ts';
import { decodeVarint, encodeVarint } from './varint.ts';

/** A message behind its length. */
export function encodeFrame(message: Uint8Array): Uint8Array {
  return concat(encodeVarint(message.length), message);
}

/**
 * Cuts a stream into length-delimited messages, whatever the chunks. Pull, not push, so that the bytes after a
 * header (FlowOpen, then TCP bytes) are never taken for a message:
 *
 *     framer.push(chunk);
 *     const header = framer.next();      // undefined: not whole yet
 *     const first = framer.takeRest();   // what came after it
 *
 * Holds at most one message of `limit` bytes plus what was pushed since `next()` last gave undefined.
 * After an error every further `next()` gives the same error: the stream cannot be understood any more.
 */
export class Framer {
  readonly #limit: number;
  #buffer = new Uint8Array(0);
  #start = 0;
  #end = 0;
  #failed: ReturnType<typeof fail> | undefined;

  /** `limit`: largest message in bytes, without its length. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  push(chunk: Uint8Array): void {
    if (this.#failed !== undefined) return;
    if (this.#end + chunk.length > this.#buffer.length) this.#makeRoom(chunk.length);
    this.#buffer.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** The next whole message, in memory of its own; undefined when more bytes are needed. */
  next(): Result<Uint8Array | undefined> {
    if (this.#failed !== undefined) return this.#failed;
    const length = decodeVarint(this.#buffer.subarray(this.#start, this.#end), 0, 'message length');
    if (!length.ok) {
      if (length.error.kind === 'truncated') return ok(undefined);
      return this.#refuse(fail(length.error.kind, length.error.field, length.error.detail));
    }
    const { value, size } = length.value;
    if (value > this.#limit) {
      return this.#refuse(fail('too-large', 'message length', `${value} bytes, the limit is ${this.#limit}`));
    }
    if (this.#end - this.#start < size + value) return ok(undefined);
    const message = this.#buffer.slice(this.#start + size, this.#start + size + value);
    this.#start += size + value;
    if (this.#start === this.#end) this.#clear();
    return ok(message);
  }

  /** Takes out the bytes that no `next()` has given. */
  takeRest(): Uint8Array {
    const rest = this.#buffer.slice(this.#start, this.#end);
    this.#clear();
    return rest;
  }

  /** At the end of the stream: `truncated` when it ended inside a message. */
  finish(): Result<undefined> {
    if (this.#failed !== undefined) return this.#failed;
    if (this.#start === this.#end) return ok(undefined);
    return fail('truncated', 'message', `the stream ended ${this.#end - this.#start} bytes into a message`);
  }

  /** Bytes held. */
  get buffered(): number {
    return this.#end - this.#start;
  }

  #makeRoom(more: number): void {
    const held = this.#end - this.#start;
    const grown = new Uint8Array(Math.max(held + more, Math.min(2 * held, this.#limit + 8)));
    grown.set(this.#buffer.subarray(this.#start, this.#end));
    this.#buffer = grown;
    this.#start = 0;
    this.#end = held;
  }

  #clear(): void {
    this.#buffer = new Uint8Array(0);
    this.#start = 0;
    this.#end = 0;
  }

  #refuse(error: ReturnType<typeof fail>): ReturnType<typeof fail> {
    this.#failed = error;
    this.#clear();
    return error;
  }
}
