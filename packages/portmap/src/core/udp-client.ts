import { type Endpoint, sameAddress } from './address.ts';
import type { Client, ClientContext, ClientOutput, DropCause, HttpOutcome } from './client.ts';
import { Exchange } from './exchange.ts';
import { failed } from './granted.ts';

/** What PCP and NAT-PMP have in common: one request at a time to one port, repeated. */
export abstract class UdpClient implements Client {
  protected readonly context: ClientContext;
  readonly #outputs: ClientOutput[] = [];
  #exchange: Exchange | undefined;
  #deleting = false;

  constructor(context: ClientContext) {
    this.context = context;
  }

  protected abstract firstRequest(): Uint8Array;
  protected abstract deletion(): Uint8Array;
  /** An answer from the gateway while one is awaited; calls `answered`, `ask` or `drop`. */
  protected abstract handleAnswer(bytes: Uint8Array, deleting: boolean, now: number): void;
  abstract announces(bytes: Uint8Array, now: number): boolean;

  map(now: number): void {
    this.#deleting = false;
    this.ask(this.firstRequest(), now);
  }

  unmap(now: number): void {
    this.#deleting = true;
    this.ask(this.deletion(), now);
  }

  handleInput(bytes: Uint8Array, from: Endpoint, now: number): void {
    const { gateway, ports } = this.context;
    if (from.port !== ports.control || !sameAddress(from.address, gateway))
      return this.drop('foreign-source');
    if (!this.#exchange) return this.drop('unexpected');
    this.handleAnswer(bytes, this.#deleting, now);
  }

  handleUnreachable(): void {
    if (this.#exchange) this.answered(failed('not-spoken', 'nothing listens on the port'));
  }

  handleHttp(_id: number, _outcome: HttpOutcome): void {}

  handleTimeout(now: number): void {
    const due = this.#exchange?.next(now);
    if (due === 'send') this.#send();
    if (due === 'give-up') this.answered(failed('no-answer', 'no answer'));
  }

  pollTimeout(): number | undefined {
    return this.#exchange?.pollTimeout();
  }

  pollOutput(): ClientOutput | undefined {
    return this.#outputs.shift();
  }

  /** Starts the next request in place of the one before. */
  protected ask(bytes: Uint8Array, now: number): void {
    this.#exchange = new Exchange(bytes, now);
    this.handleTimeout(now);
  }

  /** Ends the request; whatever came of a deletion, nothing is left to do about it. */
  protected answered(output: ClientOutput): void {
    this.#exchange = undefined;
    this.#outputs.push(this.#deleting ? { type: 'unmapped' } : output);
  }

  protected drop(cause: DropCause): void {
    this.#outputs.push({ type: 'dropped', cause });
  }

  #send(): void {
    const { gateway, ports } = this.context;
    const bytes = this.#exchange?.bytes;
    if (!bytes) return;
    this.#outputs.push({
      type: 'send',
      via: 'control',
      to: { address: gateway, port: ports.control },
      bytes,
    });
  }
}
