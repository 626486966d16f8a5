import { isV4, parseIp } from './address.ts';
import type { ClientContext } from './client.ts';
import { type Epoch, pcpRestarted } from './epoch.ts';
import { failed, granted } from './granted.ts';
import { decodePcpResponse, encodePcpMap, isUdp, type PcpResponse, pcpResultNames } from './pcp-codec.ts';
import { UdpClient } from './udp-client.ts';

type MapAnswer = Extract<PcpResponse, { type: 'map' }>;

/** The Port Control Protocol's MAP opcode, RFC 6887. */
export class PcpClient extends UdpClient {
  readonly #nonce: Uint8Array;
  readonly #client: Uint8Array;
  #external: { readonly address: Uint8Array; readonly port: number };
  #epoch: Epoch | undefined;

  constructor(context: ClientContext) {
    super(context);
    this.#nonce = context.random(12);
    this.#client = parseIp(context.localAddress) ?? new Uint8Array(16);
    const any = new Uint8Array(16);
    if (isV4(this.#client)) any.set(this.#client.subarray(0, 12));
    this.#external = { address: any, port: context.localPort };
  }

  protected override firstRequest(): Uint8Array {
    return this.#request(this.context.lifetime);
  }

  protected override deletion(): Uint8Array {
    return this.#request(0);
  }

  protected override handleAnswer(bytes: Uint8Array, deleting: boolean, now: number): void {
    const decoded = decodePcpResponse(bytes);
    if (!decoded.ok) return this.drop('malformed');
    const answer = decoded.value;
    switch (answer.type) {
      case 'announce':
        return this.drop('unexpected');
      case 'other-version':
        return this.answered(failed('not-spoken', `the gateway speaks version ${answer.version}`));
      case 'map':
        if (!this.#isMine(answer)) return this.drop('mismatch');
        this.#epoch = { seconds: answer.epoch, at: now };
        // A late answer to an earlier MAP is none to the deletion, and the other way round.
        if (answer.result === 0 && deleting !== (answer.lifetime === 0)) {
          return deleting ? this.drop('unexpected') : this.answered(failed('lifetime', 'the lifetime is 0'));
        }
        return this.#concluded(answer);
    }
  }

  announces(bytes: Uint8Array, now: number): boolean {
    const decoded = decodePcpResponse(bytes);
    if (!decoded.ok || decoded.value.type !== 'announce' || decoded.value.result !== 0) return false;
    const after = { seconds: decoded.value.epoch, at: now };
    const before = this.#epoch;
    if (!before || !pcpRestarted(before, after)) return false;
    this.#epoch = after;
    return true;
  }

  #concluded(answer: MapAnswer): void {
    const { result, externalAddress, externalPort, lifetime } = answer;
    if (result !== 0) {
      return this.answered(failed('refused', pcpResultNames[result] ?? `result code ${result}`));
    }
    const output = granted(externalAddress, externalPort, lifetime);
    if (output.type === 'mapped') this.#external = { address: externalAddress, port: externalPort };
    this.answered(output);
  }

  /** Section 11.4: nonce, protocol and internal port must be ours. */
  #isMine(answer: MapAnswer): boolean {
    return (
      answer.nonce.every((byte, i) => byte === this.#nonce[i]) &&
      isUdp(answer.protocol) &&
      answer.internalPort === this.context.localPort
    );
  }

  #request(lifetime: number): Uint8Array {
    return encodePcpMap({
      nonce: this.#nonce,
      lifetime,
      client: this.#client,
      internalPort: this.context.localPort,
      suggestedPort: this.#external.port,
      suggestedAddress: this.#external.address,
    });
  }
}
