import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { Capture, Endpoint, TapCounters } from './udp-tap.ts';

/** Requests to the thread of the tap; each is answered in order. */
export type TapRequest =
  | { readonly do: 'target'; readonly target: Endpoint }
  | { readonly do: 'counters' }
  | { readonly do: 'record' }
  | { readonly do: 'stop-recording' };

export interface TapAnswers {
  readonly target: undefined;
  readonly counters: TapCounters;
  readonly record: undefined;
  readonly 'stop-recording': Capture;
}

/** A UdpTap in a thread of its own, so that forwarding does not wait for the checks. */
export class Tap implements AsyncDisposable {
  readonly address: Endpoint;
  readonly #worker: Worker;
  #last: Promise<unknown> = Promise.resolve();

  private constructor(worker: Worker, address: Endpoint) {
    this.#worker = worker;
    this.address = address;
  }

  static async start(): Promise<Tap> {
    const worker = new Worker(new URL('./tap-thread.ts', import.meta.url));
    const [address] = (await once(worker, 'message')) as [Endpoint];
    worker.unref();
    return new Tap(worker, address);
  }

  /** Where datagrams go; until then they are dropped. */
  async setTarget(target: Endpoint): Promise<void> {
    await this.#ask({ do: 'target', target });
  }

  /** What passed since the start. */
  counters(): Promise<TapCounters> {
    return this.#ask({ do: 'counters' });
  }

  /** Starts a capture. */
  async record(): Promise<void> {
    await this.#ask({ do: 'record' });
  }

  /** Ends the capture and gives it. */
  stopRecording(): Promise<Capture> {
    return this.#ask({ do: 'stop-recording' });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate();
  }

  #ask<R extends TapRequest>(request: R): Promise<TapAnswers[R['do']]> {
    const answer = this.#last.then(async () => {
      this.#worker.ref();
      try {
        const answered = once(this.#worker, 'message');
        this.#worker.postMessage(request);
        const [value] = await answered;
        return value as TapAnswers[R['do']];
      } finally {
        this.#worker.unref();
      }
    });
    this.#last = answer.catch(() => {});
    return answer;
  }
}
