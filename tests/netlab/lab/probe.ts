import { fileURLToPath } from 'node:url';
import type { EchoStats } from '../probe/tally.ts';
import { type Json, type LabProcess, patienceMs } from './process.ts';
import type { Space } from './space.ts';

const program = fileURLToPath(new URL('../probe/program.ts', import.meta.url));

/** Sockets in a host's network (see ../probe/program.ts). Addresses are `address port`. */
export class Probe {
  readonly #process: LabProcess;
  #requests = 0;

  private constructor(process: LabProcess) {
    this.#process = process;
  }

  static async start(space: Space, host: string): Promise<Probe> {
    const args = ['--disable-warning=ExperimentalWarning', program];
    const probe = new Probe(space.start(host, { name: `probe on ${host}`, command: process.execPath, args }));
    return probe;
  }

  /** @throws Error with what the probe says went wrong, or when it does not answer in time. */
  async ask(action: string, fields: object = {}, withinMs = patienceMs): Promise<Json> {
    const id = ++this.#requests;
    this.#process.write(JSON.stringify({ id, do: action, ...fields }));
    const answer = await this.#process.event((event) => event.id === id, {
      withinMs,
      what: `done with ${action}`,
    });
    if (answer.error !== undefined) throw new Error(`${this.#process.name}: ${action}: ${answer.error}`);
    return answer;
  }

  /** A UDP socket; with `echo`, what arrives goes back. */
  async udp(o: { address?: string; port?: number; echo?: boolean } = {}): Promise<ProbeSocket> {
    const { socket, port } = await this.ask('udpOpen', o);
    return new ProbeSocket(this, this.#process, Number(socket), Number(port));
  }

  /** A TCP echo on a port. */
  async tcpEcho(port: number): Promise<void> {
    await this.ask('tcpListen', { port });
  }

  /** An echo that goes on by itself, to see a connection live through something. */
  async echo(kind: 'tcp' | 'udp', to: string, more: { everyMs?: number; size?: number } = {}): Promise<Echo> {
    const { echo } = await this.ask('echoStart', { kind, to, ...more });
    return new Echo(this, Number(echo));
  }
}

export class ProbeSocket {
  readonly port: number;
  readonly #probe: Probe;
  readonly #process: LabProcess;
  readonly #number: number;

  constructor(probe: Probe, process: LabProcess, number: number, port: number) {
    this.#probe = probe;
    this.#process = process;
    this.#number = number;
    this.port = port;
  }

  /** Sends `text`, padded to `size` bytes, `count` times. Gives how many the kernel refused. */
  async send(to: string, text: string, more: { size?: number; count?: number } = {}): Promise<number> {
    const { failed } = await this.#probe.ask('udpSend', { socket: this.#number, to, text, ...more });
    return Number(failed);
  }

  /** Where the first datagram with `text` came from, past or future. */
  async from(text: string, withinMs = patienceMs): Promise<string> {
    const deadline = { withinMs, what: `reached by ${text}` };
    const event = await this.#process.event((e) => this.#is(e) && e.text === text, deadline);
    return String(event.from);
  }

  /** How many datagrams with `text` have arrived. */
  count(text: string): number {
    return this.#process.events.filter((event) => this.#is(event) && event.text === text).length;
  }

  #is(event: Json): boolean {
    return event.event === 'udp' && event.socket === this.#number;
  }
}

/** A stream of numbered questions and answers; see ../probe/tally.ts. */
export class Echo {
  readonly #probe: Probe;
  readonly #echo: number;

  constructor(probe: Probe, echo: number) {
    this.#probe = probe;
    this.#echo = echo;
  }

  async stats(): Promise<EchoStats> {
    return (await this.#probe.ask('echoStats', { echo: this.#echo })) as unknown as EchoStats;
  }

  /** Waits until something that is sent from now on has come back. @throws Error when it does not, or ended. */
  async alive(withinMs = patienceMs): Promise<EchoStats> {
    return (await this.#probe.ask('echoAlive', { echo: this.#echo }, withinMs)) as unknown as EchoStats;
  }

  /** Waits for so long. @throws Error when something that is sent from now on comes back meanwhile. */
  async silent(ms: number): Promise<void> {
    const alive = await this.alive(ms).then(
      () => true,
      () => false,
    );
    if (alive) throw new Error('the echo was to be silent, and is answered');
  }

  /** `longestGapMs` counts from now on. Gives the statistics so far. */
  async fresh(): Promise<EchoStats> {
    return (await this.#probe.ask('echoFresh', { echo: this.#echo })) as unknown as EchoStats;
  }

  async stop(): Promise<EchoStats> {
    const stats = await this.stats();
    await this.#probe.ask('echoStop', { echo: this.#echo });
    return stats;
  }
}
