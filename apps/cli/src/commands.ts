import type { AnyCommand, CommandEntry, CommandGroup } from '@ztna/runtime';

interface CommandModule {
  readonly command: AnyCommand | CommandGroup;
}

/** Every word of the command line. A command is loaded when it is called. */
export const root: CommandGroup = {
  name: 'ztna',
  summary: 'zero-trust network access, end-to-end encrypted',
  description: 'Reach private services by name, from anywhere, without opening a port in front of them.',
  members: [
    entry('demo', 'run the whole system on this machine and check it', () => import('./demo/command.ts')),
    entry(
      'forward',
      'make a service reachable on a local port',
      () => import('../../agent/src/commands/forward.ts'),
    ),
    entry(
      'proxy',
      'SOCKS5 and HTTP proxy to all granted services',
      () => import('../../agent/src/commands/proxy.ts'),
    ),
    entry(
      'intermediate',
      'run an intermediate: broker and relay',
      () => import('../../intermediate/src/command.ts'),
    ),
    entry(
      'connector',
      'run a connector, next to the services',
      () => import('../../connector/src/command.ts'),
    ),
    entry(
      'backend',
      'run the test backend: HTTP, WebSocket, TCP and UDP echo',
      () => import('../../backend/src/command.ts'),
    ),
    entry(
      'status',
      'show the components of this user that run on this machine',
      () => import('./status/command.ts'),
    ),
    entry(
      'doctor',
      'check everything that an agent needs, one by one',
      () => import('../../agent/src/commands/doctor.ts'),
    ),
    entry('pki', 'make the CA, issue identities, sign snapshots', () => import('./pki/command.ts')),
    entry(
      'bench',
      'measure this machine, next to plain UDP and TCP',
      () => import('../../../bench/command.ts'),
    ),
    entry('version', 'print the version', () => import('./version.ts')),
    { name: 'help', summary: 'show the help of a command: ztna help COMMAND', load: async () => root },
  ],
  examples: [
    { command: 'ztna demo --once', description: 'Is everything all right? Checks the whole way and ends' },
    {
      command: 'ztna forward --config agent.yaml web 8080',
      description: 'Open the service "web" on localhost:8080',
    },
  ],
};

/** Literal imports: the boundary rules and bundlers follow them. */
function entry(name: string, summary: string, load: () => Promise<CommandModule>): CommandEntry {
  return { name, summary, load: async () => (await load()).command };
}
