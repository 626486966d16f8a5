import type { Rng } from '@ztna/sim';
import { type ControlMessage, encodeControlMessage, type RelayId, type SessionOffer } from '@ztna/wire';
import type { FlowKey, PeerIdentity } from '../../src/types.ts';
import { FakeConnection, type Packet } from './fake-quic.ts';
import { hello, invent } from './inventions.ts';
import { shortName, subjectOf } from './names.ts';
import type { InnerMessage, World } from './world.ts';

/** An enrolled agent or connector that says whatever it likes, to an intermediate and on inner connections. */
export class Attacker {
  readonly rng: Rng;
  readonly errors: string[] = [];
  lost: string | undefined;
  offers = 0;
  readonly #world: World;
  readonly #identity: PeerIdentity;
  readonly #inner = new Map<number, FakeConnection>();
  #connection: FakeConnection;
  #node = '';
  #isNew = true;

  constructor(world: World, identity: PeerIdentity, target = 'relay') {
    this.#world = world;
    this.#identity = identity;
    this.rng = world.rng.fork();
    this.#connection = this.#connect(target);
  }

  reconnect(target = 'relay') {
    this.stop();
    this.lost = undefined;
    this.#isNew = true;
    this.#connection = this.#connect(target);
  }

  stop() {
    this.#world.network.kill(this.#node);
    this.#connection.dispose();
    for (const inner of this.#inner.values()) inner.dispose();
    this.#inner.clear();
  }

  /** A burst of nonsense, connecting anew when thrown out, or for no reason. */
  act(targets: readonly string[]) {
    const { rng } = this;
    if (this.lost || rng.chance(0.05)) this.reconnect(rng.pick(targets));
    const quiet = rng.chance(0.5); // what it says makes no sense, and most of it costs it its connection
    if (this.#isNew || !quiet) this.hello();
    this.#isNew = false;
    if (rng.chance(0.5)) this.#playByTheBook();
    if (!quiet) for (let n = rng.int(5); n > 0; n--) this.send(this.invent());
    if (rng.chance(0.5)) this.sendDatagram();
    for (const inner of this.#inner.values())
      for (let n = rng.int(3); n > 0; n--) inner.send(this.#inventInner());
  }

  hello() {
    this.send(hello());
  }

  send(message: ControlMessage) {
    this.#connection.send(encodeControlMessage(message));
  }

  /** A handshake of its own on a relay id that may be anybody's. */
  sendDatagram() {
    const connection = `guess#${this.#world.nextKey()}`;
    this.#connection.sendDatagram(this.rng.int(8), {
      connection,
      frame: { kind: 'hi', identity: this.#identity },
    });
  }

  invent(): ControlMessage {
    return invent(this.#world, this.rng, this.#identity);
  }

  /** For sessions to abuse afterwards. */
  #playByTheBook() {
    const { everyService: services } = this.#world.plane;
    if (this.#identity.role === 'agent') {
      const requestId = 1 + this.rng.int(100);
      return this.send({
        type: 'openSession',
        requestId,
        service: this.rng.pick(services),
        excludeConnectors: [],
      });
    }
    this.send({ type: 'register', services, capacity: 0, labels: new Map() });
  }

  #inventInner(): InnerMessage {
    const { rng } = this;
    const { everyService, layout } = this.#world.plane;
    const flow = (rng.chance(0.5) ? 1 + rng.int(20) : this.#world.nextKey()) as FlowKey;
    const subject = subjectOf(rng.chance(0.5) ? shortName(this.#identity.id) : rng.pick(layout.agents));
    return rng.pick<InnerMessage>([
      { type: 'open', flow, service: rng.pick(everyService), subject },
      { type: 'open', flow, service: rng.pick(everyService), subject },
      { type: 'result', flow },
      { type: 'result', flow, error: 'internal' },
      { type: 'end', flow },
    ]);
  }

  #connect(target: string): FakeConnection {
    const { network } = this.#world;
    const id = `attacker#${this.#world.nextKey()}`;
    const node = `attacker-${id}`;
    this.#node = node;
    const connection: FakeConnection = this.#fake('client', id, {
      transmit: (packet) => network.send(node, target, packet),
      onMessage: (bytes) => this.#onMessage(bytes as Uint8Array),
      onDatagram: (relayId, packet) => this.#onDatagram(relayId, packet),
      onLost: (reason) => {
        this.lost = reason;
      },
    });
    network.start(node, (packet) => connection.receive(packet));
    return connection;
  }

  #onMessage(bytes: Uint8Array) {
    const message = this.#world.decode(bytes);
    if (message?.type === 'error' && message.error.requestId > 0) this.errors.push(message.error.code);
    if (message?.type !== 'sessionOffer') return;
    this.offers++;
    if (this.#identity.role === 'agent') this.#openInner(message);
    else this.#answer(message);
  }

  /** An offer that it got by the book: what can it do with a session of its own? */
  #openInner({ relayId }: SessionOffer) {
    if (this.rng.chance(0.3)) return;
    const id = `attacker-inner#${this.#world.nextKey()}`;
    const transmit = (packet: Packet) => this.#connection.sendDatagram(relayId, packet);
    this.#inner.get(relayId)?.dispose();
    this.#inner.set(relayId, this.#fake('client', id, { transmit, onMessage: () => {}, onLost: () => {} }));
  }

  /** As a connector: accepts, refuses, keeps silent, or answers for another relay id. */
  #answer({ sessionUid, relayId }: SessionOffer) {
    const other = (1 + this.rng.int(5)) as RelayId;
    const error = { code: 'internal', message: 'x', retryable: true, requestId: 0 } as const;
    const answer = { type: 'sessionAnswer', sessionUid, relayId } as const;
    const answers: (ControlMessage | undefined)[] = [
      ...[answer, answer, answer, { ...answer, relayId: other }],
      ...[{ ...answer, error }, undefined],
    ];
    const chosen = this.rng.pick(answers);
    if (chosen) this.send(chosen);
  }

  #onDatagram(relayId: number, packet: Packet) {
    const inner = this.#inner.get(relayId);
    if (inner && packet.frame.kind !== 'hi') return inner.receive(packet);
    if (this.#identity.role !== 'connector' || packet.frame.kind !== 'hi') return;
    inner?.dispose();
    const transmit = (out: Packet) => this.#connection.sendDatagram(relayId, out);
    const serving: FakeConnection = this.#fake('server', packet.connection, {
      transmit,
      onMessage: () => serving.send(this.#inventInner()),
      onLost: () => {},
    });
    this.#inner.set(relayId, serving);
    serving.receive(packet);
  }

  #fake(
    side: 'client' | 'server',
    id: string,
    on: Pick<
      ConstructorParameters<typeof FakeConnection>[0],
      'transmit' | 'onMessage' | 'onDatagram' | 'onLost'
    >,
  ): FakeConnection {
    const { time } = this.#world;
    return new FakeConnection({
      id,
      side,
      self: this.#identity,
      time,
      idleMs: 12_000,
      onOpen: () => {},
      ...on,
    });
  }
}
