import { fileURLToPath } from 'node:url';
import { type Address, parseAddress } from '@ztna/runtime';
import type { Child, ChildEvent } from '../processes/child.ts';
import { Supervisor } from '../processes/supervisor.ts';
import { Tap } from '../tap/tap.ts';
import { TcpTap } from '../tap/tcp-tap.ts';
import type { Backends } from './document.ts';
import { serviceNames } from './names.ts';
import type { ComponentName, Workspace } from './workspace.ts';

const main = fileURLToPath(new URL('../../main.ts', import.meta.url));
const readyMs = 20_000;
/** Time of each process for its orderly end, ms. */
const graceMs = 3000;

export interface SystemOptions {
  readonly workspace: Workspace;
  /** Undefined: the built-in backend is started. */
  readonly ownBackend: Address | undefined;
  /** Told what is being done. */
  readonly progress: (step: string) => void;
}

/** Intermediate, connector, backend and agents, each a process of its own, on loopback. */
export class System implements AsyncDisposable {
  readonly #stack = new AsyncDisposableStack();
  readonly #options: SystemOptions;
  readonly supervisor: Supervisor;
  readonly tap: Tap;
  readonly backends: Backends;
  readonly watchedTap: TcpTap | undefined;

  private constructor(o: {
    options: SystemOptions;
    supervisor: Supervisor;
    tap: Tap;
    backends: Backends;
    watchedTap: TcpTap | undefined;
    stack: AsyncDisposableStack;
  }) {
    this.#options = o.options;
    this.supervisor = o.supervisor;
    this.tap = o.tap;
    this.backends = o.backends;
    this.watchedTap = o.watchedTap;
    this.#stack.use(o.stack);
  }

  /** Starts all but the agents. Throws `process-died` or `process-silent` with the end of the log that tells why. */
  static async start(options: SystemOptions): Promise<System> {
    const { workspace, ownBackend, progress } = options;
    await using starting = new AsyncDisposableStack();
    const { dir: cwd, logs: logDir } = workspace;
    const supervisor = starting.use(new Supervisor({ main, logDir, cwd, graceMs }));
    const tap = starting.use(await Tap.start());
    progress('issuing identities');
    const issued = workspace.issueIdentities(Date.now());
    const backends = ownBackend
      ? { backends: { kind: 'own', address: ownBackend } as const, watchedTap: undefined }
      : await startBackend(supervisor, starting);
    await issued;
    workspace.writeConfigurations(tap.address, backends.backends, Date.now());
    const system = new System({ options, supervisor, tap, ...backends, stack: starting.move() });
    try {
      progress('starting intermediate and connector');
      const intermediate = system.#component('intermediate', ['intermediate']);
      await tap.setTarget(addressOf((await readiness(intermediate)).listen, 'the intermediate'));
      await readiness(system.#component('connector', ['connector']));
      return system;
    } catch (error) {
      await system[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** The process of this name. */
  process(name: string): Child {
    const child = this.supervisor.children.find((c) => c.name === name);
    if (!child) throw new TypeError(`no process is called ${name}`);
    return child;
  }

  /** Local ports of the granted agent that lead to all services. */
  async forward(): Promise<Forwards> {
    const services = this.backends.kind === 'own' ? [serviceNames.own] : builtIn;
    this.#options.progress('starting the agent');
    const maps = services.flatMap((service) => ['--map', `${service}=127.0.0.1:0`]);
    const child = this.#component('agent', ['forward', ...maps]);
    return new Forwards(await readiness(child));
  }

  /** Address of a SOCKS5 and HTTP proxy of the granted agent, or of the one without a grant. */
  async proxy(who: 'agent' | 'visitor', listen = '127.0.0.1:0'): Promise<Address> {
    const name = who === 'agent' ? 'agent-proxy' : 'visitor';
    const child = this.#component(who, ['proxy', '--listen', listen], name);
    return addressOf((await readiness(child)).listen, `the proxy of the ${who}`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack.disposeAsync();
  }

  #component(component: ComponentName, [command = '', ...args]: string[], name: string = component): Child {
    const config = this.#options.workspace.configFile(component);
    return this.supervisor.start(name, [command, '--config', config, '--json', ...args]);
  }
}

const builtIn = [serviceNames.web, serviceNames.echo, serviceNames.watched];

/** Local ports by service and transport, as the agent announced them. */
export class Forwards {
  readonly #ready: ChildEvent;

  constructor(ready: ChildEvent) {
    this.#ready = ready;
  }

  address(service: string, transport: 'tcp' | 'udp' = 'tcp'): Address {
    const list = (Array.isArray(this.#ready.forwards) ? this.#ready.forwards : []) as ChildEvent[];
    const found = list.find((f) => f.service === service && f.transport === transport);
    return addressOf(found?.listen, `the ${transport} forward of ${service}`);
  }
}

async function startBackend(supervisor: Supervisor, stack: AsyncDisposableStack) {
  const listen = ['http', 'tcp-echo', 'udp-echo'].flatMap((name) => [`--listen-${name}`, '127.0.0.1:0']);
  const child = supervisor.start('backend', ['backend', '--json', ...listen]);
  const ready = await child.event((event) => 'http' in event, { timeoutMs: readyMs, what: 'ready' });
  const at = (what: string) => addressOf(ready[what], `the backend's ${what} port`);
  const [http, tcp, udp] = [at('http'), at('tcp'), at('udp')];
  const watchedTap = stack.use(await TcpTap.open(tcp));
  return { backends: { kind: 'built-in', http, tcp, udp, watched: watchedTap.address } as const, watchedTap };
}

function readiness(child: Child): Promise<ChildEvent> {
  return child.event(({ event }) => event === 'ready', { timeoutMs: readyMs, what: 'ready' });
}

function addressOf(text: unknown, what: string): Address {
  const address = typeof text === 'string' ? parseAddress(text) : undefined;
  if (!address) throw new TypeError(`${what} did not tell its address, but ${JSON.stringify(text)}`);
  return address;
}
