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

/** Port 0 and both transports: so many ports are tried until one is free for both. */
const ATTEMPTS = 20;

/** Opens all local ports, or none. Throws RuntimeFault `listen-failed`. `setting` names where the addresses came from. */
export function startForwards(agent: Agent, forwards: readonly Forward[], setting: string): Forwards {
  using starting = new DisposableStack();
  const open = together(forwards).flatMap((group) => openTogether(agent, group, setting, starting));
  const started = starting.move();
  return { open, [Symbol.dispose]: () => started.dispose() };
}

/** What takes the same port: with port 0, UDP takes the one that TCP of the same service got. */
function together(forwards: readonly Forward[]): Forward[][] {
  const groups: Forward[][] = [];
  for (const forward of forwards) {
    const last = groups.at(-1);
    const [first] = last ?? [];
    const isPair = first?.service === forward.service && first.port === forward.port;
    if (isPair && forward.listen.port === 0) last?.push(forward);
    else groups.push([forward]);
  }
  return groups;
}

function openTogether(
  agent: Agent,
  group: readonly Forward[],
  setting: string,
  opened: DisposableStack,
): OpenForward[] {
  // Ports that are free for one transport alone are kept until one is found that is free for both: each try has another.
  using vain = new DisposableStack();
  for (let attempt = 1; ; attempt++) {
    using trying = new DisposableStack();
    const open: OpenForward[] = [];
    try {
      for (const forward of group) open.push(openOne(agent, forward, open[0], setting, trying));
      opened.use(trying.move());
      return open;
    } catch (error) {
      if (open.length === 0 || attempt === ATTEMPTS) throw error;
      vain.use(trying.move());
    }
  }
}

function openOne(
  agent: Agent,
  forward: Forward,
  first: OpenForward | undefined,
  setting: string,
  opened: DisposableStack,
): OpenForward {
  const { service, transport, port } = forward;
  const address = (first && parseAddress(first.listen)) ?? forward.listen;
  const listener = listen(agent, forward, address, setting);
  const shown = { kind: 'forward', listen: listener.address, transport, service, port } as const;
  agent.listeners.add(shown);
  opened.defer(() => {
    agent.listeners.delete(shown);
    listener.close();
  });
  return { service, transport, port, listen: listener.address };
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
