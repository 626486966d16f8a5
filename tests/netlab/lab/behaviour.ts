// What a NAT does, found out from both sides as RFC 5780 §4 does. Nothing is concluded from silence alone: what
// must not arrive is sent first, and something that must arrive is sent behind it on the same way.
import type { Lab } from './lab.ts';
import type { ProbeSocket } from './probe.ts';

export type Dependence = 'endpoint-independent' | 'address-dependent' | 'address-and-port-dependent';

/** Behaviour towards UDP in the words of RFC 4787. */
export type Behaviour =
  | { readonly udp: 'blocked' }
  | {
      readonly udp: 'passes';
      readonly translated: boolean;
      readonly mapping: Dependence;
      readonly filtering: Dependence;
      /** Mappings of one socket get ports that do not follow each other. */
      readonly randomPorts: boolean;
      readonly hairpin: boolean;
    };

/** Two public servers with two ports each, on hosts of the internet. */
export interface Reflectors {
  readonly family: 'ipv4' | 'ipv6';
  readonly tcp: string;
  readonly at: readonly [first: Reflector, otherPort: Reflector, otherAddress: Reflector];
}

interface Reflector {
  readonly address: string;
  readonly socket: ProbeSocket;
}

const ports = [3478, 3479] as const;

/** Opens them on two hosts. */
export async function openReflectors(
  lab: Lab,
  hosts: readonly [string, string],
  family: 'ipv4' | 'ipv6' = 'ipv4',
): Promise<Reflectors> {
  const open = async (host: string, port: number): Promise<Reflector> => {
    const probe = await lab.probe(host);
    const address = lab.address(host, family);
    return { address: `${address} ${port}`, socket: await probe.udp({ address, port }) };
  };
  const [one, other] = hosts;
  const at = [await open(one, ports[0]), await open(one, ports[1]), await open(other, ports[0])] as const;
  const tcpPort = 3480 + (family === 'ipv6' ? 1 : 0);
  const listener = await lab.probe(one);
  await listener.ask('tcpListen', { port: tcpPort, address: lab.address(one, family) });
  return { family, tcp: `${lab.address(one, family)} ${tcpPort}`, at };
}

let marks = 0;
const mark = () => `mark ${++marks}`;
const barriers = 3;

/** Finds out how `host` is reached. @throws Error when not even TCP passes. */
export async function behaviourOf(lab: Lab, host: string, reflectors: Reflectors): Promise<Behaviour> {
  if (!(await passes(lab, host, reflectors))) return { udp: 'blocked' };
  const { outer, mapping, randomPorts } = await mappingOf(lab, host, reflectors);
  return {
    ...{ udp: 'passes', mapping, randomPorts },
    translated: outer.split(' ')[0] !== lab.address(host, reflectors.family),
    filtering: await filteringOf(lab, host, reflectors),
    hairpin: await hairpinOf(lab, host, reflectors),
  };
}

/** UDP is sent, then TCP: what was not there before TCP had been there and back was dropped. */
async function passes(lab: Lab, host: string, { at, tcp, family }: Reflectors): Promise<boolean> {
  const probe = await lab.probe(host);
  const socket = await open(lab, host, family);
  const text = mark();
  for (let i = 0; i < barriers; i++) {
    await socket.send(at[0].address, text);
    await probe.ask('tcpConnect', { to: tcp });
  }
  // The answer of the reflector's own probe comes behind its events.
  const server = at[0].socket;
  await server.send(server === at[0].socket ? at[1].address : at[0].address, 'flush');
  return server.count(text) > 0;
}

/** Where `socket` is seen by a reflector. */
async function seenBy(reflector: Reflector, socket: ProbeSocket): Promise<string> {
  const text = mark();
  await socket.send(reflector.address, text);
  return reflector.socket.from(text);
}

async function mappingOf(lab: Lab, host: string, { at, family }: Reflectors) {
  const socket = await open(lab, host, family);
  const seen = [
    await seenBy(at[0], socket),
    await seenBy(at[1], socket),
    await seenBy(at[2], socket),
  ] as const;
  const [first, otherPort, otherAddress] = seen;
  let mapping: Dependence = 'endpoint-independent';
  if (first !== otherPort) mapping = 'address-and-port-dependent';
  else if (first !== otherAddress) mapping = 'address-dependent';
  const numbers = seen.map((address) => Number(address.split(' ')[1]));
  const steps = numbers.slice(1).map((port, i) => Math.abs(port - (numbers[i] ?? 0)));
  return { outer: first, mapping, randomPorts: steps.every((step) => step > 2) };
}

/** The host has sent to one reflector alone; which of the three may answer? */
async function filteringOf(lab: Lab, host: string, { at, family }: Reflectors): Promise<Dependence> {
  const socket = await open(lab, host, family);
  const outer = await seenBy(at[0], socket);
  const [otherPort, otherAddress] = [mark(), mark()];
  for (let i = 0; i < barriers; i++) {
    await at[1].socket.send(outer, otherPort);
    await at[2].socket.send(outer, otherAddress);
    const behind = mark();
    await at[0].socket.send(outer, behind);
    await socket.from(behind);
  }
  if (socket.count(otherAddress) > 0) return 'endpoint-independent';
  return socket.count(otherPort) > 0 ? 'address-dependent' : 'address-and-port-dependent';
}

/** Two sockets of the host know each other's outer address; do they reach each other by it? */
async function hairpinOf(lab: Lab, host: string, { at, family }: Reflectors): Promise<boolean> {
  const [a, b] = [await open(lab, host, family), await open(lab, host, family)];
  const [outerA, outerB] = [await seenBy(at[0], a), await seenBy(at[0], b)];
  const text = mark();
  for (let i = 0; i < barriers; i++) {
    await b.send(outerA, mark());
    await a.send(outerB, text);
    const behind = mark();
    await seenBy(at[0], a);
    await at[0].socket.send(outerB, behind);
    await b.from(behind);
  }
  return b.count(text) > 0;
}

async function open(lab: Lab, host: string, family: 'ipv4' | 'ipv6'): Promise<ProbeSocket> {
  const probe = await lab.probe(host);
  return probe.udp({ address: family === 'ipv6' ? '::' : '0.0.0.0' });
}
