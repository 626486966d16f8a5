import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/** What a simulated gateway does; what it does not have, it does not listen to or not answer. */
export interface GatewayBehaviour {
  readonly control?: (request: Buffer) => Uint8Array | undefined;
  /** The LOCATION to answer searches with; `port` is that of its HTTP server. */
  readonly location?: (port: number) => string;
  readonly http?: (request: IncomingMessage, body: string, response: ServerResponse) => void;
}

/** A gateway on an address of its own in the loopback range, on ports of its own. */
export class SimulatedGateway implements AsyncDisposable {
  readonly address: string;
  readonly #control: Socket;
  readonly #ssdp: Socket;
  readonly #http: Server;
  /** Requests to PCP and NAT-PMP, as they came, and who sent the last. */
  readonly requests: Buffer[] = [];
  readonly orders: string[] = [];
  asker: RemoteInfo | undefined;
  behaviour: GatewayBehaviour;

  private constructor(address: string, behaviour: GatewayBehaviour) {
    this.address = address;
    this.behaviour = behaviour;
    this.#control = createSocket('udp4', (bytes, from) => this.#onControl(bytes, from));
    this.#ssdp = createSocket('udp4', (_bytes, from) => this.#onSearch(from));
    this.#http = createServer((request, response) => void this.#onHttp(request, response));
  }

  static async start(behaviour: GatewayBehaviour, address = '127.0.0.2'): Promise<SimulatedGateway> {
    const gateway = new SimulatedGateway(address, behaviour);
    gateway.#control.bind(0, address);
    gateway.#ssdp.bind(0, address);
    gateway.#http.listen(0, address);
    await Promise.all([gateway.#control, gateway.#ssdp, gateway.#http].map((it) => once(it, 'listening')));
    return gateway;
  }

  get ports() {
    return { control: this.#control.address().port, ssdp: this.#ssdp.address().port };
  }

  get httpPort(): number {
    return (this.#http.address() as AddressInfo).port;
  }

  /** Sends something unasked from the gateway's own port. */
  send(bytes: Uint8Array, port: number, address: string): void {
    this.#control.send(bytes, port, address);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#control.close();
    this.#ssdp.close();
    this.#http.closeAllConnections();
    this.#http.close();
    await once(this.#http, 'close');
  }

  #onControl(request: Buffer, from: RemoteInfo): void {
    this.requests.push(request);
    this.asker = from;
    const answer = this.behaviour.control?.(request);
    if (answer) this.#control.send(answer, from.port, from.address);
  }

  #onSearch(from: RemoteInfo): void {
    const location = this.behaviour.location?.(this.httpPort);
    if (location === undefined) return;
    const answer = `HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: ${location}\r\n\r\n`;
    this.#ssdp.send(answer, from.port, from.address);
  }

  async #onHttp(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = (await request.setEncoding('utf8').toArray()).join('');
    const action = /#(\w+)/.exec(String(request.headers.soapaction))?.[1];
    this.orders.push(action ?? `${request.method} ${request.url}`);
    if (this.behaviour.http) this.behaviour.http(request, body, response);
    else response.writeHead(404).end();
  }
}

/** A PCP server that gives every client what it asks for. */
export function pcp(change: { lifetime?: number; external?: readonly number[]; nonce?: Uint8Array } = {}) {
  return (request: Buffer): Uint8Array | undefined => {
    if (request[0] !== 2 || request[1] !== 1) return undefined;
    const answer = Buffer.from(request);
    answer[1] = 0x81;
    answer.fill(0, 8, 24);
    if (request.readUInt32BE(4) !== 0) answer.writeUInt32BE(change.lifetime ?? 3600, 4);
    answer.writeUInt32BE(1000, 8);
    if (change.nonce) answer.set(change.nonce, 24);
    answer.set([0xff, 0xff, ...(change.external ?? [203, 0, 113, 5])], 54);
    return answer;
  };
}

/** A NAT-PMP server, which refuses PCP. */
export function natPmp(request: Buffer): Uint8Array {
  const epoch = [0, 0, 0, 100];
  if (request[0] !== 0) return Uint8Array.from([0, 0x80 | (request[1] ?? 0), 0, 1, ...epoch]);
  if (request[1] === 0) return Uint8Array.from([0, 0x80, 0, 0, ...epoch, 203, 0, 113, 5]);
  const external = request.readUInt32BE(8) === 0 ? [0, 0] : [0xc3, 0x51];
  return Uint8Array.from([
    0,
    0x81,
    0,
    0,
    ...epoch,
    ...request.subarray(4, 6),
    ...external,
    ...request.subarray(8, 12),
  ]);
}

/** An Internet gateway device. `fault` gives the error code of an action, if it has one. */
export function igd(
  options: {
    version?: 1 | 2;
    external?: string;
    controlUrl?: string;
    fault?: (action: string, body: string) => number | undefined;
  } = {},
) {
  const type = `urn:schemas-upnp-org:service:WANIPConnection:${options.version ?? 2}`;
  return (request: IncomingMessage, body: string, response: ServerResponse): void => {
    const action = /#(\w+)/.exec(String(request.headers.soapaction))?.[1];
    if (!action) {
      const service = `<service><serviceType>${type}</serviceType><controlURL>${options.controlUrl ?? '/ctl'}</controlURL></service>`;
      response.end(
        `<?xml version="1.0"?><root><device><serviceList>${service}</serviceList></device></root>`,
      );
      return;
    }
    const envelope = (inner: string) => `<s:Envelope><s:Body>${inner}</s:Body></s:Envelope>`;
    const code = options.fault?.(action, body);
    if (code !== undefined) {
      const error = `<UPnPError><errorCode>${code}</errorCode><errorDescription>no</errorDescription></UPnPError>`;
      response.writeHead(500).end(envelope(`<s:Fault><detail>${error}</detail></s:Fault>`));
      return;
    }
    const values =
      action === 'GetExternalIPAddress'
        ? `<NewExternalIPAddress>${options.external ?? '203.0.113.5'}</NewExternalIPAddress>`
        : action === 'AddAnyPortMapping'
          ? '<NewReservedPort>50001</NewReservedPort>'
          : '';
    response.end(envelope(`<u:${action}Response xmlns:u="${type}">${values}</u:${action}Response>`));
  };
}
