import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type AnyCommand, type CommandEntry, type CommandGroup, RuntimeFault } from '@ztna/runtime';

/** Every word of the command line. A command is loaded when it is called. */
export const root: CommandGroup = {
  name: 'ztna',
  summary: 'zero-trust network access, end-to-end encrypted',
  description: 'Reach private services by name, from anywhere, without opening a port in front of them.',
  members: [
    entry('demo', 'run the whole system on this machine and check it', './demo/command.ts'),
    entry('forward', 'make a service reachable on a local port', '../../agent/src/commands/forward.ts'),
    entry('proxy', 'SOCKS5 and HTTP proxy to all granted services', '../../agent/src/commands/proxy.ts'),
    entry('intermediate', 'run an intermediate: broker and relay', '../../intermediate/src/command.ts'),
    entry('connector', 'run a connector, next to the services', '../../connector/src/command.ts'),
    entry(
      'backend',
      'run the test backend: HTTP, WebSocket, TCP and UDP echo',
      '../../backend/src/command.ts',
    ),
    entry('pki', 'make the CA, issue identities, sign snapshots', './pki/command.ts'),
    entry('bench', 'measure this machine, next to plain UDP and TCP', '../../../bench/command.ts'),
    entry('version', 'print the version', './version.ts'),
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

/** `path` is relative to this file. Its module exports `command`. */
function entry(name: string, summary: string, path: string): CommandEntry {
  return { name, summary, load: () => loadCommand(name, path) };
}

/** Imports a command. Throws `command-missing` when its file is not there. */
export async function loadCommand(name: string, path: string): Promise<AnyCommand | CommandGroup> {
  const url = new URL(path, import.meta.url).href;
  try {
    const module = (await import(url)) as { command: AnyCommand | CommandGroup };
    return module.command;
  } catch (cause) {
    if (!isMissing(cause, url)) throw cause;
    throw new RuntimeFault({
      code: 'command-missing',
      fault: 'internal',
      message: `the command '${name}' is not part of this build`,
      remedy: 'use a complete checkout or release of ztna',
    });
  }
}

/** Whether the command's own file is what is missing, not something that it imports. */
function isMissing(cause: unknown, url: string): boolean {
  return (cause as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND' && !existsSync(fileURLToPath(url));
}
