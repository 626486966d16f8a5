import type { PeerIdentity, PeerRefusal } from '@ztna/identity';
import { type Connection, type Endpoint, QuicError, type TransportOptions } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { ConnectionKey, LinkInput, LinkOutput } from '@ztna/session';
import {
  ALPN,
  type ControlMessage,
  type IntermediateEntry,
  type Result,
  type SpiffeId,
  type WireError,
  type WireErrorCode,
  wireError,
} from '@ztna/wire';
import { closeReason, closeRefused, closeWith, peerCode } from './close.ts';
import { connectAny } from './connect-any.ts';
import { ControlStream } from './control-stream.ts';
import { endOrderly } from './end.ts';
import { handshakeFailed } from './handshake.ts';
import { type Resolver, resolveAll, systemResolver } from './resolve.ts';
import { ticketName } from './server-name.ts';
import { type IntermediateStatus, instant, type Problem, rounded } from './status.ts';

export interface OuterLinksOptions {
  readonly endpoint: Endpoint;
  readonly transport: TransportOptions;
  /** Decides who an intermediate is from the chain that it presented. */
  readonly verify: (chain: readonly Uint8Array[]) => Result<PeerIdentity, PeerRefusal>;
  /** Takes what happens to the core. */
  readonly input: (input: LinkInput) => void;
  readonly log: Logger;
  /** How an intermediate sees our socket; undefined: not connected to it any more. */
  readonly onObserved?: (by: SpiffeId, address: string | undefined) => void;
  readonly resolver?: Resolver;
}

interface Link {
  readonly key: ConnectionKey;
  readonly to: IntermediateEntry;
  /** When its state, connecting or connected, began. */
  since: number;
  /** The intermediate said Hello; by how much its clock was ahead then. */
  clockAheadMs: number | undefined;
  /** When it stopped answering; undefined: it answers. */
  stalledAt: number | undefined;
  readonly abort: AbortController;
  connection: Connection | undefined;
  control: ControlStream | undefined;
  /** What the intermediate said last, if that was an end. */
  farewell: Ending | undefined;
  lost: boolean;
}

/** Why a connection is no more: words, and the error with which the intermediate ended it, if it did. */
interface Ending {
  readonly reason: string;
  readonly code?: WireErrorCode | undefined;
}

/** Carries out what the core of an agent or connector wants of its outer connections, and tells it what happens. */
export class OuterLinks {
  readonly #options: OuterLinksOptions;
  readonly #links = new Map<ConnectionKey, Link>();
  readonly #ending = new Set<Promise<void>>();
  /** Somebody answered at the address of an intermediate, by its name, and no connection came of it. */
  readonly #rejected = new Map<string, Problem>();

  constructor(options: OuterLinksOptions) {
    this.#options = options;
  }

