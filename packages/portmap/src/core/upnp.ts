import { type Endpoint, formatEndpoint, parseIp, sameAddress } from './address.ts';
import type { Client, ClientContext, ClientOutput, HttpOutcome } from './client.ts';
import {
  type Description,
  decodeDescription,
  type GatewayService,
  type GatewayUrl,
  urlAt,
} from './description.ts';
import { failed, granted } from './granted.ts';
import {
  type Action,
  decodeAnswer,
  deletionArguments,
  encodeAction,
  mappingArguments,
  type SoapAnswer,
  upnpErrors,
} from './soap.ts';
import { decodeSearchAnswer, encodeSearches } from './ssdp.ts';
import { maxXmlBytes } from './xml.ts';

/** Searches are sent at these, and given up at the last; a device may wait for a second (MX). */
const searchAtMs = [0, 300];
const searchGiveUpMs = 1200;
const httpTimeoutMs = 2000;
/** From the first request until a mapping is there, whatever the gateway answers. */
const totalMs = 8000;
const unmapMs = 1000;
const maxPortTries = 4;

/** Where a service takes orders. */
interface Control {
  readonly serviceType: string;
  readonly url: GatewayUrl;
}

interface Pending {
  readonly id: number;
  readonly handle: (outcome: HttpOutcome, now: number) => void;
}

/** UPnP Internet Gateway Device 1 and 2: search, description, external address, mapping. IPv4 only. */
export class UpnpClient implements Client {
  readonly #context: ClientContext;
  readonly #outputs: ClientOutput[] = [];
  #searchStartedAt: number | undefined;
  #searches = 0;
  #deadline: number | undefined;
  #deleting = false;
  #pending: Pending | undefined;
  #nextId = 1;
  /** The service that answered; asked alone when the mapping is renewed. */
  #control: Control | undefined;
  #externalPort: number;
  #hasMapping = false;

  constructor(context: ClientContext) {
    this.#context = context;
    this.#externalPort = context.localPort;
  }

