import { bridgeProgram } from './bridge-program.ts';
import type { LabProcess } from './process.ts';
import type { Space } from './space.ts';
import type { Link } from './topology.ts';

export interface Lane {
  readonly forwarded: number;
  readonly bytes: number;
  readonly droppedQueue: number;
  readonly droppedSend: number;
  readonly underWay: number;
}

/** The user-space wire of a link with delay or rate: role `bridge` of native/load. */
export class Bridge {
  readonly #process: LabProcess;

  private constructor(process: LabProcess) {
    this.#process = process;
  }

  static async start(
    space: Space,
    [a, b]: readonly [string, string],
    link: Link,
    program?: string,
  ): Promise<Bridge> {
    const command = program ?? (await bridgeProgram());
    const args = ['bridge', `a=${a}`, `b=${b}`, ...words(link)];
    const process = space.start('wires', { name: `bridge ${a}`, command, args });
    await process.event(({ text }) => text === 'ready', { what: 'ready' });
    return new Bridge(process);
  }

  /** Changes what frames meet from now on. */
  async shape(link: Pick<Link, 'delayMs' | 'rateMbps' | 'queuePackets'>): Promise<void> {
    for (const word of words(link)) this.#process.write(word);
    await this.counters();
  }

  /** Since the start, towards the network above (`up`) and from it. */
  async counters(): Promise<{ readonly up: Lane; readonly down: Lane }> {
    const before = this.#process.events.length;
    this.#process.write('stats');
    const seen = () => this.#process.events.slice(before);
    await this.#process.event((event) => seen().includes(event), { what: 'answering' });
    const { aToB, bToA } = seen()[0] as unknown as { readonly aToB: Lane; readonly bToA: Lane };
    return { up: aToB, down: bToA };
  }
}

function words({ delayMs, rateMbps, queuePackets }: Link): string[] {
  const given: (readonly [string, number | undefined])[] = [
    ['delay_us', delayMs === undefined ? undefined : Math.round(delayMs * 1_000)],
    ['rate_bps', rateMbps === undefined ? undefined : Math.round(rateMbps * 1_000_000)],
    ['queue', queuePackets],
  ];
  return given.flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]));
}
