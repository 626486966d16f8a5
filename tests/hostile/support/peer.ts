import { readFileSync } from 'node:fs';
import { innerServerTransport, outerClientTransport } from '@ztna/link';
import { type CloseInfo, type Connection, Endpoint, type QuicStream } from '@ztna/quic';
import {
  ALPN,
  type ControlMessage,
  decodeControlMessage,
  encodeControlMessage,
  encodeFrame,
  Framer,
  LIMITS,
  type Revision,
  type TenantName,
} from '@ztna/wire';
import type { TestIdentity } from '../../e2e/support/pki.ts';

const TRANSPORT = { idleTimeoutMs: 30_000, keepAliveMs: 10_000, initialMtu: 1200, maxMtu: 1452 };

type Of<T extends ControlMessage['type']> = Extract<ControlMessage, { type: T }>;

/** PEM chain and key for a QUIC endpoint; without them no certificate is presented. */
export interface Credentials {
  readonly certChain: string;
  readonly privateKey: string;
}

export function credentialsOf({ files }: TestIdentity): Credentials {
  const { certificateFile, privateKeyFile } = files.identity;
  return {
    certChain: readFileSync(certificateFile, 'utf8'),
    privateKey: readFileSync(privateKeyFile, 'utf8'),
  };
}

/** An endpoint that presents these credentials, and believes the roots in `bundleFile`. */
export function endpointOf(
  credentials: Credentials | undefined,
  bundleFile: string,
  listen = '127.0.0.1:0',
): Endpoint {
  const trust = { roots: readFileSync(bundleFile, 'utf8') };
  const innerServer = { alpn: [ALPN.SESSION], transport: innerServerTransport(TRANSPORT) };
  const identity = credentials && { identity: credentials, innerServer };
  return Endpoint.bind({ listen, trust, ...identity });
}

/** How a connection attempt ended; waits until it does. The client may think it is connected for a moment. */
export async function fateOf(endpoint: Endpoint, remote: string): Promise<CloseInfo | string> {
  const connecting = endpoint.connect({ remote, alpn: [ALPN.CONTROL], serverName: 'relay.invalid' });
  const connection = await connecting.catch((error: Error) => error.message);
  if (typeof connection === 'string') return connection;
  connection.accept();
  return connection.closed;
}

/** An enrolled peer at an intermediate that says whatever it is told to. */
export class HostilePeer implements AsyncDisposable {
  readonly endpoint: Endpoint;
  readonly connection: Connection;
  readonly control: QuicStream;
  /** Everything that came on the control stream. */
  readonly heard: ControlMessage[] = [];
  /** Called for each message as it comes. */
  onMessage: (message: ControlMessage) => void = () => {};

  private constructor(endpoint: Endpoint, connection: Connection, control: QuicStream) {
    this.endpoint = endpoint;
    this.connection = connection;
    this.control = control;
    void this.#read();
  }

  /** Connects and opens the control stream; says nothing yet. */
  static connect(identity: TestIdentity, remote: string): Promise<HostilePeer> {
    return HostilePeer.over(endpointOf(credentialsOf(identity), identity.files.trust.bundleFile), remote);
  }

  /** As `connect`, with an endpoint of the caller's. */
  static async over(endpoint: Endpoint, remote: string): Promise<HostilePeer> {
    const transport = outerClientTransport(TRANSPORT);
    const connection = await endpoint.connect({ remote, alpn: [ALPN.CONTROL], transport });
    connection.accept();
    return new HostilePeer(endpoint, connection, await connection.openBi());
  }

  /** Connects and is greeted. */
  static async greeted(identity: TestIdentity, remote: string): Promise<HostilePeer> {
    const peer = await HostilePeer.connect(identity, remote);
    peer.hello();
    await peer.next('hello');
    return peer;
  }

  hello(changes: Partial<Of<'hello'>> = {}): void {
    this.send({
      ...{ type: 'hello', versions: [2], features: [], tenant: 'default' as TenantName, timeMs: Date.now() },
      ...{ instance: 7n, software: 'hostile', revision: 1 as Revision },
      ...changes,
    });
  }

  send(message: ControlMessage): void {
    this.raw(encodeFrame(encodeControlMessage(message)));
  }

  raw(bytes: Uint8Array): void {
    this.control.write(bytes).catch(() => {}); // cut off: what the tests wait for
  }

  /** The next message of a type that was not taken yet. */
  async next<T extends ControlMessage['type']>(type: T): Promise<Of<T>> {
    for (;;) {
      const at = this.heard.findIndex((message) => message.type === type);
      if (at >= 0) return this.heard.splice(at, 1)[0] as Of<T>;
      const ended = this.connection.closed.then((info) => {
        throw new Error(`no ${type}: ${JSON.stringify(info)}`);
      });
      const more = new Promise<void>((resolve) => {
        const before = this.onMessage;
        this.onMessage = (message) => {
          this.onMessage = before;
          before(message);
          resolve();
        };
      });
      await Promise.race([more, ended]);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.endpoint.close();
  }

  async #read(): Promise<void> {
    const framer = new Framer(LIMITS.controlMessage);
    try {
      for (let chunk = await this.control.read(); chunk; chunk = await this.control.read()) {
        framer.push(chunk);
        for (let frame = framer.next(); frame.ok && frame.value; frame = framer.next()) {
          const message = decodeControlMessage(frame.value);
          if (!message.ok || message.value.type === 'unknown') continue;
          this.heard.push(message.value);
          this.onMessage(message.value);
        }
      }
    } catch {
      // the connection ended
    }
  }
}
