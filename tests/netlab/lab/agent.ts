import { fileURLToPath } from 'node:url';
import type { AgentReport, ComponentReport, SessionStatus } from '@ztna/link';
import type { Lab } from './lab.ts';
import type { Echo } from './probe.ts';
import { type Json, type LabProcess, patienceMs } from './process.ts';

const cli = fileURLToPath(new URL('../../../apps/cli/src/main.ts', import.meta.url));

export interface AgentOptions {
  /** Services to forward; all by default. */
  readonly services?: readonly string[];
  readonly config?: object;
}

interface Forward {
  readonly service: string;
  readonly transport: string;
  readonly port: number;
  readonly listen: string;
}

/** What `curl` found. */
export interface Fetched {
  /** curl's exit code: 0 is success, 52 an empty reply, 56 a reset, 28 its time limit. */
  readonly exit: number;
  readonly status: number;
  readonly bytes: number;
  readonly firstByteMs: number;
  readonly totalMs: number;
}

/** What the agent logs of a session's path. */
export interface Verdict {
  readonly path: 'direct' | 'relayed' | 'waiting' | 'none';
  readonly reason?: string;
  readonly remedy?: string;
}

function isVerdict({ event, session }: Json, of: unknown): boolean {
  return event === 'path.verdict' && session === of;
}

/** A running `ztna forward`, and what a user of its host does with it. */
export class Agent {
  readonly host: string;
  readonly process: LabProcess;
  readonly #lab: Lab;

  constructor(lab: Lab, host: string, process: LabProcess) {
    this.#lab = lab;
    this.host = host;
    this.process = process;
  }

  /** Local address of a service, `127.0.0.1:45678`. */
  address(service: string, transport: 'tcp' | 'udp', port: number): string {
    const ready = this.process.events.find(({ event }) => event === 'ready') as
      | { forwards?: Forward[] }
      | undefined;
    const found = ready?.forwards?.find(
      (f) => f.service === service && f.transport === transport && f.port === port,
    );
    if (!found) throw new Error(`the agent on ${this.host} does not forward ${service}:${port}/${transport}`);
    return found.listen;
  }

  /** Fetches a path of the service's HTTP server with curl, as a user would. */
  async fetch(service: string, path = '/health', limitMs = patienceMs): Promise<Fetched> {
    const url = `http://${this.address(service, 'tcp', 80)}${path}`;
    const format = '%{exitcode} %{http_code} %{size_download} %{time_starttransfer} %{time_total}';
    const command = `curl --silent --noproxy '*' --max-time ${limitMs / 1000} --output /dev/null --write-out '${format}' '${url}' || true`;
    const words = (await this.#lab.run(this.host, command)).trim().split(' ').map(Number);
    const [exit = -1, status = 0, bytes = 0, first = 0, total = 0] = words;
    return { exit, status, bytes, firstByteMs: first * 1000, totalMs: total * 1000 };
  }

  /** An echo to the service that goes on by itself: one TCP connection, or datagrams. */
  async echo(
    service: string,
    kind: 'tcp' | 'udp',
    more: { everyMs?: number; size?: number } = {},
    port = 7,
  ): Promise<Echo> {
    const probe = await this.#lab.probe(this.host);
    return probe.echo(kind, this.address(service, kind, port).replace(':', ' '), more);
  }

  /** Resolves when the agent logs this event of its core, from now on or since entry `since`. */
  event(name: string, since = this.process.logs.length): Promise<Json> {
    return this.process.logged(({ event }) => event === name, { what: `logging ${name}` }, since);
  }

  /** How its session to the connector of a service travels now. Waits for the session. */
  async path(service: string): Promise<Verdict> {
    const session = await this.#session(service);
    const of = (entry: Json) => isVerdict(entry, session.session);
    await this.process.logged(of, { what: `in a session with ${service}, with a verdict` });
    return this.process.logs.filter(of).at(-1) as unknown as Verdict;
  }

  /** A point in its log, for `since`. */
  now(): number {
    return this.process.logs.length;
  }

  /** Waits until the session to the connector of a service travels so, from `since` on; ms since the session was up. */
  async becomes(service: string, path: Verdict['path'], since = 0): Promise<number> {
    const session = await this.#session(service);
    const of = (entry: Json) => isVerdict(entry, session.session) && entry.path === path;
    const found = await this.process.logged(of, { what: `${path} to ${service}` }, since);
    return Date.parse(`${found.time}`) - Date.parse(`${session.time}`);
  }

  /**
   * Waits until the session is direct; `since` is a moment at which it may have been. `stayed` when it never left,
   * else ms since it left.
   */
  async returns(service: string, since: number): Promise<number | 'stayed'> {
    const { path } = await this.session(service);
    const { session } = await this.#session(service);
    const left = this.process.logs.slice(since).find((entry) => isVerdict(entry, session));
    if (left === undefined && path?.path === 'direct') return 'stayed';
    const back = await this.process.logged(
      (entry) => isVerdict(entry, session) && entry.path === 'direct',
      { what: `direct to ${service} again` },
      since,
    );
    return left === undefined ? 0 : Date.parse(`${back.time}`) - Date.parse(`${left.time}`);
  }

  /** What `ztna status --json` says of the agent. */
  async status(): Promise<AgentReport> {
    // Exits with 1 when something has a problem: components of other hosts are asked as well.
    const said = await this.#lab.run(this.host, `'${process.execPath}' '${cli}' status --json || true`);
    const { components } = JSON.parse(said) as { components: ComponentReport[] };
    const report = components.find((one) => one.component === 'agent' && one.id.endsWith(`/${this.host}`));
    if (!report) throw new Error(`nothing answers to ztna status on ${this.host}`);
    return report as AgentReport;
  }

  /** What `ztna status` says of its session to the connector of a service. */
  async session(service: string): Promise<SessionStatus> {
    const { session } = await this.#session(service);
    const found = (await this.status()).sessions.find((one) => one.session === session);
    if (!found) throw new Error(`ztna status on ${this.host} does not know the session to ${service}`);
    return found;
  }

  /** The last session to the connector of a service. */
  async #session(service: string): Promise<Json> {
    const isSession = ({ event, connector }: Json) =>
      event === 'session.up' && `${connector}`.endsWith(`/${service}`);
    await this.process.logged(isSession, { what: `in a session with ${service}` });
    return this.process.logs.filter(isSession).at(-1) ?? {};
  }

  /** Warnings and errors that it logged, by message. */
  warnings(): string[] {
    return this.process.logs
      .filter(({ level }) => ['warn', 'error', 'fatal'].includes(String(level)))
      .map(({ msg }) => String(msg));
  }

  /** Sums of its metrics by name, `agent_flows`. */
  async metrics(): Promise<ReadonlyMap<string, number>> {
    const text = await this.#lab.run(
      this.host,
      "curl --silent --noproxy '*' --max-time 5 http://127.0.0.1:9090/metrics",
    );
    const sums = new Map<string, number>();
    for (const line of text.split('\n')) {
      const [, name, value] = /^([a-z_0-9]+)(?:\{.*\})? (\S+)$/.exec(line) ?? [];
      if (name !== undefined) sums.set(name, (sums.get(name) ?? 0) + Number(value));
    }
    return sums;
  }
}
