import type { Grant, ServiceName, SessionUid } from '@ztna/wire';
import type { ForwardingRule } from '../../src/intermediate/io.ts';
import type { PeerIdentity } from '../../src/types.ts';
import type { AgentNode } from './agent-node.ts';
import type { ConnectorNode, OpenFlow } from './connector-node.ts';
import { GRANT_VALIDITY_MS, type IntermediateNode } from './intermediate-node.ts';
import { identityOf, shortName, subjectOf } from './names.ts';
import type { World } from './world.ts';

/** Says at every moment what must not be. Knows the policy and the signed grants, nothing of the cores' insides. */
export class Model {
  readonly failures: string[] = [];
  flowsOpened = 0;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  fail(what: string) {
    if (this.failures.length < 10)
      this.failures.push(`${this.#world.time.now - this.#world.start} ms: ${what}`);
  }

  /** No rule between peers without a live granted session of exactly these two. */
  onInstall(node: IntermediateNode, rule: ForwardingRule) {
    const from = node.peers.get(rule.from)?.identity;
    const to = node.peers.get(rule.to)?.identity;
    if (!from || !to) return this.fail(`${node.name} forwards from or to a peer that is gone`);
    if (node.rules.has(`${rule.from}:${rule.fromRelayId}`)) this.fail(`${node.name} uses a relay id twice`);
    const granted = this.#isGranted(node, rule.session, from, to);
    if (!granted) this.fail(`${node.name} forwards between ${from.id} and ${to.id} without a grant`);
  }

  /** What an intermediate signs is what its policy says. */
  onGrant(node: IntermediateNode, grant: Grant) {
    const { content } = node.snapshot;
    const what = `${node.name} grants ${shortName(grant.agent)} ${grant.services}`;
    if (grant.agentKey !== identityOf('agent', shortName(grant.agent)).keyThumbprint)
      this.fail(`${what} with another key`);
    if (content.revoked.includes(grant.connector)) this.fail(`${what} at a connector that was revoked`);
    if (grant.notAfterMs > this.#world.time.now + GRANT_VALIDITY_MS) this.fail(`${what} for too long`);
    if (grant.subject !== subjectOf(shortName(grant.agent))) this.fail(`${what} as ${grant.subject}`);
    for (const name of grant.services) {
      const served = content.services.find((entry) => entry.name === name)?.connectors;
      if (!served?.includes(grant.connector))
        this.fail(`${what} at ${grant.connector}, which does not serve it`);
      if (!this.#permits(content, grant.agent, name)) this.fail(`${what} against its policy`);
    }
  }

  /** Before an agent sends anything of a flow, it has seen a certificate that its own snapshot names. */
  onFlowReady(node: AgentNode, name: ServiceName, subject: string, peer: PeerIdentity | undefined) {
    const entry = node.snapshot.content.services.find((service) => service.name === name);
    if (!peer || !entry?.connectors.includes(peer.id))
      this.fail(
        `${node.name} opens ${name} at ${peer?.id ?? 'nobody'}, which its snapshot does not name for it`,
      );
    if (subject !== node.snapshot.content.subject) this.fail(`${node.name} opens ${name} as ${subject}`);
  }

  onRemove(node: IntermediateNode, rule: ForwardingRule) {
    if (!node.rules.has(`${rule.from}:${rule.fromRelayId}`))
      this.fail(`${node.name} removes a rule that is not there`);
  }

  onIntermediate(node: IntermediateNode) {
    for (const rule of node.rules.values()) {
      if (!node.peers.has(rule.from) || !node.peers.has(rule.to))
        this.fail(`${node.name} keeps a rule of a peer that is gone`);
      const [from, to] = [node.peers.get(rule.from)?.identity, node.peers.get(rule.to)?.identity];
      if (from && to && !this.#isGranted(node, rule.session, from, to)) {
        this.fail(`${node.name} still forwards between ${from.id} and ${to.id}`);
      }
    }
    const { sessions, offers, timers, peers } = node.core.stats();
    if (sessions > 400 || offers > 100 || timers > 2 * sessions + offers + peers + 10) {
      this.fail(`${node.name} keeps too much: ${JSON.stringify(node.core.stats())}`);
    }
  }

  onAgent(node: AgentNode) {
    const { revoked, services } = node.snapshot.content;
    for (const { id } of node.connectors) {
      if (revoked.includes(id)) this.fail(`${node.name} keeps a session with ${id}, which was revoked`);
      if (!services.some(({ connectors }) => connectors.includes(id)))
        this.fail(`${node.name} keeps a session with ${id}, which serves it nothing any more`);
    }
    const { sessions, requests, timers, queuedFlows } = node.core.stats();
    if (sessions > 16 || requests > 64 || timers > 6 * sessions + requests + 2 * queuedFlows + 8) {
      this.fail(`${node.name} keeps too much: ${JSON.stringify(node.core.stats())}`);
    }
  }

  /** No flow is open that the connector's own policy of this moment denies. */
  onConnector(node: ConnectorNode) {
    for (const flow of node.flows.values()) if (flow.open) this.#judge(node, flow);
    const { sessions, flows, timers } = node.core.stats();
    if (node.records + flows !== node.asked)
      this.fail(`${node.name}: ${node.asked} flows asked for, ${flows} there, ${node.records} recorded`);
    if (sessions > 200 || timers > 2 * sessions + flows + 8)
      this.fail(`${node.name} keeps too much: ${JSON.stringify(node.core.stats())}`);
  }

  onFlowOpen(node: ConnectorNode, flow: OpenFlow) {
    this.flowsOpened++;
    this.#judge(node, flow);
  }

  #judge(node: ConnectorNode, flow: OpenFlow) {
    const served = this.#world.plane.layout.connectors[node.name]?.includes(flow.service);
    if (!served) this.fail(`${node.name} opened ${flow.service}, which is not its own`);
    if (flow.subject !== subjectOf(shortName(flow.agent.id)))
      this.fail(`${node.name} lets ${shortName(flow.agent.id)} be ${flow.subject}`);
    const target = node.snapshot.content.services.find(({ name }) => name === flow.service)?.targets[0];
    if (flow.backend !== target?.backend.host)
      this.fail(`${node.name} lets ${flow.service} go to ${flow.backend}, which is its backend no more`);
    if (!this.#permits(node.snapshot.content, flow.agent.id, flow.service)) {
      this.fail(`${node.name} lets ${shortName(flow.agent.id)} reach ${flow.service} against its policy`);
    }
  }

  /** True when a grant for exactly these two was signed, is valid, and the node's own policy still agrees. */
  #isGranted(node: IntermediateNode, session: SessionUid, a: PeerIdentity, b: PeerIdentity): boolean {
    const [agent, connector] = a.role === 'agent' ? [a, b] : [b, a];
    if (node.snapshot.content.revoked.includes(connector.id)) return false;
    return this.#world.plane
      .grantsOf(session)
      .some(
        (grant) =>
          grant.agent === agent.id &&
          grant.agentKey === agent.keyThumbprint &&
          grant.connector === connector.id &&
          grant.notAfterMs > this.#world.time.now &&
          grant.services.some((name) => this.#permits(node.snapshot.content, grant.agent, name)),
      );
  }

  #permits(
    content: {
      readonly revoked: readonly string[];
      readonly rules: ConnectorNode['snapshot']['content']['rules'];
    },
    agent: OpenFlow['agent']['id'],
    name: string,
  ): boolean {
    if (content.revoked.includes(agent)) return false;
    return content.rules.some(
      (rule) =>
        rule.services.some((s) => s === name) &&
        rule.principals.some((principal) => principal.agent === agent),
    );
  }
}
