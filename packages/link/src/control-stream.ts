import type { QuicStream } from '@ztna/quic';
import {
  type ControlMessage,
  type DecodeError,
  decodeControlMessage,
  encodeControlMessage,
  encodeFrame,
  Framer,
  LIMITS,
} from '@ztna/wire';

/** Bytes that may wait for a peer that does not read, beyond what the transport buffers. */
const MAX_QUEUED_BYTES = 1024 * 1024;
/** From the first byte of a message to its last, in ms. */
const MESSAGE_TIMEOUT_MS = 10_000;

export interface ControlStreamEvents {
  onMessage(message: ControlMessage): void;
  /** `fatal`: the stream cannot be understood any more and is not read further. */
  onMalformed(reason: string, fatal: boolean): void;
  /** The peer finished or reset the stream, or the connection is gone. Last call, once; none after `finish`. */
  onEnd(reason: string): void;
}

/**
 * The control stream of an outer connection: length-delimited ControlMessages in both directions, in order, with
 * bounded memory. Whoever connects opens it. Who may say what, and when, is decided by the session cores.
 */
export class ControlStream {
  readonly #stream: QuicStream;
  readonly #events: ControlStreamEvents;
  readonly #framer = new Framer(LIMITS.controlMessage);
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #writing: Promise<void> | undefined;
  #closed = false;
  /** `finish` was called: nothing that still comes is of interest, however much it is. */
  #deaf = false;
  #deadline: NodeJS.Timeout | undefined;

  /** Starts to read at once. */
  constructor(stream: QuicStream, events: ControlStreamEvents) {
    this.#stream = stream;
    this.#events = events;
    void this.#read();
  }

  /** Queues a message. False when the peer takes nothing: end the connection. */
  send(message: ControlMessage): boolean {
    if (this.#closed) return true;
    const frame = encodeFrame(encodeControlMessage(message));
    if (this.#queuedBytes + frame.length > MAX_QUEUED_BYTES) return false;
    this.#queue.push(frame);
    this.#queuedBytes += frame.length;
    this.#pump();
    return true;
  }

  /** Finishes the stream behind what is queued; resolves when the transport has it all or cannot take it. */
  async finish(): Promise<void> {
    this.#deaf = true;
    if (this.#closed) return;
    while (this.#writing) await this.#writing;
    this.#closed = true;
    await this.#stream.finish().catch(() => undefined);
  }

  #pump(): void {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
      if (this.#queue.length > 0) this.#pump();
    });
  }

  async #write(): Promise<void> {
    try {
      for (let frame = this.#queue.shift(); frame; frame = this.#queue.shift()) {
        await this.#stream.write(frame);
        this.#queuedBytes -= frame.length;
      }
    } catch {
      this.#queue.length = 0; // the reading side tells why
      this.#queuedBytes = 0;
    }
  }

  async #read(): Promise<void> {
    const reason = await this.#readAll().catch((error: Error) => error.message);
    this.#unwatch();
    if (!this.#deaf) this.#events.onEnd(reason);
  }

  async #readAll(): Promise<string> {
    for (;;) {
      const chunk = await this.#stream.read();
      if (chunk === null) break;
      if (this.#deaf) continue;
      this.#framer.push(chunk);
      if (!this.#deliver()) return 'the control stream cannot be understood';
      this.#watch();
    }
    const end = this.#framer.finish();
    if (!end.ok && !this.#deaf) this.#malformed(end.error);
    return 'the peer ended the control stream';
  }

  /** Hands over every whole message; false when the rest cannot be understood. */
  #deliver(): boolean {
    while (!this.#deaf) {
      const frame = this.#framer.next();
      if (!frame.ok) return this.#malformed(frame.error);
      if (frame.value === undefined) return true;
      this.#unwatch();
      const message = decodeControlMessage(frame.value);
      if (!message.ok) return this.#malformed(message.error);
      if (message.value.type === 'unknown') {
        this.#events.onMalformed(`unknown message ${message.value.numbers.slice(0, 4).join(', ')}`, false);
      } else {
        this.#events.onMessage(message.value);
      }
    }
    return true;
  }

  #malformed({ kind, field, detail }: DecodeError): false {
    this.#events.onMalformed(`${field}: ${detail} (${kind})`, true);
    return false;
  }

  /** A message that has begun must be whole in time, however many pieces come of it. */
  #watch(): void {
    if (this.#framer.buffered === 0 || this.#deadline) return;
    const late = () => {
      if (!this.#deaf) this.#events.onMalformed('a message did not come whole in time', true);
    };
    this.#deadline = setTimeout(late, MESSAGE_TIMEOUT_MS).unref();
  }

  #unwatch(): void {
    clearTimeout(this.#deadline);
    this.#deadline = undefined;
  }
}
