import type { RelayId, SessionUid } from '@ztna/wire';
import { ConnectorCore } from '../../src/connector/core.ts';
import type { ConnectorInput, ConnectorOutput } from '../../src/connector/io.ts';
import type { ConnectorSnapshot } from '../../src/snapshot.ts';
import type { ConnectionKey, FlowKey, PeerIdentity } from '../../src/types.ts';
import { type Driven, drive } from './drive.ts';
import { FakeConnection, type Packet, resetFor } from './fake-quic.ts';
import { identityOf, service, TENANT } from './names.ts';
import { OuterLinks } from './outer-links.ts';
import type { InnerMessage, World } from './world.ts';

interface Inner {
  /** Connection ids are secret: packets of another one are not of this connection. */
  id: string;
  connection: FakeConnection | undefined;
  identity: PeerIdentity | undefined;
  path: { readonly connection: ConnectionKey; readonly relayId: RelayId };
}

/** A flow that the backend answered. */
export interface OpenFlow {
  readonly agent: PeerIdentity;
  readonly service: string;
  readonly subject: string;
  readonly session: SessionUid;
  /** The agent's number of it. */
  readonly remote: FlowKey;
  /** Host that was dialled. */
  backend: string | undefined;
  open: boolean;
}

/** A process of the connector with its backends, which always answer. */
export class ConnectorNode {
  readonly name: string;
  readonly core: ConnectorCore;
  readonly flows = new Map<FlowKey, OpenFlow>();
  snapshot: ConnectorSnapshot;
  records = 0;
  /** FlowOpens that the core was asked about. */
  asked = 0;
  stopped = false;
  readonly #world: World;
  readonly #driven: Driven<ConnectorInput>;
  readonly #outer: OuterLinks;
  readonly #inner = new Map<SessionUid, Inner>();

  constructor(world: World, name: string, snapshot: ConnectorSnapshot) {
    this.#world = world;
    this.name = name;
    this.snapshot = snapshot;
    const identity = identityOf('connector', name);
    const rng = world.rng.fork();
    this.core = new ConnectorCore({
      identity,
      local: { tenant: TENANT, instance: world.nextInstance(), software: 'sim', features: [] },
      random: () => rng.next(),
      verifyGrant: world.plane.verify,
    });
    this.#outer = new OuterLinks(
      world,
      name,
      identity,
      (i) => this.#driven.input(i),
      (connection, relayId, packet) => this.#onDatagram(connection, relayId, packet),
    );
    this.#driven = drive(
      this.core,
      world.time,
      (o) => this.#carryOut(o),
      () => world.model.onConnector(this),
    );
    this.applySnapshot(snapshot);
  }

  applySnapshot(snapshot: ConnectorSnapshot) {
    this.snapshot = snapshot;
    this.#driven.input({ type: 'snapshot', snapshot });
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
    for (const inner of this.#inner.values()) inner.connection?.dispose();
    this.flows.clear();
  }

  #carryOut(output: ConnectorOutput) {
    switch (output.type) {
      case 'connect':
      case 'send':
      case 'disconnect':
        return this.#outer.carryOut(output);
      case 'add-path':
        if (this.#inner.has(output.session))
          this.#world.model.fail(`${this.name} has session ${output.session} already`);
        for (const [session, inner] of this.#inner) {
          const clash = inner.path.connection === output.connection && inner.path.relayId === output.relayId;
          if (clash)
            this.#world.model.fail(
              `sessions ${session} and ${output.session} share relay id ${output.relayId}`,
            );
        }
        this.#inner.set(output.session, { id: '', connection: undefined, identity: undefined, path: output });
        return;
      case 'rebind-path': {
        const inner = this.#inner.get(output.session);
        if (inner) inner.path = output;
        return;
      }
      case 'accept-inner':
        return;
      case 'close-inner':
        this.#inner.get(output.session)?.connection?.close(output.error.code);
        this.#inner.delete(output.session);
        return;
      case 'dial': {
        const dialled = this.flows.get(output.flow);
        if (dialled) dialled.backend = output.target.backend.host;
        this.#world.time.after(5, () => this.#driven.input({ type: 'dial-succeeded', flow: output.flow }));
        return;
      }
      case 'answer-flow': {
        const flow = this.flows.get(output.flow);
        if (!flow) return this.#world.model.fail('answer for a flow that the shell does not have');
        flow.open = true;
        this.#world.model.onFlowOpen(this, flow);
        return this.#send(flow, { type: 'result', flow: flow.remote });
      }
      case 'refuse-flow':
      case 'cut-flow':
        return this.#endFlow(output.flow, output.error.code, output.type === 'cut-flow');
      case 'record':
        this.records++;
        return;
      case 'path-policy':
        return;
      default:
        return this.#world.count(output);
    }
  }

  #endFlow(key: FlowKey, error: string, cut: boolean) {
    const flow = this.flows.get(key);
    this.flows.delete(key);
    if (flow) this.#send(flow, { type: 'result', flow: flow.remote, error });
    if (cut) this.#driven.input({ type: 'flow-closed', flow: key, sent: 1, received: 1, reason: 'cut' });
  }

  #send(flow: OpenFlow, message: InnerMessage) {
    this.#inner.get(flow.session)?.connection?.send(message);
  }

  #onDatagram(connection: ConnectionKey, relayId: RelayId, packet: Packet) {
    for (const [session, inner] of this.#inner) {
      if (inner.path.connection !== connection || inner.path.relayId !== relayId) continue;
      if (!inner.connection && packet.frame.kind === 'hi') {
        inner.id = packet.connection;
        inner.connection = this.#acceptInner(session, packet.connection);
      }
      if (inner.connection && inner.id === packet.connection) return inner.connection.receive(packet);
    }
    const reset = resetFor(packet);
    if (reset) this.#outer.sendDatagram({ connection, relayId }, reset);
  }

  #acceptInner(session: SessionUid, id: string): FakeConnection {
    return new FakeConnection({
      id,
      side: 'server',
      self: identityOf('connector', this.name),
      time: this.#world.time,
      idleMs: 120_000,
      transmit: (packet) => this.#outer.sendDatagram(this.#inner.get(session)?.path, packet),
      onOpen: (identity) => {
        const inner = this.#inner.get(session);
        if (inner) inner.identity = identity;
        this.#driven.input({ type: 'inner-connected', session, identity });
      },
      onMessage: (message) => this.#onInner(session, message as InnerMessage),
      onLost: (reason) => {
        this.#inner.delete(session);
        this.#driven.input({ type: 'inner-lost', session, reason });
      },
    });
  }

  #onInner(session: SessionUid, message: InnerMessage) {
    const agent = this.#inner.get(session)?.identity;
    if (!agent) return;
    if (message.type === 'end') {
      for (const [key, flow] of this.flows) {
        if (flow.session !== session || flow.remote !== message.flow) continue;
        this.flows.delete(key);
        this.#driven.input({ type: 'flow-closed', flow: key, sent: 1, received: 1, reason: 'finished' });
      }
      return;
    }
    if (message.type !== 'open') return;
    const key = this.#world.nextKey() as FlowKey;
    const { service: name, subject, flow: remote } = message;
    this.flows.set(key, { agent, service: name, subject, session, remote, backend: undefined, open: false });
    this.asked++;
    const request = {
      service: service(message.service),
      transport: 'tcp' as const,
      port: 80,
      subject: message.subject,
      traceId: '',
    };
    this.#driven.input({ type: 'flow-opened', session, flow: key, ...request });
  }
}
