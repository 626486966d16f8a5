import type { Endpoint } from '@ztna/quic';
import type { Logger } from '@ztna/runtime';
import type { ZtnaError } from '@ztna/wire';
import type { Component, ComponentRole, Reloaded } from './component.ts';
import { warnOfExposedKeys } from './exposed-keys.ts';
import { watchFiles } from './watch-files.ts';

export interface ReloaderOptions<R extends ComponentRole> {
  readonly component: Component<R>;
  readonly endpoint: Endpoint;
  readonly log: Logger;
  readonly now: () => number;
  /** Everything new is in force: give the core its snapshot. */
  readonly apply: (reloaded: Reloaded) => void;
  /** After every reload and every half minute: end the connections of peers that may not stay. */
  readonly review: (reloaded?: Reloaded) => void;
}

/** Certificates are looked at again so often, in ms: by so much a connection may outlive the peer's. */
const REVIEW_MS = 30_000;

/** Takes certificate, trust bundle and snapshot into use again, when asked to or when a file is replaced. */
export class Reloader<R extends ComponentRole> implements Disposable {
  readonly #options: ReloaderOptions<R>;
  readonly #watch: Disposable;
  readonly #regularly: NodeJS.Timeout;
  #last: Promise<void> = Promise.resolve();

  constructor(options: ReloaderOptions<R>) {
    const { component, log } = options;
    const { identity, trust, snapshotFile } = component.files;
    this.#options = options;
    warnOfExposedKeys(log, [identity.privateKeyFile]);
    this.#regularly = setInterval(() => options.review(), REVIEW_MS).unref();
    const files = [identity.certificateFile, identity.privateKeyFile, trust.bundleFile, snapshotFile];
    this.#watch = watchFiles(files, () => {
      this.reload().catch((err: unknown) =>
        log.error({ event: 'reload.failed', err }, 'reload failed: what was loaded before stays'),
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
    clearInterval(this.#regularly);
    this.#watch[Symbol.dispose]();
  }

  async #reload(): Promise<void> {
    const { component, endpoint, log, now, apply, review } = this.#options;
    const reloaded = component.reload(now());
    try {
      // Tickets issued before are dead from here on: revocations and trust count for resumed handshakes too.
      await endpoint.reload(component.tls);
    } finally {
      // Whatever becomes of the certificate: what the new snapshot forbids ends now.
      apply(reloaded);
      review(reloaded);
    }
    const { refused, certificateChanged, keyChanged, trustChanged } = reloaded;
    warnOfRefusedSnapshot(log, refused);
    if (refused && !certificateChanged && !trustChanged) return;
    const fields = { event: 'reloaded', revision: component.snapshot.revision, keyChanged };
    log.info(fields, 'certificate, trust and snapshot were read again');
  }
}

/** Says that a component goes on with the last good snapshot, and why, if it does. */
export function warnOfRefusedSnapshot(log: Logger, refused: ZtnaError | undefined): void {
  if (!refused) return;
  log.warn(
    { event: 'snapshot.refused', err: refused },
    'snapshot file refused: the last good one stays in force',
  );
}
