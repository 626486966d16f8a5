import type { RelayId, SessionUid } from '@ztna/wire';
import { AgentCore } from '../../src/agent/core.ts';
import type { AgentInput, AgentOutput } from '../../src/agent/io.ts';
import type { AgentSnapshot } from '../../src/snapshot.ts';
import type { ConnectionKey, FlowKey, PeerIdentity } from '../../src/types.ts';
import { type Driven, drive } from './drive.ts';
import { FakeConnection } from './fake-quic.ts';
import { identityOf, service, TENANT } from './names.ts';
import { OuterLinks } from './outer-links.ts';
import type { InnerMessage, World } from './world.ts';

interface Inner {
  readonly connection: FakeConnection;
  path: { readonly connection: ConnectionKey; readonly relayId: RelayId };
  readonly flows: Set<FlowKey>;
  /** Who completed the handshake. */
  peer: PeerIdentity | undefined;
}

/** What became of a flow, as the application sees it. */
export type FlowState = 'wanted' | 'sent' | 'open' | 'closed' | `failed: ${string}`;

/** A process of the agent with its applications. */
export class AgentNode {
  readonly name: string;
  readonly core: AgentCore;
  readonly flows = new Map<FlowKey, FlowState>();
  stopped = false;
  snapshot: AgentSnapshot;
  readonly #world: World;
  readonly #driven: Driven<AgentInput>;
  readonly #outer: OuterLinks;
  readonly #inner = new Map<SessionUid, Inner>();

  constructor(world: World, name: string, snapshot: AgentSnapshot) {
    this.#world = world;
    this.name = name;
    this.snapshot = snapshot;
    const identity = identityOf('agent', name);
    const rng = world.rng.fork();
    this.core = new AgentCore(
      {
        identity,
        local: { tenant: TENANT, instance: world.nextInstance(), software: 'sim', features: [] },
        random: () => rng.next(),
        verifyGrant: world.plane.verify,
      },
      { idleSessionMs: 40_000 },
    );
    this.#outer = new OuterLinks(
      world,
      name,
      identity,
      (i) => this.#driven.input(i),
      (connection, relayId, packet) => {
        for (const inner of this.#inner.values()) {
          if (inner.path.connection === connection && inner.path.relayId === relayId)
            inner.connection.receive(packet);
        }
      },
    );
    this.#driven = drive(
      this.core,
      world.time,
      (o) => this.#carryOut(o),
      () => world.model.onAgent(this),
    );
    this.applySnapshot(snapshot);
  }

  applySnapshot(snapshot: AgentSnapshot) {
    this.snapshot = snapshot;
    this.#driven.input({ type: 'snapshot', snapshot });
  }

  /** Who is at the other end of its sessions. */
  get connectors(): PeerIdentity[] {
    return [...this.#inner.values()].flatMap(({ peer }) => (peer ? [peer] : []));
  }

  /** An application connects. */
  want(name: string): FlowKey {
    const flow = this.#world.nextKey() as FlowKey;
    this.flows.set(flow, 'wanted');
    this.#driven.input({ type: 'flow-requested', flow, service: service(name), transport: 'tcp', port: 80 });
    return flow;
  }

  /** The application closes. */
  closeFlow(flow: FlowKey) {
    for (const inner of this.#inner.values()) {
      if (inner.flows.delete(flow)) inner.connection.send({ type: 'end', flow } satisfies InnerMessage);
    }
    this.flows.delete(flow);
    this.#driven.input({ type: 'flow-closed', flow });
  }

  stop() {
    this.stopped = true;
    this.#driven.input({ type: 'stop', reason: 'test' });
  }

  /** Its address changes; connections go on. */
  migrate() {
    this.#outer.migrate();
  }

  kill() {
    this.#driven.stop();
    this.#outer.kill();
    for (const inner of this.#inner.values()) inner.connection.dispose();
  }

  #carryOut(output: AgentOutput) {
    switch (output.type) {
      case 'connect':
      case 'send':
      case 'disconnect':
        return this.#outer.carryOut(output);
      case 'open-inner':
        return this.#openInner(output.session, output);
      case 'accept-inner':
        return;
      case 'close-inner': {
        const inner = this.#inner.get(output.session);
        inner?.connection.close(output.error.code);
        return this.#forgetInner(output.session);
      }
      case 'rebind-path': {
        const inner = this.#inner.get(output.session);
        if (inner) inner.path = output;
        return;
      }
      case 'flow-ready': {
        const inner = this.#inner.get(output.session);
        if (!inner)
          return this.#world.model.fail(
            `flow ${output.flow} is ready on a session that the shell does not have`,
          );
        inner.flows.add(output.flow);
        this.#world.model.onFlowReady(this, output.service, output.subject, inner.peer);
        this.flows.set(output.flow, 'sent');
        const { flow, service: name, subject } = output;
        return inner.connection.send({ type: 'open', flow, service: name, subject } satisfies InnerMessage);
      }
      case 'flow-failed':
        this.flows.set(output.flow, `failed: ${output.error.code}`);
        return;
      case 'path-policy':
      case 'cut-flow':
        return;
      default:
        return this.#world.count(output);
    }
  }

  #openInner(session: SessionUid, path: Inner['path']) {
    const { time } = this.#world;
    if (this.#inner.has(session)) this.#world.model.fail(`${this.name} has session ${session} already`);
    const inner: Inner = {
      path,
      flows: new Set(),
      peer: undefined,
      connection: new FakeConnection({
        id: `inner-${session}#${this.#world.nextKey()}`,
        side: 'client',
        self: identityOf('agent', this.name),
        time,
        idleMs: 120_000,
        transmit: (packet) => this.#outer.sendDatagram(this.#inner.get(session)?.path ?? path, packet),
        onOpen: (identity) => {
          inner.peer = identity;
          this.#driven.input({ type: 'inner-connected', session, identity });
        },
        onMessage: (message) => this.#onInner(session, message as InnerMessage),
        onLost: (reason) => {
          this.#forgetInner(session);
          this.#driven.input({ type: 'inner-lost', session, reason });
        },
      }),
    };
    this.#inner.set(session, inner);
  }

  #forgetInner(session: SessionUid) {
    const flows = this.#inner.get(session)?.flows ?? [];
    this.#inner.delete(session);
    for (const flow of flows) {
      if (!this.flows.get(flow)?.startsWith('failed')) this.flows.set(flow, 'closed');
      this.#driven.input({ type: 'flow-closed', flow });
    }
  }

  #onInner(session: SessionUid, message: InnerMessage) {
    if (message.type === 'open') return;
    if (message.type === 'result' && message.error === undefined) {
      if (this.flows.has(message.flow)) this.flows.set(message.flow, 'open');
      return;
    }
    this.#inner.get(session)?.flows.delete(message.flow);
    if (this.flows.has(message.flow))
      this.flows.set(message.flow, message.type === 'end' ? 'closed' : `failed: ${message.error}`);
    this.#driven.input({ type: 'flow-closed', flow: message.flow });
  }
}
