import type { PeerIdentity, PeerRefusal } from '@ztna/identity';
import type { Connection, Endpoint, TransportOptions } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { ConnectionKey, LinkInput, LinkOutput } from '@ztna/session';
import {
  ALPN,
  type IntermediateEntry,
  type Result,
  type WireError,
  type WireErrorCode,
  wireError,
} from '@ztna/wire';
import { closeReason, closeRefused, closeWith, peerCode } from './close.ts';
import { connectAny } from './connect-any.ts';
import { ControlStream } from './control-stream.ts';
import { endOrderly } from './end.ts';
import { type Resolver, resolveAll, systemResolver } from './resolve.ts';
import { ticketName } from './server-name.ts';

export interface OuterLinksOptions {
  readonly endpoint: Endpoint;
  readonly transport: TransportOptions;
  /** Decides who an intermediate is from the chain that it presented. */
  readonly verify: (chain: readonly Uint8Array[]) => Result<PeerIdentity, PeerRefusal>;
  /** Takes what happens to the core. */
  readonly input: (input: LinkInput) => void;
  readonly log: Logger;
  readonly resolver?: Resolver;
}

interface Link {
  readonly key: ConnectionKey;
  readonly abort: AbortController;
  connection: Connection | undefined;
  control: ControlStream | undefined;
  lost: boolean;
}

/** Carries out what the core of an agent or connector wants of its outer connections, and tells it what happens. */
export class OuterLinks {
  readonly #options: OuterLinksOptions;
  readonly #links = new Map<ConnectionKey, Link>();
  readonly #ending = new Set<Promise<void>>();

  constructor(options: OuterLinksOptions) {
    this.#options = options;
  }

  carryOut(output: LinkOutput) {
    switch (output.type) {
      case 'connect': {
        const { connection: key, to } = output;
        const abort = new AbortController();
        const link: Link = { key, abort, connection: undefined, control: undefined, lost: false };
        this.#links.set(key, link);
        void this.#connect(link, to);
        return;
      }
      case 'send': {
        const link = this.#links.get(output.connection);
        if (link?.control?.send(output.message) !== false || !link.connection) return;
        return closeWith(link.connection, wireError('limit', 'the peer does not read its control stream'));
      }
      case 'disconnect':
        return this.#disconnect(output.connection, output.error);
      default:
        output satisfies never;
    }
  }

  /** The connection of a key, for virtual paths. Undefined when it is gone. */
  connection(key: ConnectionKey): Connection | undefined {
    return this.#links.get(key)?.connection;
  }

  /** Closes all connections so that the core makes new ones, with the identity in force then. */
  reconnect(reason: string): void {
    for (const { connection } of this.#links.values()) {
      if (connection) closeWith(connection, wireError('going-away', reason));
    }
  }

  /** Closes the connections to intermediates whose certificate is not acceptable any more. */
  review(): void {
    for (const { connection, control } of this.#links.values()) {
      if (!connection || !control) continue;
      const identity = this.#options.verify(connection.peerChain);
      if (identity.ok) continue;
      const { code, detail } = identity.error;
      this.#options.log.warn({ code, detail }, 'certificate of intermediate no longer accepted');
      closeRefused(connection, identity.error);
    }
  }

  /** Resolves when the orderly ends that are under way are over (bounded). */
  async settled(): Promise<void> {
    await Promise.all(this.#ending);
  }

  async #connect(link: Link, to: IntermediateEntry): Promise<void> {
    try {
      const connection = await this.#dial(link, to);
      const identity = this.#options.verify(connection.peerChain);
      if (!identity.ok) {
        closeRefused(connection, identity.error);
        const { code, detail } = identity.error;
        this.#options.log.warn(
          { intermediate: to.name, code, detail },
          'certificate of intermediate refused',
        );
        return this.#lose(link, `certificate refused: ${code}`);
      }
      link.connection = connection;
      this.#open(link, connection, identity.value);
    } catch (error) {
      this.#lose(link, error instanceof Error ? error.message : String(error));
    }
  }

  async #dial({ abort }: Link, to: IntermediateEntry): Promise<Connection> {
    const { endpoint, transport, resolver = systemResolver, log } = this.#options;
    const remotes = await resolveAll(to.addresses, resolver);
    if (remotes.length === 0) throw new Error(`no address of ${to.name} can be resolved`);
    log.debug({ intermediate: to.name, remotes }, 'connecting to intermediate');
    const serverName = ticketName(to.id);
    const { signal } = abort;
    return connectAny(endpoint, { remotes, signal, serverName, transport, alpn: [ALPN.CONTROL] });
  }

  #open(link: Link, connection: Connection, identity: PeerIdentity): void {
    const { input } = this.#options;
    const { key } = link;
    connection.onEvent = ({ type }) => {
      if (type === 'stalled' || type === 'recovered') input({ type: `outer-${type}`, connection: key });
    };
    void connection.closed.then((info) => this.#lose(link, closeReason(info), peerCode(info)));
    connection.accept();
    const stream = connection.openBi();
    if (link.abort.signal.aborted) return connection.close();
    link.control = new ControlStream(stream, {
      onMessage: (message) => input({ type: 'message', connection: key, message }),
      onMalformed: (reason, fatal) => input({ type: 'malformed', connection: key, reason, fatal }),
      onEnd: () => connection.close(),
    });
    input({ type: 'outer-connected', connection: key, identity });
  }

  #disconnect(key: ConnectionKey, error: WireError) {
    const link = this.#links.get(key);
    if (!link) return;
    link.abort.abort();
    const { connection, control } = link;
    if (!connection) return;
    if (!control) return closeWith(connection, error);
    const ended = endOrderly(connection, control, error).finally(() => this.#ending.delete(ended));
    this.#ending.add(ended);
  }

  #lose(link: Link, reason: string, code?: WireErrorCode): void {
    if (link.lost) return;
    link.lost = true;
    this.#links.delete(link.key);
    this.#options.input({ type: 'outer-lost', connection: link.key, reason, ...(code && { code }) });
  }
}
