import { defineCommand } from '@ztna/runtime';
import { findComponents } from './find.ts';
import { showStatus } from './show.ts';
import { plain, wrapped } from './text.ts';

/** Of the JSON that this command prints; fields are only ever added. */
const FORMAT = 1;
/** As `systemctl status` has it: LSB. */
const NOT_RUNNING = 3;

export const command = defineCommand({
  name: 'status',
  summary: 'show the components of this user that run on this machine',
  description:
    'Asks every running forward, proxy, connector and intermediate of this user over its control socket: who it is, ' +
    'to which intermediate it is connected, until when certificate and snapshot hold, its sessions and how their ' +
    'packets travel, and what is wrong. `ztna doctor` looks for causes.\n' +
    'With --json, one line: {"version": 1, "healthy", "components": [...], "unanswered": [...]}; see ' +
    'docs/operations.md.',
  options: {
    config: {
      type: 'string',
      short: 'c',
      placeholder: 'FILE',
      description: 'only what was started with this configuration file; also finds sockets in its stateDir',
    },
    socket: {
      type: 'string',
      placeholder: 'PATH',
      description: 'only what listens on this control socket',
    },
  },
  exitCodes: {
    0: 'everything that runs is healthy',
    1: 'something that runs has a problem, or does not answer',
    2: 'wrong command line, or the file of --config cannot be read',
    [NOT_RUNNING]: 'nothing runs',
  },
  examples: [
    { command: 'ztna status', description: 'All that runs' },
    { command: 'ztna status --config agent.yaml --json', description: 'One agent, for a program' },
  ],
  async run({ options, json, io, print }) {
    const found = await findComponents({ ...options, env: io.env, cwd: io.cwd });
    const components = found.flatMap((one) =>
      'status' in one ? [{ socket: one.socket, ...one.status }] : [],
    );
    const unanswered = found.filter((one) => 'error' in one);
    const healthy = components.length > 0 && unanswered.length === 0 && components.every((c) => c.healthy);
    const code = found.length === 0 ? NOT_RUNNING : healthy ? 0 : 1;
    if (json) {
      print(JSON.stringify({ version: FORMAT, healthy, components, unanswered }));
      return code;
    }
    if (found.length === 0) {
      const { socket, config } = options;
      if (socket !== undefined) print(`nothing listens on ${plain(socket)}`);
      else if (config !== undefined) print(`nothing of this user runs here with ${plain(config)}`);
      else print('nothing of this user runs here');
      print('  -> start it, or name its --config or --socket; sockets: see docs/operations.md');
    }
    const now = Date.now();
    for (const [index, component] of components.entries()) {
      if (index > 0) print('');
      for (const line of showStatus(component, now)) print(line);
    }
    for (const { error } of unanswered) {
      for (const line of wrapped(plain(`${error.message} (${error.code})`), '! ', '  ')) print(line);
    }
    return code;
  },
});
