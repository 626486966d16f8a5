import type { TcpSocket, UdpPeer } from '@ztna/quic';
import { type Address, parseAddress } from '@ztna/runtime';
import type { ServiceName, TransportProtocol } from '@ztna/wire';
import type { Agent } from '../agent.ts';
import { joinTcp } from '../flows/tcp.ts';
import { joinUdp } from '../flows/udp.ts';
import { asFlowError, listenLocal } from '../local.ts';
import type { Target } from '../services.ts';
import type { Forward } from './spec.ts';

/** A local port that is open. */
export interface OpenForward {
  readonly service: ServiceName;
  readonly transport: TransportProtocol;
  /** Port of the service. */
  readonly port: number;
  /** Bound local address. */
  readonly listen: string;
}

export interface Forwards extends Disposable {
  readonly open: readonly OpenForward[];
}

/** Opens all local ports, or none. Throws RuntimeFault `listen-failed`. `setting` names where the addresses came from. */
export function startForwards(agent: Agent, forwards: readonly Forward[], setting: string): Forwards {
  using starting = new DisposableStack();
  const open: OpenForward[] = [];
  for (const forward of forwards) {
    const { service, transport, port } = forward;
    const listener = listen(agent, forward, sibling(open, forward), setting);
    const shown = { kind: 'forward', listen: listener.address, transport, service, port } as const;
    agent.listeners.add(shown);
    starting.defer(() => {
      agent.listeners.delete(shown);
      listener.close();
    });
    open.push({ service, transport, port, listen: listener.address });
  }
  const started = starting.move();
  return { open, [Symbol.dispose]: () => started.dispose() };
}

/** With port 0, UDP takes the port that TCP of the same service got. */
function sibling(open: readonly OpenForward[], forward: Forward): Address {
  const last = open.at(-1);
  const isPair = last?.service === forward.service && last.port === forward.port;
  const bound = isPair && forward.listen.port === 0 ? parseAddress(last.listen) : undefined;
  return bound ?? forward.listen;
}

function listen(agent: Agent, target: Target, address: Address, setting: string) {
  const { endpoint, log } = agent;
  return listenLocal(address, setting, log, (text) =>
    target.transport === 'tcp'
      ? endpoint.listenTcp({ listen: text, onConnection: (socket) => void forwardTcp(agent, target, socket) })
      : endpoint.listenUdp({ listen: text, onPeer: (peer) => void forwardUdp(agent, target, peer) }),
  );
}

/** One local connection from its first byte to its end. A refusal reaches the program as a reset. */
export async function forwardTcp(agent: Agent, target: Target, socket: TcpSocket): Promise<void> {
  const { service, port } = target;
  const flow = await agent.openFlow(target).catch((error: unknown) => {
    socket.reset();
    return failed(agent, target, error);
  });
  if (!flow) return;
  try {
    const { sent, received, reason } = await joinTcp(flow, socket);
    agent.observer.add('tcp_flow_ended', reason);
    agent.log.debug({ event: 'flow.ended', service, port, sent, received, reason }, 'TCP flow ended');
  } catch (error) {
    failed(agent, target, error);
  } finally {
    flow.release();
  }
}

/** One local UDP program until it is silent for the idle timeout. */
export async function forwardUdp(agent: Agent, target: Target, peer: UdpPeer): Promise<void> {
  const flow = await openUdp(agent, target, peer);
  if (!flow) return;
  const reason = await flow.association.ended;
  flow.release();
  agent.observer.add('udp_flow_ended', reason);
  const { service, port } = target;
  agent.log.debug({ event: 'flow.ended', service, port, reason }, 'UDP flow ended');
}

/** Opens a flow for a local UDP peer and joins them; undefined, and the reason logged, when there is none to be had. */
export async function openUdp(agent: Agent, target: Target, peer: UdpPeer) {
  const flow = await agent.openFlow(target).catch((error: unknown) => {
    peer.reject();
    return failed(agent, target, error);
  });
  if (!flow) return undefined;
  try {
    await flow.result();
    return { association: joinUdp(flow, peer, agent.config.udpIdleTimeoutMs), release: flow.release };
  } catch (error) {
    peer.reject();
    flow.abandon();
    flow.release();
    return failed(agent, target, error);
  }
}

function failed(agent: Agent, { service, transport, port }: Target, error: unknown): undefined {
  const { code, message } = asFlowError(error);
  agent.observer.add('local_flow_failed', code);
  agent.log.warn({ event: 'flow.failed', service, transport, port, code, reason: message }, 'flow failed');
  return undefined;
}
