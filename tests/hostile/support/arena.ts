import { randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { type Agent, planForwards, startForwards } from '@ztna/agent';
import { dial, readExactly } from '../../e2e/support/net.ts';
import type { TestIdentity } from '../../e2e/support/pki.ts';
import { type Stack, startStack } from '../../e2e/support/stack.ts';
import { TestAgent } from '../../system/support/agent.ts';
import { type Backend, pour, startBackend } from './backend.ts';

const ANY = { host: '127.0.0.1', port: 0 };

/** Whoever takes part, beside `laptop` and `lab/c1` of the stack. */
const ENROLLED = { agents: ['mallory', 'eve'], connectors: ['lab/evil'] } as const;

/**
 * A whole system with a well-behaved agent whose flow is open the whole time, and enrolled peers that do not behave:
 * agent `mallory` may reach `echo` and `tar`, `eve` nothing, connector `lab/evil` serves `spare` alone.
 */
export interface Arena extends AsyncDisposable {
  readonly stack: Stack;
  /** Well-behaved; may reach everything but `secret`. */
  readonly agent: Agent;
  readonly mallory: TestIdentity;
  readonly eve: TestIdentity;
  readonly evil: TestIdentity;
  /** The intermediate's UDP address. */
  readonly target: string;
  /** The document in force, without trust domain and revision. */
  readonly document: object;
  /** Publishes the document with changes, and has it taken up. */
  publish(changes?: object): Promise<void>;
  /** Publishes it with a service more for each backend, by name, which `who` may use. */
  serve(who: object, backends: Readonly<Record<string, Backend>>): Promise<void>;
  /** An agent with the real core, for hostility on inner connections; stops with the arena. */
  agentOf(identity: TestIdentity): TestAgent;
  /** Throws unless the honest flow that began before the attack still answers, and a new one does too. */
  unharmed(): Promise<void>;
  /** Value of a metric of the intermediate or connector, summed over labels that hold `label`. */
  metric(of: 'intermediate' | 'connector', name: string, label?: string): Promise<number>;
  /** Begins to count; what it gives tells what the core has counted since, as `metric/cause`, without zeroes. */
  counting(of: 'intermediate' | 'connector'): Promise<() => Promise<Record<string, number>>>;
}

export interface ArenaOptions {
  readonly agent?: object;
  readonly connector?: object;
  readonly intermediate?: object;
  /** Called before the well-behaved agent starts. */
  readonly prepare?: (stack: Stack) => Promise<void>;
}

export async function startArena(options: ArenaOptions = {}): Promise<Arena> {
  await using starting = new AsyncDisposableStack();
  const metrics = { metrics: { listen: '127.0.0.1:0' } };
  const connector = { ...metrics, ...options.connector };
  const stack = starting.use(
    await startStack({
      intermediate: { ...metrics, ...options.intermediate },
      connector,
      ...(options.agent && { agent: options.agent }),
    }),
  );
  const { pki } = stack;
  const [mallory, eve, evil] = [
    await pki.issue('agent', 'mallory'),
    await pki.issue('agent', 'eve'),
    await pki.issue('connector', 'lab/evil'),
  ];
  const tar = starting.use(await startTar());
  const spring = starting.use(await startBackend(pour));
  const document = makeDocument(stack, tar.address, spring.address);
  const publish = async (changes: object = {}) => {
    stack.publish({ ...document, ...changes });
    await Promise.all([stack.intermediate.reload(), stack.connector.reload()]);
  };
  const serve = (who: object, backends: Readonly<Record<string, Backend>>) => {
    const more = Object.entries(backends).map(([name, { address }]) => ({
      ...{ name, connectors: ['lab/c1'] },
      ports: [{ transport: 'tcp', port: 1, backend: address, allowLocal: true }],
    }));
    const policy = { name: 'more', who, services: Object.keys(backends) };
    const { services, policies } = document;
    return publish({ services: [...services, ...more], policies: [...policies, policy] });
  };
  await publish();
  const target = stack.intermediate.listen;
  await options.prepare?.(stack);
  const agent = await stack.startAgent();
  const honest = starting.use(await startHonest(agent));
  const running = starting.move();
  return {
    ...{ stack, agent, mallory, eve, evil, document, publish, serve },
    target,
    agentOf: ({ files }) => running.use(new TestAgent(files, stack.logs.logger('mallory'))),
    unharmed: () => honest.check(),
    async metric(of, name, label = '') {
      const text = await (await fetch(`http://${stack[of].ops}/metrics`)).text();
      const lines = text.split('\n').filter((line) => line.startsWith(name) && line.includes(label));
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
    },
    counting: (of) => counting(`http://${stack[of].ops}/metrics`),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function counting(url: string) {
  const read = async () => {
    const text = await (await fetch(url)).text();
    const lines = text.matchAll(/^ztna_core_events_total\{.*metric="(.*?)",cause="(.*?)".*\} (\d+)/gm);
    return new Map([...lines].map(([, metric, cause, count]) => [`${metric}/${cause}`, Number(count)]));
  };
  const before = await read();
  return async () => {
    const since = [...(await read())].map(([key, count]) => [key, count - (before.get(key) ?? 0)] as const);
    return Object.fromEntries(since.filter(([, count]) => count !== 0));
  };
}

function makeDocument({ backend, intermediate }: Stack, tar: string, spring: string) {
  const tcp = (port: number, address: string) => ({
    ...{ transport: 'tcp', port, backend: address, allowLocal: true },
  });
  const service = (name: string, ports: object[], connector = 'lab/c1') => ({
    ...{ name, ports, connectors: [connector] },
  });
  return {
    intermediates: [{ name: 'relay', addresses: [intermediate.listen] }],
    sites: [{ name: 'lab', connectors: ['c1', 'evil'] }],
    services: [
      service('web', [tcp(80, backend.http)]),
      service('echo', [tcp(7, backend.tcp), { ...tcp(7, backend.udp), transport: 'udp' }]),
      service('secret', [tcp(80, backend.http)]),
      service('tar', [tcp(9, tar)]),
      service('spring', [tcp(19, spring)]),
      service('spare', [tcp(7, backend.tcp)], 'lab/evil'),
    ],
    agents: [
      { name: 'laptop', subject: 'alice' },
      ...ENROLLED.agents.map((name) => ({ name, subject: name })),
    ],
    policies: [
      { name: 'alice', who: { subjects: ['alice'] }, services: ['web', 'echo', 'tar', 'spring', 'spare'] },
      { name: 'mallory', who: { agents: ['mallory'] }, services: ['echo', 'tar'] },
    ],
  };
}

/** A backend that takes connections and reads nothing. */
function startTar() {
  return startBackend((socket) => void socket.pause());
}

async function startHonest(agent: Agent) {
  const plans = planForwards({ service: 'echo', port: 0, listen: ANY }, agent.services(), undefined);
  const { open } = startForwards(agent, plans, 'test');
  const at = (transport: string) => open.find((forward) => forward.transport === transport)?.listen ?? '';
  const live = await dial(at('tcp'));
  await answers(live);
  return {
    async check() {
      await answers(live);
      const another = await dial(at('tcp'));
      await answers(another);
      another.destroy();
      await answersUdp(at('udp'));
    },
    [Symbol.dispose]: () => void live.destroy(),
  };
}

async function answers(socket: Socket): Promise<void> {
  const sent = randomBytes(5_000);
  socket.write(sent);
  if (!(await readExactly(socket, sent.length)).equals(sent)) throw new Error('the honest flow was harmed');
}

async function answersUdp(address: string): Promise<void> {
  const socket = createSocket('udp4');
  const { hostname, port } = new URL(`udp://${address}`);
  const answer = once(socket, 'message');
  const send = () => socket.send('still here', Number(port), hostname);
  const again = setInterval(send, 300);
  send();
  const [message] = await answer;
  clearInterval(again);
  socket.close();
  if (message.toString() !== 'still here') throw new Error('the honest datagram was harmed');
}
