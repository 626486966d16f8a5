import { once } from 'node:events';
import { type CommandContext, configOption, defineCommand, UsageError } from '@ztna/runtime';
import type { ForwardSpec } from '../forward/spec.ts';
import { loadAgentConfig, startCommandAgent } from './start.ts';

const options = {
  config: configOption,
  listen: {
    type: 'string',
    short: 'l',
    placeholder: '[ADDRESS:]PORT',
    description: 'local address instead of LOCALPORT; 127.0.0.1 unless told otherwise',
  },
  map: {
    type: 'string',
    short: 'm',
    multiple: true,
    placeholder: 'SERVICE[:PORT]=[ADDRESS:]PORT',
    description: 'a further forward',
  },
  udp: { type: 'boolean', description: "only the service's UDP ports" },
  tcp: { type: 'boolean', description: "only the service's TCP ports" },
  stdio: {
    type: 'boolean',
    description: 'join standard input and output to the service, for ssh -o ProxyCommand',
  },
} as const;

export const command = defineCommand({
  name: 'forward',
  summary: 'make a service reachable on a local port',
  description:
    'Opens a local port for a service and carries every connection to it, end to end encrypted. A service with TCP ' +
    'and UDP on one port gets both. Without a LOCALPORT a free one is taken. It stays up, also while no ' +
    'intermediate can be reached, until it is stopped.\nWhile no connector serves the service (it restarts, or the ' +
    'backend is dead) connections wait for one, up to openTimeoutMs of the configuration (15 s), and are then reset. ' +
    'The log says so at once: flow.waiting.\nWith --json, one line on stdout tells the bound addresses: ' +
    '{"event":"ready","forwards":[{"service","transport","port","listen"}]}.',
  positionals: [
    { name: 'SERVICE', description: 'name of the service, or name:port when it has several', optional: true },
    { name: 'LOCALPORT', description: 'local port; 0 or none takes a free one', optional: true },
  ],
  options,
  examples: [
    {
      command: 'ztna forward --config agent.yaml web 8080',
      description: 'The service "web" on 127.0.0.1:8080',
    },
    {
      command: 'ztna forward --config agent.yaml --map web=8080 --map db:5432=15432',
      description: 'Two services at once',
    },
    {
      command: 'ssh -o ProxyCommand="ztna forward --config agent.yaml --stdio ssh:22" server',
      description: 'Through standard input and output',
    },
  ],
  async run(context) {
    const { options: given, io } = context;
    // What is wrong with the command line is told first, whatever the file says.
    const specs = given.stdio ? undefined : await readSpecs(context);
    const config = (await loadAgentConfig(given.config, io.cwd)).value;
    return specs ? runForward(context, config, specs) : runStdio(context, config);
  },
});

type Context = CommandContext<typeof options>;
type Config = Awaited<ReturnType<typeof loadAgentConfig>>['value'];

async function runForward(
  context: Context,
  config: Config,
  specs: readonly ForwardSpec[],
): Promise<undefined> {
  const { json, stack, lifecycle, print } = context;
  const { planForwards } = await import('../forward/spec.ts');
  const { startForwards } = await import('../forward/start.ts');
  const agent = await startCommandAgent(context, 'ztna forward', config, context.log('agent', config.log));
  const plans = specs.flatMap((spec) => {
    const listen = { host: config.forward.address, ...spec.listen };
    return planForwards({ ...spec, listen }, agent.services(), only(context));
  });
  const { open } = stack.use(startForwards(agent, plans, 'LOCALPORT, --listen or --map'));
  if (json) print(JSON.stringify({ event: 'ready', forwards: open }));
  else
    for (const { listen, transport, service, port } of open)
      print(`${listen} (${transport}) -> ${service}:${port}`);
  await lifecycle.untilStopped();
}

async function runStdio(context: Context, config: Config): Promise<undefined> {
  const { parseServiceSpec } = await import('../forward/spec.ts');
  const { findPort, findService } = await import('../services.ts');
  const { forwardStdio } = await import('../forward/stdio.ts');
  const [name, ...more] = context.positionals;
  if (
    name === undefined ||
    more.length > 0 ||
    context.options.map.length > 0 ||
    context.options.listen ||
    context.options.udp
  ) {
    throw new UsageError(
      '--stdio takes one SERVICE and no local port',
      'write ztna forward --config FILE --stdio SERVICE',
    );
  }
  const spec = parseServiceSpec(name);
  // Standard error is the terminal of whoever called us: only what somebody should look at.
  const log = context.log('agent', { ...config.log, level: 'warn' });
  const agent = await startCommandAgent(context, 'ztna forward', config, log);
  const service = findService(agent.services(), spec.service);
  const { port } = findPort(service, 'tcp', spec.port);
  const target = { service: service.name, transport: 'tcp', port } as const;
  // A signal ends it at once: whoever called, an ssh for example, is gone or wants it gone.
  await Promise.race([forwardStdio(agent, target, process.stdin, process.stdout), aborted(context.signal)]);
}

function aborted(signal: AbortSignal): Promise<unknown> {
  return signal.aborted ? Promise.resolve() : once(signal, 'abort');
}

/** What the command line asks for; UsageError when that is nothing, or unclear. */
async function readSpecs({ options: given, positionals }: Context): Promise<ForwardSpec[]> {
  const { parseLocal, parseMapping, parseServiceSpec } = await import('../forward/spec.ts');
  const [service, port] = positionals;
  const specs = given.map.map(parseMapping);
  if (given.udp && given.tcp)
    throw new UsageError('--udp and --tcp exclude each other', 'leave out one of them');
  if (port !== undefined && given.listen !== undefined) {
    throw new UsageError('LOCALPORT and --listen say the same', 'leave out one of them');
  }
  if (service !== undefined) {
    specs.unshift({ ...parseServiceSpec(service), listen: parseLocal(port ?? given.listen ?? '0') });
  }
  if (specs.length > 0) return specs;
  throw new UsageError('no service to forward', 'write ztna forward --config FILE SERVICE [LOCALPORT]');
}

function only({ options: given }: Context): 'tcp' | 'udp' | undefined {
  if (given.udp) return 'udp';
  return given.tcp ? 'tcp' : undefined;
}
