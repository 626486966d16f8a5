import { type Conditions, PERFECT, Rng, SimNetwork, VirtualTime } from '@ztna/sim';
import { type ControlMessage, decodeControlMessage, type ServiceName, type SubjectName } from '@ztna/wire';
import type { CountOutput, EventOutput, FlowKey } from '../../src/types.ts';
import { AgentNode } from './agent-node.ts';
import { Attacker } from './attacker.ts';
import { ConnectorNode } from './connector-node.ts';
import { ControlPlane, type Layout } from './control-plane.ts';
import type { Packet } from './fake-quic.ts';
import { HostileIntermediate } from './hostile-intermediate.ts';
import { IntermediateNode } from './intermediate-node.ts';
import { Model } from './model.ts';
import { agentId, identityOf } from './names.ts';

/** What travels on inner connections. */
export type InnerMessage =
  | {
      readonly type: 'open';
      readonly flow: FlowKey;
      readonly service: ServiceName;
      readonly subject: SubjectName;
    }
  | { readonly type: 'result'; readonly flow: FlowKey; readonly error?: string }
  | { readonly type: 'end'; readonly flow: FlowKey };

/** A fleet in virtual time: nodes by name, dead ones absent. */
export class World {
  readonly start = 1_800_000_000_000;
  readonly time = new VirtualTime(this.start);
  readonly rng: Rng;
  readonly network: SimNetwork<Packet>;
  readonly plane: ControlPlane;
  readonly model: Model;
  readonly agents = new Map<string, AgentNode>();
  readonly connectors = new Map<string, ConnectorNode>();
  readonly intermediates = new Map<string, IntermediateNode>();
  /** Agents and connectors of `layout.hostile`. */
  readonly attackers: Attacker[] = [];
  /** Intermediates of `layout.hostile`. */
  readonly hostileIntermediates = new Map<string, HostileIntermediate>();
  readonly counters = new Map<string, number>();
  controlMessages = 0;
  /** Called after each control message was delivered, for faults at an exact moment. */
  afterControlMessage: ((count: number) => void) | undefined;
  #lastKey = 0;
  #lastInstance = 0n;

  constructor(seed: number, layout: Layout, allowed: readonly (readonly [agent: string, service: string])[]) {
    this.rng = new Rng(seed);
    this.network = new SimNetwork(this.time, this.rng.fork());
    this.plane = new ControlPlane(layout);
    for (const [agent, name] of allowed) this.plane.allowed.add(`${agent}|${name}`);
    this.model = new Model(this);
  }

  nextKey(): number {
    return ++this.#lastKey;
  }

  nextInstance(): bigint {
    return ++this.#lastInstance;
  }

  get names(): string[] {
    const { agents, intermediates, connectors } = this.plane.layout;
    return [...intermediates, ...Object.keys(connectors), ...agents];
  }

  isAlive(name: string): boolean {
    return this.agents.has(name) || this.connectors.has(name) || this.intermediates.has(name);
  }

  startNode(name: string) {
    const { agents, intermediates } = this.plane.layout;
    if (this.isAlive(name)) return;
    if (intermediates.includes(name))
      this.intermediates.set(name, new IntermediateNode(this, name, this.plane.forIntermediate()));
    else if (agents.includes(name))
      this.agents.set(name, new AgentNode(this, name, this.plane.forAgent(name)));
    else this.connectors.set(name, new ConnectorNode(this, name, this.plane.forConnector(name)));
  }

  startAll() {
    for (const name of this.names) this.startNode(name);
  }

  startHostile() {
    const { hostile, intermediates } = this.plane.layout;
    for (const name of hostile?.intermediates ?? []) this.restartHostileIntermediate(name);
    const identities = [
      ...(hostile?.agents ?? []).map((name) => identityOf('agent', name)),
      ...Object.keys(hostile?.connectors ?? {}).map((name) => identityOf('connector', name)),
    ];
    for (const target of [intermediates[0], hostile?.intermediates[0]])
      for (const identity of identities) this.attackers.push(new Attacker(this, identity, target));
  }

  restartHostileIntermediate(name: string) {
    this.hostileIntermediates.get(name)?.stop();
    this.hostileIntermediates.set(name, new HostileIntermediate(this, name));
  }

  stopHostileIntermediates() {
    for (const node of this.hostileIntermediates.values()) node.stop();
    this.hostileIntermediates.clear();
  }

  /** kill -9 */
  kill(name: string) {
    for (const nodes of [this.agents, this.connectors, this.intermediates]) {
      nodes.get(name)?.kill();
      nodes.delete(name);
    }
  }

  /** Changes the policy; every component hears of it within `withinMs`, each at its own moment. */
  publish(withinMs: number) {
    this.plane.revision++;
    const deliver = (apply: () => void) =>
      withinMs === 0 ? apply() : this.time.after(this.rng.next() * withinMs, apply);
    for (const name of this.plane.layout.intermediates) {
      deliver(() => this.intermediates.get(name)?.applySnapshot(this.plane.forIntermediate()));
    }
    for (const name of Object.keys(this.plane.layout.connectors)) {
      deliver(() => this.connectors.get(name)?.applySnapshot(this.plane.forConnector(name)));
    }
    for (const name of this.plane.layout.agents)
      deliver(() => this.agents.get(name)?.applySnapshot(this.plane.forAgent(name)));
  }

  revoke(agent: string, withinMs: number) {
    this.plane.revoked.add(agentId(agent));
    this.publish(withinMs);
  }

  set conditions(conditions: Partial<Conditions>) {
    this.network.conditions = { ...PERFECT, ...conditions };
  }

  decode(bytes: Uint8Array): ControlMessage | undefined {
    const decoded = decodeControlMessage(bytes);
    return decoded.ok && decoded.value.type !== 'unknown' ? decoded.value : undefined;
  }

  onControlMessage(_receiver: string) {
    const count = ++this.controlMessages;
    const { afterControlMessage } = this;
    if (afterControlMessage) this.time.after(0, () => afterControlMessage(count));
  }

  count(output: CountOutput | EventOutput) {
    const key = output.type === 'event' ? output.event : `${output.metric}/${output.cause}`;
    this.counters.set(key, (this.counters.get(key) ?? 0) + 1);
  }

  /** An application that tries again until the flow is open. False when that took longer than `ms`. */
  reaches(agent: string, name: string, ms: number): boolean {
    const end = this.time.now + ms;
    while (this.time.now < end) {
      const node = this.agents.get(agent);
      if (!node) return false;
      const flow = node.want(name);
      const settled = () =>
        ['open', 'closed', 'failed'].includes((node.flows.get(flow) ?? 'closed').split(':')[0] ?? '');
      this.time.runWhileNot(settled, end - this.time.now);
      if (node.flows.get(flow) === 'open') return true;
      node.closeFlow(flow);
      this.time.run(200);
    }
    return false;
  }
}
