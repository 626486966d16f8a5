import type { Connection, PathEvent } from '@ztna/quic';
import { type Clock, type CoreShell, type Logger, runCore } from '@ztna/runtime';
import {
  type CountOutput,
  PathCore,
  type PathDeps,
  type PathInput,
  type PathOutput,
  type PathPolicy,
  type PathVerdict,
} from '@ztna/session';
import { rounded } from '../status.ts';
import { PathHellos } from './hello.ts';

const SENTENCES: Readonly<Record<PathVerdict['path'], string>> = {
  direct: 'the session uses a direct path',
  relayed: 'the session is relayed',
  waiting: 'the flows of the session wait for a direct path',
  none: 'no flow of the session can run',
};

export interface SessionPathsOptions extends PathDeps {
  readonly clock: Clock;
  readonly log: Logger;
  /** For log lines: which session, and of which agent where there are others. */
  readonly session: string;
  readonly agent: string | undefined;
  readonly observe: (output: CountOutput) => void;
  /** Whether a direct path is in use: at first not. */
  readonly onDirect: (inUse: boolean) => void;
}

/** The first path of every inner connection: over the relay, for as long as the connection lives. */
const RELAY = 0;

/** The paths of one session: carries out what its core wants of the inner connection. */
export class SessionPaths {
  readonly #connection: Connection;
  readonly #options: SessionPathsOptions;
  readonly #core: PathCore;
  readonly #hellos: PathHellos;
  readonly #shell: CoreShell<PathInput>;
  readonly #open = new Set<number>([RELAY]);
  #isDirect = false;
  /** What was logged at info last. */
  #said: Pick<PathVerdict, 'path' | 'reason'> | undefined;
  /** Outer connection under the relay path. */
  #carrier: Connection | undefined;

  constructor(connection: Connection, options: SessionPathsOptions) {
    const { clock, log, session } = options;
    this.#connection = connection;
    this.#options = options;
    this.#core = new PathCore(options);
    this.#hellos = new PathHellos(connection, {
      onHello: (hello) => this.input({ type: 'peer-hello', ...hello }),
      onRefused: (cause) => options.observe({ type: 'count', metric: 'path_hello_refused', cause }),
    });
    this.#shell = runCore(this.#core, {
      ...clock,
      onOutput: (output) => this.#carryOut(output),
      onError: (err) =>
        log.fatal({ event: 'core.failed', err, session }, 'the path core failed: this is a bug'),
    });
    connection.onPath = (event) => this.#onPath(event);
    connection.onCandidates = (addresses) => this.input({ type: 'remote-candidates', addresses });
    // They may have come before anybody could listen.
    if (connection.candidates.length > 0) connection.onCandidates(connection.candidates);
    void connection.closed.then(() => this.#shell.close());
  }

  input(input: PathInput): void {
    this.#shell.input(input);
  }

  /** The own snapshot says something else of the session's paths. */
  setPolicy({ direct, showPrivateAddresses }: PathPolicy): void {
    // Field by field: what comes is an output of another core, with a type of its own.
    this.input({ type: 'policy', direct, showPrivateAddresses });
    // Without candidates, which is less than with none, the engine does not answer probes either.
    if (direct === 'deny') this.#connection.setCandidates(undefined);
  }

  /** The relay path goes over this connection from now on; whoever calls says when it is lost. */
  setCarrier(carrier: Connection): void {
    const isFirst = this.#carrier === undefined;
    this.#carrier = carrier;
    if (!isFirst) this.input({ type: 'relay-back' });
  }

  carrierLost(carrier: Connection): void {
    if (this.#carrier === carrier) this.input({ type: 'relay-lost' });
  }

  /** Has the other side answer on every path: one that has died is found out. */
  ask(): void {
    this.#connection.ping();
  }

  verdict(): PathVerdict {
    return this.#core.verdict();
  }

  #onPath(event: PathEvent): void {
    const { path, remote, type } = event;
    if (type === 'opened') this.#open.add(path);
    if (type === 'closed') this.#open.delete(path);
    switch (type) {
      case 'opened':
        return this.input({ type: 'path-opened', path, remote });
      case 'closed':
        if (event.reason === 'dead') this.input({ type: 'path-dead', path });
        return this.input({ type: 'path-closed', path });
      case 'dead':
      case 'alive':
        return this.input({ type: `path-${type}`, path });
      case 'status':
        return this.input({ type: 'path-status', path, backup: event.backup });
      case 'moved':
        return this.input({ type: 'path-moved', path, remote });
      default:
        event satisfies never;
    }
  }

  #carryOut(output: PathOutput): void {
    const connection = this.#connection;
    switch (output.type) {
      case 'show-candidates':
        return connection.setCandidates(output.addresses);
      case 'probe':
        return connection.probe();
      case 'prefer':
        return this.#prefer(output.path);
      case 'close-path':
        return connection.closePath(output.path);
      case 'ask-samples':
        return void this.#sample();
      case 'hello':
        return this.#hellos.send(output);
      case 'flows':
        return;
      case 'verdict-changed':
        return this.#onVerdict(output.verdict);
      case 'count':
        return this.#options.observe(output);
      default:
        output satisfies never;
    }
  }

  /** The new one first: at no time are all of them backups. */
  #prefer(path: number): void {
    // Before anything is sent over the relay: flows that may not go there end.
    if (path === RELAY) this.#setDirect(false);
    if (this.#options.side === 'agent') {
      this.#connection.setPathStatus(path, 'available');
      for (const other of this.#open) {
        if (other !== path) this.#connection.setPathStatus(other, 'backup');
      }
    }
    this.#setDirect(path !== RELAY);
  }

  #setDirect(inUse: boolean): void {
    if (inUse === this.#isDirect) return;
    this.#isDirect = inUse;
    this.#options.onDirect(inUse);
  }

  async #sample(): Promise<void> {
    if (this.#connection.isClosed) return;
    const paths = await this.#connection.paths().catch(() => []);
    const samples = paths.map(({ id, rttMs, minRttMs, sentPackets, lostPackets, mtu }) => {
      const least = minRttMs === undefined ? {} : { minRttMs };
      return { path: id, rttMs, ...least, sent: sentPackets, lost: lostPackets, mtu };
    });
    this.input({ type: 'samples', samples });
  }

  #onVerdict({ path, reason, remedy, nat, rttMs }: PathVerdict): void {
    const { log, session, agent } = this.#options;
    const said = this.#said;
    // That a session begins says nothing of how it will travel.
    const isNews =
      reason === 'starting'
        ? said !== undefined && path !== said.path
        : path !== said?.path || reason !== said.reason;
    if (isNews) this.#said = { path, ...(reason && { reason }) };
    const level = isNews ? 'info' : 'debug';
    const rtt = rttMs === undefined ? {} : { rttMs: rounded(rttMs, 2) };
    const why = { reason, remedy: remedy || undefined, nat, ...rtt };
    log[level]({ event: 'path.verdict', session, ...(agent && { agent }), path, ...why }, SENTENCES[path]);
  }
}
