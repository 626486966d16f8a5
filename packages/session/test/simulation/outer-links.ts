import { decodeControlMessage, encodeControlMessage, type RelayId } from '@ztna/wire';
import type { LinkInput, LinkOutput } from '../../src/link-io.ts';
import type { ConnectionKey, PeerIdentity } from '../../src/types.ts';
import { FakeConnection, type Packet, resetFor } from './fake-quic.ts';
import type { World } from './world.ts';

/** The outer connections of a simulated agent or connector, and the shell's part of their outputs. */
export class OuterLinks {
  readonly #world: World;
  readonly #name: string;
  #node: string;
  readonly #self: PeerIdentity;
  readonly #input: (input: LinkInput) => void;
  readonly #onDatagram: (connection: ConnectionKey, relayId: RelayId, packet: Packet) => void;
  readonly #connections = new Map<ConnectionKey, FakeConnection>();
  readonly #keys = new Map<string, ConnectionKey>();

  constructor(
    world: World,
    node: string,
    self: PeerIdentity,
    input: (input: LinkInput) => void,
    onDatagram: (connection: ConnectionKey, relayId: RelayId, packet: Packet) => void,
  ) {
    this.#world = world;
    this.#name = node;
    this.#node = node;
    this.#self = self;
    this.#input = input;
    this.#onDatagram = onDatagram;
    world.network.start(node, (packet, from) => this.#receive(packet, from));
  }

  carryOut(output: LinkOutput) {
    switch (output.type) {
      case 'connect':
        return this.#connect(output.connection, output.to.name);
      case 'send':
        return this.#connections.get(output.connection)?.send(encodeControlMessage(output.message));
      case 'disconnect': {
        const last = encodeControlMessage(
          output.error.code === 'going-away'
            ? { type: 'goodbye', reason: '' }
            : { type: 'error', error: output.error },
        );
        this.#connections.get(output.connection)?.close(output.error.code, last);
        return this.#forget(output.connection);
      }
    }
  }

  sendDatagram(
    path: { readonly connection: ConnectionKey; readonly relayId: RelayId } | undefined,
    packet: Packet,
  ) {
    if (path) this.#connections.get(path.connection)?.sendDatagram(path.relayId, packet);
  }

  /** Another address from now on, as behind a NAT that forgot: peers learn of it by the next packet. */
  migrate() {
    this.#world.network.kill(this.#node);
    this.#node = `${this.#name}@${this.#world.nextKey()}`;
    this.#world.network.start(this.#node, (packet, from) => this.#receive(packet, from));
  }

  kill() {
    this.#world.network.kill(this.#node);
    for (const connection of this.#connections.values()) connection.dispose();
  }

  #connect(key: ConnectionKey, to: string) {
    const id = `${this.#name}>${to}#${this.#world.nextKey()}`;
    this.#keys.set(id, key);
    const connection = new FakeConnection({
      id,
      side: 'client',
      self: this.#self,
      time: this.#world.time,
      idleMs: 12_000,
      transmit: (packet) => this.#world.network.send(this.#node, to, packet),
      onOpen: (identity) => this.#input({ type: 'outer-connected', connection: key, identity }),
      onMessage: (message) => this.#onMessage(key, message as Uint8Array),
      onDatagram: (relayId, packet) => this.#onDatagram(key, relayId as RelayId, packet),
      onStalled: (stalled) =>
        this.#input({ type: stalled ? 'outer-stalled' : 'outer-recovered', connection: key }),
      onLost: (reason) => {
        this.#forget(key);
        this.#input({ type: 'outer-lost', connection: key, reason });
      },
    });
    this.#connections.set(key, connection);
  }

  #forget(key: ConnectionKey) {
    this.#connections.delete(key);
    for (const [id, known] of this.#keys) if (known === key) this.#keys.delete(id);
  }

  #receive(packet: Packet, from: string) {
    const key = this.#keys.get(packet.connection);
    const connection = key === undefined ? undefined : this.#connections.get(key);
    if (connection) return connection.receive(packet);
    const reset = resetFor(packet);
    if (reset) this.#world.network.send(this.#node, from, reset);
  }

  #onMessage(connection: ConnectionKey, bytes: Uint8Array) {
    const decoded = decodeControlMessage(bytes);
    if (!decoded.ok || decoded.value.type === 'unknown') {
      const reason = decoded.ok ? 'unknown' : decoded.error.detail;
      return this.#input({ type: 'malformed', connection, reason, fatal: !decoded.ok });
    }
    this.#world.onControlMessage(this.#node);
    this.#input({ type: 'message', connection, message: decoded.value });
  }
}
