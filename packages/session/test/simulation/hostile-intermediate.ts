import type { Rng } from '@ztna/sim';
import {
  type ControlMessage,
  encodeControlMessage,
  type Grant,
  type RelayId,
  type Revision,
  type ServiceName,
  type SignedGrant,
} from '@ztna/wire';
import type { PeerIdentity } from '../../src/types.ts';
import { FakeConnection, type Packet } from './fake-quic.ts';
import { anyUid, hello, invent, newUid } from './inventions.ts';
import { connectorId, identityOf, service, shortName, subjectOf, TENANT } from './names.ts';
import type { World } from './world.ts';

interface Peer {
  readonly connection: FakeConnection;
  readonly identity: PeerIdentity;
}

/** An enrolled intermediate that is in everybody's snapshot: grants what it likes, and relays to whom it likes. */
export class HostileIntermediate {
  readonly #world: World;
  readonly #name: string;
  readonly #self: PeerIdentity;
  readonly #rng: Rng;
  readonly #sign: (grant: Grant) => SignedGrant;
  readonly #connections = new Map<string, FakeConnection>();
  readonly #peers = new Map<string, Peer>();
  /** `peer relay id` → where its datagrams go. */
  readonly #rules = new Map<string, readonly [peer: string, relayId: number]>();

  constructor(world: World, name: string) {
    this.#world = world;
    this.#name = name;
    this.#self = identityOf('intermediate', name);
    this.#rng = world.rng.fork();
    this.#sign = world.plane.sign(this.#self.id);
    world.network.start(name, (packet, from) => this.#receive(packet, from));
  }

  stop() {
    this.#world.network.kill(this.#name);
    for (const connection of this.#connections.values()) connection.dispose();
  }

  /** Messages out of nowhere, and datagrams sent astray. */
  act() {
    const rng = this.#rng;
    const peers = [...this.#peers.values()];
    if (peers.length === 0) return;
    for (let n = rng.int(6); n > 0; n--) {
      const to = rng.pick(peers);
      if (rng.chance(0.1)) to.connection.close('enough');
      else
        this.#send(to, invent(this.#world, rng, this.#self, rng.chance(0.7) ? this.#anyGrant() : undefined));
    }
    const rules = [...this.#rules.keys()];
    if (rules.length > 0 && rng.chance(0.3)) this.#rules.set(rng.pick(rules), this.#anywhere());
  }

  #receive(packet: Packet, from: string) {
    const known = this.#connections.get(packet.connection);
    if (known) return known.receive(packet);
    if (packet.frame.kind !== 'hi') return;
    const id = packet.connection;
    const gone = () => {
      this.#connections.delete(id);
      this.#peers.delete(id);
    };
    const connection: FakeConnection = new FakeConnection({
      ...({ id, side: 'server', self: this.#self, time: this.#world.time, idleMs: 12_000 } as const),
      transmit: (out) => this.#world.network.send(this.#name, from, out),
      onOpen: (identity) => this.#peers.set(id, { connection, identity }),
      onMessage: (bytes) => this.#onMessage(id, bytes as Uint8Array),
      onDatagram: (relayId, inner) => this.#forward(id, relayId, inner),
      onLost: gone,
    });
    this.#connections.set(id, connection);
    connection.receive(packet);
  }

  #onMessage(from: string, bytes: Uint8Array) {
    const peer = this.#peers.get(from);
    const message = this.#world.decode(bytes);
    if (!peer || !message) return;
    if (message.type === 'hello') return this.#send(peer, hello());
    if (message.type === 'register')
      return this.#send(peer, { type: 'registered', services: message.services, refused: [] });
    if (message.type === 'openSession') return this.#broker(from, peer, message.requestId, message.service);
    if (this.#rng.chance(0.3)) this.#send(peer, invent(this.#world, this.#rng, this.#self, this.#anyGrant()));
  }

  /** As by the book, but with a connector, a grant and a name that it likes. */
  #broker(from: string, agent: Peer, requestId: number, wanted: ServiceName) {
    const rng = this.#rng;
    const connectors = [...this.#peers].filter(([, { identity }]) => identity.role === 'connector');
    if (connectors.length === 0) return;
    const [to, connector] = rng.pick(connectors);
    const evil = connectors.find(([, { identity }]) => this.#isHostile(identity.id));
    // Behind the name of an honest connector is a hostile one, now and then.
    const behind = evil && rng.chance(0.4) ? evil[0] : to;
    const named = rng.chance(0.7) ? connector.identity.id : this.#anyConnector();
    const sessionUid = rng.chance(0.8) ? newUid(rng) : anyUid(this.#world, rng);
    const service = rng.chance(0.8) ? wanted : this.#anyService();
    const { agents } = this.#world.plane.layout;
    // A hostile agent is let in under the name of another one, if the connector does not look.
    const isHonest = agents.includes(shortName(agent.identity.id));
    const as = isHonest || rng.chance(0.3) ? agent.identity : identityOf('agent', rng.pick(agents));
    const grant = { ...this.#grant(as, named, service), sessionUid };
    const [near, far] = [this.#world.nextKey() as RelayId, this.#world.nextKey() as RelayId];
    const signed = this.#sign(grant);
    const offer = { type: 'sessionOffer', sessionUid, grant: signed, attach: false } as const;
    this.#rules.set(`${from} ${near}`, [behind, far]);
    this.#rules.set(`${behind} ${far}`, [from, near]);
    this.#send(connector, { ...offer, requestId: 0, relayId: far, peer: as.id });
    this.#send(agent, { ...offer, requestId, relayId: near, peer: named });
  }

  #forward(from: string, relayId: number, packet: Packet) {
    const rng = this.#rng;
    const [to, toRelayId] = this.#rules.get(`${from} ${relayId}`) ?? [undefined, 0];
    if (to === undefined || rng.chance(0.02)) return;
    this.#peers.get(to)?.connection.sendDatagram(toRelayId, packet);
  }

  #anywhere(): readonly [string, number] {
    const taken = [...this.#rules.values()];
    return this.#rng.pick(taken);
  }

  #anyService(): string {
    return this.#rng.pick(this.#world.plane.everyService);
  }

  #isHostile(id: string): boolean {
    return Object.keys(this.#world.plane.layout.hostile?.connectors ?? {}).some(
      (name) => connectorId(name) === id,
    );
  }

  #anyConnector() {
    const { connectors, hostile } = this.#world.plane.layout;
    return connectorId(
      this.#rng.pick([...Object.keys(connectors), ...Object.keys(hostile?.connectors ?? {})]),
    );
  }

  #anyGrant(): SignedGrant {
    const { agents, hostile } = this.#world.plane.layout;
    const agent = identityOf('agent', this.#rng.pick([...agents, ...(hostile?.agents ?? [])]));
    return this.#sign(this.#grant(agent, this.#anyConnector(), this.#anyService()));
  }

  #grant(agent: PeerIdentity, connector: Grant['connector'], wanted: string): Grant {
    const rng = this.#rng;
    const { now } = this.#world.time;
    const subject = rng.chance(0.8) ? shortName(agent.id) : rng.pick(this.#world.plane.layout.agents);
    return {
      ...{
        tenant: TENANT,
        sessionUid: anyUid(this.#world, rng),
        agent: agent.id,
        agentKey: agent.keyThumbprint,
      },
      ...{ connector, issuer: this.#self.id, subject: subjectOf(subject), requiredFeatures: [] },
      services: rng.chance(0.5) ? [service(wanted)] : this.#world.plane.everyService.map(service),
      policyRevision: 1 as Revision,
      notBeforeMs: Math.floor(now) - 1,
      notAfterMs: Math.floor(now) + rng.pick([1_000, 60_000, 86_400_000]),
    };
  }

  #send(peer: Peer, message: ControlMessage) {
    peer.connection.send(encodeControlMessage(message));
  }
}
