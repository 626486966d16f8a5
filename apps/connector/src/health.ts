import { instant, type Problem } from '@ztna/link';
import type { Endpoint } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { ConnectorConfig } from '@ztna/runtime/config';
import type { ConnectorService, ServiceName } from '@ztna/wire';
import type { Dialer } from './dial.ts';

export interface HealthOptions {
  readonly dialer: Pick<Dialer, 'tcp'>;
  readonly endpoint: Pick<Endpoint, 'dialTcp'>;
  readonly settings: ConnectorConfig['health'];
  readonly onWithdrawn: (services: ReadonlySet<ServiceName>) => void;
  readonly log: Logger;
}

interface Watched {
  readonly service: ConnectorService;
  timer: NodeJS.Timeout | undefined;
  failures: number;
  successes: number;
}

/**
 * Connects to the TCP backends of every service from time to time. A service of which no TCP backend answers is
 * withdrawn until one does again; one without TCP is not checked.
 */
export class Health implements Disposable {
  readonly #options: HealthOptions;
  readonly #watched = new Map<ServiceName, Watched>();
  /** And since when. */
  readonly #withdrawn = new Map<ServiceName, number>();
  #closed = false;

  constructor(options: HealthOptions) {
    this.#options = options;
  }

  /** Every service that is checked, and whether it is withdrawn. */
  services(): { readonly name: ServiceName; readonly withdrawn: boolean }[] {
    return [...this.#watched.keys()].map((name) => ({ name, withdrawn: this.#withdrawn.has(name) }));
  }

  problems(): Problem[] {
    return [...this.#withdrawn].map(([name, sinceMs]) => ({
      code: 'service-withdrawn',
      message: `service ${name} is withdrawn: no TCP backend of it answers`,
      remedy: 'look at the backend, from this machine; the service comes back by itself once it answers',
      since: instant(sinceMs),
    }));
  }

  /** Services of the snapshot in force. One that stays as it was keeps its record. */
  watch(services: readonly ConnectorService[]): void {
    const wanted = new Map(services.filter(hasTcp).map((service) => [service.name, service]));
    for (const [name, { service, timer }] of this.#watched) {
      if (JSON.stringify(wanted.get(name)) === JSON.stringify(service)) continue;
      clearTimeout(timer);
      this.#watched.delete(name);
      this.#mark(name, true);
    }
    for (const [name, service] of wanted) {
      if (this.#watched.has(name)) continue;
      const watched: Watched = { service, timer: undefined, failures: 0, successes: 0 };
      this.#watched.set(name, watched);
      void this.#check(watched);
    }
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const { timer } of this.#watched.values()) clearTimeout(timer);
    this.#watched.clear();
  }

  async #check(watched: Watched): Promise<void> {
    const { settings } = this.#options;
    const healthy = await this.#answers(watched.service);
    const { name } = watched.service;
    if (this.#closed || this.#watched.get(name) !== watched) return;
    watched.failures = healthy ? 0 : watched.failures + 1;
    watched.successes = healthy ? watched.successes + 1 : 0;
    if (watched.failures >= settings.failures) this.#mark(name, false);
    if (watched.successes >= settings.successes) this.#mark(name, true);
    watched.timer = setTimeout(() => void this.#check(watched), settings.intervalMs).unref();
  }

  async #answers({ targets }: ConnectorService): Promise<boolean> {
    const { dialer, endpoint, settings } = this.#options;
    const attempt = (address: string, timeoutMs: number) => endpoint.dialTcp({ address, timeoutMs });
    const dials = targets
      .filter(({ transport }) => transport === 'tcp')
      .map(async (target) => {
        const dialled = await dialer.tcp(target, attempt, settings.timeoutMs);
        if (dialled.ok) dialled.value.close();
        return dialled.ok;
      });
    return (await Promise.all(dials)).includes(true);
  }

  #mark(name: ServiceName, healthy: boolean): void {
    if (healthy !== this.#withdrawn.has(name)) return;
    if (healthy) this.#withdrawn.delete(name);
    else this.#withdrawn.set(name, Date.now());
    const level = healthy ? 'info' : 'warn';
    this.#options.log[level](
      { event: healthy ? 'service.back' : 'service.withdrawn', service: name },
      healthy
        ? 'the service is served again: a backend answers'
        : 'the service is withdrawn: no backend answers',
    );
    this.#options.onWithdrawn(new Set(this.#withdrawn.keys()));
  }
}

function hasTcp({ targets }: ConnectorService): boolean {
  return targets.some(({ transport }) => transport === 'tcp');
}