  map(now: number): void {
    this.#begin(now + totalMs);
    if (this.#control) return this.#askAddress([this.#control]);
    this.#searchStartedAt = now;
    this.#searches = 0;
    this.handleTimeout(now);
  }

  unmap(now: number): void {
    this.#begin(now + unmapMs);
    this.#deleting = true;
    const control = this.#control;
    if (!control) return this.#end({ type: 'unmapped' });
    this.#order(control, 'DeletePortMapping', deletionArguments(this.#externalPort), () => {
      this.#hasMapping = false;
      this.#end({ type: 'unmapped' });
    });
  }

  handleInput(bytes: Uint8Array, from: Endpoint): void {
    if (!sameAddress(from.address, this.#context.gateway)) return this.#drop('foreign-source');
    // Each search is answered, and the first answer was enough.
    if (this.#searchStartedAt === undefined) return;
    const answer = decodeSearchAnswer(bytes);
    if (!answer.ok) return this.#drop('malformed');
    const url = urlAt(this.#context.gateway, answer.value.location);
    // Another answer may come that names the gateway itself.
    if (!url) return this.#drop('mismatch');
    this.#searchStartedAt = undefined;
    this.#describe(url, answer.value.location);
  }

  handleUnreachable(): void {}

  handleHttp(id: number, outcome: HttpOutcome, now: number): void {
    const pending = this.#pending;
    if (pending?.id !== id) return this.#drop('unexpected');
    this.#pending = undefined;
    pending.handle(outcome, now);
  }

  announces(): boolean {
    return false;
  }

  handleTimeout(now: number): void {
    if (this.#deadline !== undefined && now >= this.#deadline) {
      return this.#end(failed('no-answer', 'the gateway is too slow'));
    }
    const started = this.#searchStartedAt;
    if (started === undefined) return;
    const next = searchAtMs[this.#searches];
    if (next !== undefined && now >= started + next) {
      this.#searches++;
      this.#search();
    }
    if (now >= started + searchGiveUpMs) this.#end(failed('no-answer', 'no gateway answers the search'));
  }

  pollTimeout(): number | undefined {
    const search =
      this.#searchStartedAt === undefined
        ? Number.POSITIVE_INFINITY
        : this.#searchStartedAt + (searchAtMs[this.#searches] ?? searchGiveUpMs);
    const next = Math.min(search, this.#deadline ?? Number.POSITIVE_INFINITY);
    return Number.isFinite(next) ? next : undefined;
  }

  pollOutput(): ClientOutput | undefined {
    return this.#outputs.shift();
  }

  #search(): void {
    const { gateway, ports, searchGroup } = this.#context;
    const own = { address: gateway, port: ports.ssdp };
    for (const to of searchGroup ? [own, searchGroup] : [own]) {
      for (const bytes of encodeSearches(formatEndpoint(to))) {
        this.#outputs.push({ type: 'send', via: 'search', to, bytes });
      }
    }
  }

  #describe(url: GatewayUrl, location: string): void {
    this.#request(url, 'GET', {}, '', (outcome) => {
      const body = this.#body(outcome, [200]);
      const description = body && decodeDescription(body);
      if (!description) return;
      if (!description.ok)
        return this.#end(failed('bad-answer', `its description: ${description.error.detail}`));
      const controls = this.#controls(description.value, location);
      if (controls.length === 0) {
        return this.#end(failed('bad-answer', 'its control URL leads away from the gateway'));
      }
      this.#askAddress(controls);
    });
  }

  #controls({ urlBase, services }: Description, location: string): Control[] {
    return services.flatMap(({ serviceType, controlUrl }: GatewayService) => {
      const url = urlAt(this.#context.gateway, controlUrl, urlBase ?? location);
      return url ? [{ serviceType, url }] : [];
    });
  }

  /** A gateway may have several connections of which one is up: the first with an address is taken. */
  #askAddress([control, ...others]: readonly Control[], detail = 'no external address'): void {
    if (!control) return this.#end(failed('no-external-address', detail));
    this.#order(control, 'GetExternalIPAddress', [], (answer) => {
      const address = answer.type === 'done' ? answer.values.NewExternalIPAddress : undefined;
      const ip = address === undefined ? undefined : parseIp(address);
      const check = ip && granted(ip, 1, this.#context.lifetime);
      if (!ip || check?.type !== 'mapped') {
        return this.#askAddress(others, answer.type === 'fault' ? faultText(answer) : detail);
      }
      this.#control = control;
      this.#add(control, ip, maxPortTries);
    });
  }

  #add(control: Control, address: Uint8Array, triesLeft: number): void {
    const { localPort, localAddress, lifetime } = this.#context;
    const any =
      control.serviceType.endsWith('WANIPConnection:2') && !this.#hasMapping && triesLeft === maxPortTries;
    const action = any ? 'AddAnyPortMapping' : 'AddPortMapping';
    const externalPort = this.#externalPort;
    const args = mappingArguments({
      externalPort,
      internalPort: localPort,
      internalClient: localAddress,
      lifetime,
    });
    this.#order(control, action, args, (answer) => {
      if (answer.type === 'fault') return this.#refused(answer, control, address, triesLeft);
      const port = any ? (answer.values.NewReservedPort ?? '') : String(externalPort);
      if (!/^\d{1,5}$/.test(port) || Number(port) > 65535) {
        return this.#end(failed('bad-answer', 'the external port is no port'));
      }
      const output = granted(address, Number(port), lifetime);
      if (output.type === 'mapped') {
        this.#externalPort = Number(port);
        this.#hasMapping = true;
      }
      this.#end(output);
    });
  }

  #refused(
    fault: SoapAnswer & { type: 'fault' },
    control: Control,
    address: Uint8Array,
    triesLeft: number,
  ): void {
    if (fault.code === upnpErrors.permanentOnly) {
      // Left behind by a crash, it would stay for ever.
      return this.#end(failed('lifetime', 'the gateway maps without limit of time only'));
    }
    const tryAgain =
      fault.code === upnpErrors.conflict ||
      fault.code === upnpErrors.invalidAction ||
      fault.code === upnpErrors.notImplemented ||
      (fault.code === upnpErrors.samePortRequired && this.#externalPort !== this.#context.localPort);
    if (!tryAgain || triesLeft <= 1) return this.#end(failed('refused', faultText(fault)));
    if (fault.code === upnpErrors.conflict) this.#externalPort = this.#randomPort();
    if (fault.code === upnpErrors.samePortRequired) this.#externalPort = this.#context.localPort;
    this.#hasMapping = false;
    this.#add(control, address, triesLeft - 1);
  }

  #randomPort(): number {
    const [high = 0, low = 0] = this.#context.random(2);
    return 1024 + ((high * 256 + low) % (65536 - 1024));
  }

  #order(
    control: Control,
    action: Action,
    args: readonly [string, string][],
    handle: (answer: SoapAnswer, now: number) => void,
  ): void {
    const { headers, body } = encodeAction(control.serviceType, action, args);
    this.#request(control.url, 'POST', headers, body, (outcome, now) => {
      // Errors of an action come with status 500.
      const bytes = this.#body(outcome, [200, 500]);
      const answer = bytes && decodeAnswer(bytes, action);
      if (!answer) return;
      if (!answer.ok) return this.#end(failed('bad-answer', `to ${action}: ${answer.error.detail}`));
      handle(answer.value, now);
    });
  }

  #request(
    { port, path }: GatewayUrl,
    method: 'GET' | 'POST',
    headers: Readonly<Record<string, string>>,
    body: string,
    handle: Pending['handle'],
  ): void {
    const id = this.#nextId++;
    this.#pending = { id, handle };
    const { gateway: address } = this.#context;
    const request = {
      method,
      address,
      port,
      path,
      headers,
      body,
      maxBytes: maxXmlBytes,
      timeoutMs: httpTimeoutMs,
    };
    this.#outputs.push({ type: 'http', id, request });
  }

  /** The body of an answer that may be read; otherwise the run has ended. */
  #body(outcome: HttpOutcome, statuses: readonly number[]): Uint8Array | undefined {
    if (outcome.ok && statuses.includes(outcome.status)) return outcome.body;
    // The service may have moved to another port: the next run searches again.
    this.#control = undefined;
    this.#end(failed('bad-answer', outcome.ok ? `HTTP status ${outcome.status}` : outcome.detail));
    return undefined;
  }

  #begin(deadline: number): void {
    this.#deadline = deadline;
    this.#deleting = false;
    this.#searchStartedAt = undefined;
    this.#pending = undefined;
  }

  #end(output: ClientOutput): void {
    this.#searchStartedAt = undefined;
    this.#deadline = undefined;
    this.#pending = undefined;
    this.#outputs.push(this.#deleting ? { type: 'unmapped' } : output);
  }

  #drop(cause: 'foreign-source' | 'unexpected' | 'malformed' | 'mismatch'): void {
    this.#outputs.push({ type: 'dropped', cause });
  }
}

function faultText({ code, detail }: { code: number; detail: string }): string {
  return detail === '' ? `error ${code}` : `error ${code} ${detail}`;
}
