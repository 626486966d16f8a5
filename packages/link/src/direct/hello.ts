import type { Connection, RecvStream, SendStream } from '@ztna/quic';
import {
  decodePathHello,
  encodeFrame,
  encodePathHello,
  Framer,
  LIMITS,
  type PathHello,
  wireErrorNumber,
} from '@ztna/wire';

const MINUTE_MS = 60_000;

export interface PathHellosOptions {
  readonly onHello: (hello: PathHello) => void;
  /** The peer's stream is not read any further; stable causes for a counter. */
  readonly onRefused: (cause: 'malformed' | 'too-many' | 'second-stream') => void;
}

/** PathHello both ways, each on a unidirectional stream of its side (docs/protocol.md). */
export class PathHellos {
  readonly #connection: Connection;
  readonly #options: PathHellosOptions;
  #stream: SendStream | undefined;
  #isReading = false;

  constructor(connection: Connection, options: PathHellosOptions) {
    this.#connection = connection;
    this.#options = options;
    connection.onUniStream = (stream) => void this.#read(stream);
  }

  send(hello: PathHello): void {
    if (this.#connection.isClosed) return;
    this.#stream ??= this.#connection.openUni();
    // A peer that does not read it, or a connection that ends: nothing depends on it.
    this.#stream.write(encodeFrame(encodePathHello(hello))).catch(() => undefined);
  }

  async #read(stream: RecvStream): Promise<void> {
    const cause = this.#isReading ? 'second-stream' : await this.#readAll(stream);
    if (cause === undefined) return;
    this.#options.onRefused(cause);
    stream.stop(wireErrorNumber('protocol'));
  }

  async #readAll(stream: RecvStream): Promise<'malformed' | 'too-many' | undefined> {
    this.#isReading = true;
    const framer = new Framer(LIMITS.pathHello);
    const times: number[] = [];
    try {
      for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) {
        framer.push(chunk);
        for (;;) {
          const frame = framer.next();
          if (!frame.ok) return 'malformed';
          if (frame.value === undefined) break;
          if (isOverRate(times, performance.now())) return 'too-many';
          const hello = decodePathHello(frame.value);
          if (!hello.ok) return 'malformed';
          this.#options.onHello(hello.value);
        }
      }
    } catch {
      // Reset, or the connection ended.
    }
    return undefined;
  }
}

function isOverRate(times: number[], now: number): boolean {
  while (times[0] !== undefined && times[0] <= now - MINUTE_MS) times.shift();
  times.push(now);
  return times.length > LIMITS.pathHellosPerMinute;
}
