import type { ClientContext } from './client.ts';
import { type Epoch, natPmpRestarted } from './epoch.ts';
import { failed, granted } from './granted.ts';
import {
  decodeNatPmpResponse,
  encodeNatPmpAddress,
  encodeNatPmpMap,
  type NatPmpResponse,
  natPmpResultNames,
} from './nat-pmp-codec.ts';
import { UdpClient } from './udp-client.ts';

/** The NAT Port Mapping Protocol, RFC 6886: asks for the external address, then for the mapping. IPv4 only. */
export class NatPmpClient extends UdpClient {
  /** The external address, once it is known in this run; undefined while it is asked for. */
  #address: Uint8Array | undefined;
  #externalPort: number;
  #epoch: Epoch | undefined;

  constructor(context: ClientContext) {
    super(context);
    this.#externalPort = context.localPort;
  }

  protected override firstRequest(): Uint8Array {
    this.#address = undefined;
    return encodeNatPmpAddress();
  }

  protected override deletion(): Uint8Array {
    return encodeNatPmpMap(this.context.localPort, 0, 0);
  }

  protected override handleAnswer(bytes: Uint8Array, deleting: boolean, now: number): void {
    const decoded = decodeNatPmpResponse(bytes);
    if (!decoded.ok) return this.drop('malformed');
    const answer = decoded.value;
    const awaited = deleting || this.#address ? 'map' : 'address';
    if (!answersTo(answer, awaited)) return this.drop('unexpected');
    this.#epoch = { seconds: answer.epoch, at: now };
    switch (answer.type) {
      case 'error':
        return this.answered(this.#refusal(answer.result));
      case 'address':
        this.#address = answer.address;
        return this.ask(
          encodeNatPmpMap(this.context.localPort, this.#externalPort, this.context.lifetime),
          now,
        );
      case 'map':
        if (answer.internalPort !== this.context.localPort) return this.drop('mismatch');
        // A late answer to an earlier request for the mapping is none to its deletion.
        if (deleting && answer.lifetime !== 0) return this.drop('unexpected');
        return this.#mapped(answer.externalPort, answer.lifetime);
    }
  }

  announces(bytes: Uint8Array, now: number): boolean {
    const decoded = decodeNatPmpResponse(bytes);
    if (!decoded.ok || decoded.value.type !== 'address') return false;
    const after = { seconds: decoded.value.epoch, at: now };
    const before = this.#epoch;
    if (!before || !natPmpRestarted(before, after)) return false;
    this.#epoch = after;
    return true;
  }

  #mapped(externalPort: number, lifetime: number): void {
    const output = granted(this.#address ?? new Uint8Array(16), externalPort, lifetime);
    if (output.type === 'mapped') this.#externalPort = externalPort;
    this.answered(output);
  }

  #refusal(result: number) {
    const detail = natPmpResultNames[result] ?? `result code ${result}`;
    return failed(result === 1 ? 'not-spoken' : 'refused', detail);
  }
}

function answersTo(answer: NatPmpResponse, awaited: 'address' | 'map'): boolean {
  if (answer.type !== 'error') return answer.type === awaited;
  // A gateway that knows no such version or opcode need not repeat it.
  return answer.result === 1 || answer.result === 5 || answer.opcode === (awaited === 'address' ? 0 : 1);
}
