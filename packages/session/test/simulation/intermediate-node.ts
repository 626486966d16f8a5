import { decodeControlMessage, encodeControlMessage, type SessionUid } from '@ztna/wire';
import { IntermediateCore } from '../../src/intermediate/core.ts';
import type { ForwardingRule, IntermediateInput, IntermediateOutput } from '../../src/intermediate/io.ts';
import type { IntermediateSnapshot } from '../../src/snapshot.ts';
import type { ConnectionKey, PeerIdentity } from '../../src/types.ts';
import { type Driven, drive } from './drive.ts';
import { FakeConnection, type Packet, resetFor } from './fake-quic.ts';
import { identityOf, TENANT } from './names.ts';
import type { World } from './world.ts';

export const GRANT_VALIDITY_MS = 60_000;

/** A process of the intermediate: the core, its connections and the forwarding table. */
export class IntermediateNode {
  readonly name: string;
  readonly core: IntermediateCore;
  readonly rules = new Map<string, ForwardingRule>();
  readonly peers = new Map<ConnectionKey, { connection: FakeConnection; identity: PeerIdentity }>();
  snapshot: IntermediateSnapshot;
  drained = false;
  readonly #world: World;
  readonly #driven: Driven<IntermediateInput>;
  readonly #byId = new Map<string, { key: ConnectionKey; connection: FakeConnection; address: string }>();

  constructor(world: World, name: string, snapshot: IntermediateSnapshot) {
    this.#world = world;
    this.name = name;
    this.snapshot = snapshot;
    const { id } = identityOf('intermediate', name);
    const { rng, plane } = world;
    this.core = new IntermediateCore(
      {
        id,
        local: { tenant: TENANT, instance: world.nextInstance(), software: 'sim', features: [] },
        randomSessionUid: () =>
          Array.from(rng.bytes(16), (b) => b.toString(16).padStart(2, '0')).join('') as SessionUid,
        signGrant: (grant) => {
          world.model.onGrant(this, grant);
          return plane.sign(id)(grant);
        },
        verifyGrant: plane.verify,
      },
      { grantValidityMs: GRANT_VALIDITY_MS, maxPeers: 64 },
    );
    this.#driven = drive(
      this.core,
      world.time,
      (o) => this.#carryOut(o),
      () => world.model.onIntermediate(this),
    );
    world.network.start(name, (packet, from) => this.#receive(packet, from));
    this.applySnapshot(snapshot);
  }

  applySnapshot(snapshot: IntermediateSnapshot) {
    this.snapshot = snapshot;
    this.#driven.input({ type: 'snapshot', snapshot });
  }

  drain() {
    this.drained = true;
    this.#driven.input({ type: 'drain', deadlineMs: 10_000, alternatives: [], reason: 'test' });
  }

  kill() {
    this.#driven.stop();
    this.#world.network.kill(this.name);
    for (const { connection } of this.#byId.values()) connection.dispose();
    this.rules.clear();
  }

  #receive(packet: Packet, from: string) {
    const known = this.#byId.get(packet.connection);
    if (known) {
      known.address = from;
      return known.connection.receive(packet);
    }
    if (packet.frame.kind === 'hi') return this.#accept(packet, from);
    const reset = resetFor(packet);
    if (reset) this.#world.network.send(this.name, from, reset);
  }

  #accept(packet: Packet, from: string) {
    const id = packet.connection;
    const key = this.#world.nextKey() as ConnectionKey;
    const gone = (reason: string) => {
      this.#byId.delete(id);
      this.peers.delete(key);
      this.#driven.input({ type: 'peer-gone', peer: key, reason });
    };
    const connection: FakeConnection = new FakeConnection({
      id,
      side: 'server',
      self: identityOf('intermediate', this.name),
      time: this.#world.time,
      idleMs: 12_000,
      transmit: (out) => this.#world.network.send(this.name, this.#byId.get(id)?.address ?? from, out),
      onOpen: (identity) => {
        this.peers.set(key, { connection, identity });
        this.#driven.input({ type: 'peer-connected', peer: key, identity });
      },
      onMessage: (message) => this.#onMessage(key, message as Uint8Array),
      onDatagram: (relayId, inner) => this.#forward(key, relayId, inner),
      onLost: gone,
    });
    this.#byId.set(id, { key, connection, address: from });
    connection.receive(packet);
  }

  #onMessage(peer: ConnectionKey, bytes: Uint8Array) {
    const decoded = decodeControlMessage(bytes);
    if (!decoded.ok)
      return this.#driven.input({ type: 'malformed', peer, reason: decoded.error.detail, fatal: true });
    if (decoded.value.type === 'unknown')
      return this.#driven.input({ type: 'malformed', peer, reason: 'unknown', fatal: false });
    this.#world.onControlMessage(this.name);
    this.#driven.input({ type: 'message', peer, message: decoded.value });
  }

  #forward(from: ConnectionKey, relayId: number, packet: Packet) {
    const rule = this.rules.get(`${from}:${relayId}`);
    if (!rule) return;
    this.peers.get(rule.to)?.connection.sendDatagram(rule.toRelayId, packet);
  }

  #carryOut(output: IntermediateOutput) {
    switch (output.type) {
      case 'send':
        return this.peers.get(output.peer)?.connection.send(encodeControlMessage(output.message));
      case 'close-peer': {
        const peer = this.peers.get(output.peer);
        peer?.connection.close(
          output.error.code,
          encodeControlMessage({ type: 'error', error: output.error }),
        );
        this.peers.delete(output.peer);
        for (const [id, known] of this.#byId) if (known.key === output.peer) this.#byId.delete(id);
        return;
      }
      case 'install-rule':
        this.#world.model.onInstall(this, output);
        this.rules.set(`${output.from}:${output.fromRelayId}`, output);
        return;
      case 'remove-rule':
        this.#world.model.onRemove(this, output);
        this.rules.delete(`${output.from}:${output.fromRelayId}`);
        return;
      default:
        return this.#world.count(output);
    }
  }
}
