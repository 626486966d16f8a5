import type { Endpoint } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { Component, ComponentRole, Reloaded } from './component.ts';
import { watchFiles } from './watch-files.ts';

export interface ReloaderOptions<R extends ComponentRole> {
  readonly component: Component<R>;
  readonly endpoint: Endpoint;
  readonly log: Logger;
  readonly now: () => number;
  /** Everything new is in force: give the core its snapshot. */
  readonly apply: (reloaded: Reloaded) => void;
}

/** Takes certificate, trust bundle and snapshot into use again, when asked to or when a file is replaced. */
export class Reloader<R extends ComponentRole> implements Disposable {
  readonly #options: ReloaderOptions<R>;
  readonly #watch: Disposable;
  #last: Promise<void> = Promise.resolve();

  constructor(options: ReloaderOptions<R>) {
    const { component, log } = options;
    const { identity, trust, snapshotFile } = component.files;
    this.#options = options;
    const files = [identity.certificateFile, identity.privateKeyFile, trust.bundleFile, snapshotFile];
    this.#watch = watchFiles(files, () => {
      this.reload().catch((err: unknown) =>
        log.error({ err }, 'reload failed: what was loaded before stays'),
      );
    });
  }

  /** One at a time. Rejects with a ZtnaError when a file cannot be used: what was loaded before stays in force. */
  reload(): Promise<void> {
    const next = this.#last.then(() => this.#reload());
    this.#last = next.catch(() => undefined);
    return next;
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  async #reload(): Promise<void> {
    const { component, endpoint, log, now, apply } = this.#options;
    const reloaded = component.reload(now());
    // Tickets issued before are dead from here on: revocations and trust count for resumed handshakes too.
    await endpoint.reload(component.tls);
    apply(reloaded);
    const { refused, keyChanged } = reloaded;
    if (refused) log.warn({ err: refused }, 'snapshot file refused: the last good one stays in force');
    log.info({ revision: component.snapshot.revision, keyChanged }, 'reloaded');
  }
}