  carryOut(output: LinkOutput) {
    switch (output.type) {
      case 'connect': {
        const { connection: key, to } = output;
        const abort = new AbortController();
        const link: Link = {
          ...{ key, to, abort, since: Date.now(), clockAheadMs: undefined, stalledAt: undefined },
          ...{ connection: undefined, control: undefined, farewell: undefined, lost: false },
        };
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

  /** How many intermediates have let this peer in and answer. */
  get answering(): number {
    return [...this.#links.values()].filter((link) => stateOf(link) === 'connected').length;
  }

  get usable(): boolean {
    return this.answering > 0;
  }

  /** The intermediates to which there are connections, or attempts. */
  get intermediates(): readonly SpiffeId[] {
    return [...this.#links.values()].map(({ to }) => to.id);
  }

  /** What became of the last attempt to connect to an intermediate, if somebody answered there. */
  rejection(name: string): Problem | undefined {
    return this.#rejected.get(name);
  }

  /** The connections that there are and that are tried. */
  async status(): Promise<IntermediateStatus[]> {
    return Promise.all([...this.#links.values()].map(describe));
  }

  /** Closes all connections so that the core makes new ones, with the identity in force then. */
  reconnect(reason: string): void {
    for (const { connection } of this.#links.values()) {
      if (connection) closeWith(connection, wireError('going-away', reason));
    }
  }

  /** Closes the connections to intermediates whose certificate is not acceptable any more. */
  review(): void {
    for (const { connection, control, to } of this.#links.values()) {
      if (!connection || !control) continue;
      const identity = this.#options.verify(connection.peerChain);
      if (identity.ok) continue;
      const { code, detail } = identity.error;
      this.#options.log.warn(
        { event: 'intermediate.certificate-refused', intermediate: to.name, code, detail },
        'certificate of intermediate no longer accepted',
      );
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
          { event: 'intermediate.certificate-refused', intermediate: to.name, code, detail },
          'certificate of intermediate refused',
        );
        this.#rejected.set(to.name, refused(detail));
        return this.#lose(link, `certificate refused: ${code}`);
      }
      link.connection = connection;
      this.#open(link, connection, identity.value);
    } catch (error) {
      const isAnswer = error instanceof QuicError && error.code === 'ERR_CONNECT';
      // It was closed meanwhile, and that tells more.
      if (link.connection?.isClosed) return;
      if (isAnswer) this.#rejected.set(to.name, handshakeFailed(error.message));
      else this.#rejected.delete(to.name);
      this.#lose(link, error instanceof Error ? error.message : String(error));
    }
  }

  async #dial({ abort }: Link, to: IntermediateEntry): Promise<Connection> {
    const { endpoint, transport, resolver = systemResolver, log } = this.#options;
    const remotes = await resolveAll(to.addresses, resolver);
    if (remotes.length === 0) throw new Error(`no address of ${to.name} can be resolved`);
    log.debug(
      { event: 'intermediate.connecting', intermediate: to.name, remotes },
      'connecting to intermediate',
    );
    const serverName = ticketName(to.id);
    const { signal } = abort;
    return connectAny(endpoint, { remotes, signal, serverName, transport, alpn: [ALPN.CONTROL] });
  }

  #open(link: Link, connection: Connection, identity: PeerIdentity): void {
    const { input, onObserved } = this.#options;
    const { key } = link;
    connection.onEvent = (event) => {
      const { type } = event;
      if (type === 'observed-address') onObserved?.(identity.id, event.address);
      if (type !== 'stalled' && type !== 'recovered') return;
      link.stalledAt = type === 'stalled' ? Date.now() : undefined;
      input({ type: `outer-${type}`, connection: key });
    };
    let ended: Ending | undefined;
    void connection.closed.then((info) => {
      const { reason, code } = ended ?? { reason: closeReason(info), code: peerCode(info) };
      // An intermediate judges the certificate of this side only when the handshake is over here.
      if (info.kind === 'tls') this.#rejected.set(link.to.name, handshakeFailed(info.reason));
      else this.#rejected.delete(link.to.name);
      // First it is no longer in use: whoever is told may ask it anew.
      this.#lose(link, reason, code);
      onObserved?.(identity.id, this.#observedElsewhere(link));
    });
    connection.accept();
    const stream = connection.openBi();
    if (link.abort.signal.aborted) return connection.close();
    link.control = new ControlStream(stream, {
      onMessage: (message) => {
        link.farewell = endingOf(message);
        if (message.type === 'hello' && link.clockAheadMs === undefined) {
          this.#rejected.delete(link.to.name);
          link.since = Date.now();
          link.clockAheadMs = message.timeMs - link.since;
        }
        input({ type: 'message', connection: key, message });
      },
      onMalformed: (reason, fatal) => input({ type: 'malformed', connection: key, reason, fatal }),
      // It ends the stream and waits that this side closes: the end is its own, though.
      onEnd: () => {
        ended = link.farewell ?? { reason: 'peer: it ended its control stream' };
        connection.close();
      },
    });
    input({ type: 'outer-connected', connection: key, identity });
  }

  /** What another connection to the same intermediate says: a link that moved has two for a moment. */
  #observedElsewhere(ended: Link): string | undefined {
    const others = [...this.#links.values()].filter((link) => link !== ended && link.to.id === ended.to.id);
    const living = others.map(({ connection }) => connection).filter((other) => other?.isClosed === false);
    return living.find((other) => other?.observedAddress !== undefined)?.observedAddress;
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

function endingOf(message: ControlMessage): Ending | undefined {
  if (message.type === 'goodbye') return { reason: `peer: goodbye: ${message.reason}` };
  if (message.type !== 'error' || message.error.requestId !== 0) return undefined;
  const { code, message: why } = message.error;
  return { reason: `peer: ${code}: ${why}`, code: code === 'unrecognised' ? undefined : code };
}

/** Its certificate is of this trust, and yet not that of an intermediate for this component. */
function refused(detail: string): Problem {
  return {
    code: 'handshake-failed',
    message: `the certificate of who answers at the address of the intermediate is refused: ${detail}`,
    remedy:
      'look at the `identity.certificateFile` of the intermediate with `ztna pki show`, and who answers there',
  };
}

function stateOf({ clockAheadMs, stalledAt }: Link): IntermediateStatus['state'] {
  if (clockAheadMs === undefined) return 'connecting';
  return stalledAt === undefined ? 'connected' : 'stalled';
}

async function describe(link: Link): Promise<IntermediateStatus> {
  const { to, since, connection, clockAheadMs, stalledAt } = link;
  const [path] = connection && !connection.isClosed ? await connection.paths().catch(() => []) : [];
  return {
    ...{ name: to.name, state: stateOf(link), since: instant(stalledAt ?? since) },
    ...(connection && { remote: connection.remoteAddress }),
    ...(path && { rttMs: rounded(path.rttMs, 2), mtu: path.mtu }),
    ...(connection?.observedAddress !== undefined && { observed: connection.observedAddress }),
    ...(clockAheadMs !== undefined && { clockAheadMs }),
  };
}
