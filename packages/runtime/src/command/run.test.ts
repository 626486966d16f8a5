import { constants } from 'node:os';
import { describe, expect, test } from 'vitest';
import { RuntimeFault, systemReason } from '../faults.ts';
import { type AnyCommand, type CommandIo, defineCommand, defineGroup } from './command.ts';
import { runCli } from './run.ts';

const serve = defineCommand({
  name: 'serve',
  summary: 'serve something',
  positionals: [
    { name: 'SERVICE', description: 'name of the service' },
    { name: 'PORT', description: 'local port', optional: true },
  ],
  options: {
    listen: {
      type: 'address',
      listen: true,
      off: true,
      default: '127.0.0.1:0',
      description: 'where to listen',
    },
    count: { type: 'integer', min: 1, max: 9, default: 3, description: 'how many' },
    mode: { type: 'string', choices: ['fast', 'safe'], default: 'safe', description: 'how' },
    label: { type: 'string', multiple: true, short: 'l', description: 'a label' },
    quiet: { type: 'boolean', short: 'q', description: 'say less' },
  },
  examples: [{ command: 'ztna serve web', description: 'Serve web' }],
  async run({ options, positionals, print }) {
    print(JSON.stringify({ options, positionals }));
  },
});

describe('a command line', () => {
  test('gives typed options with their defaults', async () => {
    const { out, code } = await run(serve, 'serve', 'web', '-q', '-l', 'a', '--label=b', '--count', '5');
    expect(code).toBe(0);
    expect(JSON.parse(out)).toEqual({
      options: {
        listen: { host: '127.0.0.1', port: 0 },
        count: 5,
        mode: 'safe',
        label: ['a', 'b'],
        quiet: true,
        json: false,
        help: false,
      },
      positionals: ['web'],
    });
  });

  test.each([
    [['serve', 'web', '--cuont', '1'], 'unknown option --cuont', '--count?'],
    [['serv'], "unknown command 'serv'", 'ztna serve?'],
    [['serve'], 'SERVICE is missing', 'see: ztna serve --help'],
    [['serve', 'web', '1', '2'], "unexpected argument '2'", ''],
    [['serve', 'web', '--count', '10'], 'whole number from 1 to 9', ''],
    [['serve', 'web', '--count', '1e0'], 'whole number from 1 to 9', ''],
    [['serve', 'web', '--count'], '--count needs a value (N)', ''],
    [['serve', 'web', '--count', '--quiet'], 'is followed by --quiet', '--count=VALUE'],
    [['serve', 'web', '--count', '1', '--count', '2'], 'more than once', ''],
    [['serve', 'web', '--quiet=yes'], '--quiet takes no value', ''],
    [['serve', 'web', '--mode', 'best'], 'one of fast, safe', ''],
    [['serve', 'web', '--listen', 'nowhere'], 'must be an address like', ''],
    [['serve', 'web', '--constructor'], 'unknown option --constructor', ''],
    [['--quiet', 'serve'], 'a command must come before --quiet', ''],
  ])('%j is refused with exit code 2', async (argv, message, remedy) => {
    const { err, out, code } = await run(serve, ...argv);
    expect(code).toBe(2);
    expect(out).toBe('');
    expect(err).toContain(message);
    expect(err).toContain(remedy);
  });

  test.each([
    ['serve', '--help'],
    ['help', 'serve'],
  ])('help shows usage, options, defaults, examples and exit codes (%s %s)', async (...argv) => {
    const { out, code } = await run(serve, ...argv);
    expect(code).toBe(0);
    for (const part of [
      'ztna serve [options] SERVICE [PORT]',
      '-q, --quiet',
      '(one of fast, safe; default safe)',
      "(or 'off'; default 127.0.0.1:0)",
      '--json',
      '--log-level LEVEL',
      'ztna serve web',
      '143',
    ]) {
      expect(out).toContain(part);
    }
    expect(Math.max(...out.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80);
  });

  test('nothing at all shows the commands', async () => {
    const { out, code } = await run(serve);
    expect(code).toBe(0);
    expect(out).toMatch(/Commands\n {2}serve {2}serve something/);
  });

  test('names the process after the command that runs', async () => {
    expect((await run(serve, 'serve', 'web')).names).toEqual(['ztna serve']);
    expect((await run(serve, 'serve', '--help')).names).toEqual([]);
  });
});

describe('a failure', () => {
  test('says what happened, why and what to do', async () => {
    const { err, code } = await run(
      failing(
        new RuntimeFault({
          code: 'backend-refused',
          fault: 'peer',
          message: 'the backend refused',
          remedy: 'start it',
          cause: new Error('connect ECONNREFUSED'),
        }),
      ),
      'fail',
    );
    expect(code).toBe(1);
    expect(err).toBe(
      'ztna fail: the backend refused\n  what to do: start it\n' +
        '  because: connect ECONNREFUSED\n  code: backend-refused (peer)\n',
    );
  });

  test('says the reason of the system once', async () => {
    const cause = Object.assign(new Error('ENOENT: no such file or directory, open key.pem'), {
      code: 'ENOENT',
      errno: -constants.errno.ENOENT,
    });
    const message = `cannot read key.pem: ${systemReason(cause)}`;
    const fault = new RuntimeFault({ code: 'key-unreadable', fault: 'config', message, cause });
    expect((await run(failing(fault), 'fail')).err).toBe(
      'ztna fail: cannot read key.pem: no such file or directory\n  code: key-unreadable (config)\n',
    );
  });

  test('of the configuration has exit code 3, and JSON on request', async () => {
    const fault = new RuntimeFault({ code: 'key-unreadable', fault: 'config', message: 'no key' });
    const { err, code } = await run(failing(fault), 'fail', '--json');
    expect(code).toBe(3);
    expect(JSON.parse(err)).toEqual({
      error: { code: 'key-unreadable', fault: 'config', message: 'no key' },
    });
  });

  test('that nobody foresaw is called a bug and shows its stack', async () => {
    const { err, code } = await run(failing(new TypeError('x is undefined')), 'fail');
    expect(code).toBe(1);
    expect(err).toMatch(/this is a bug\nTypeError: x is undefined\n\s+at /);
  });

  test('still disposes what the command had opened', async () => {
    const closed: string[] = [];
    const command = defineCommand({
      ...bare,
      async run({ stack }) {
        stack.defer(() => void closed.push('socket'));
        throw new Error('halfway');
      },
    });
    await run(command, 'fail');
    expect(closed).toEqual(['socket']);
  });
});

const bare = { name: 'fail', summary: 'fails', options: {}, examples: [] };

function failing(error: Error): AnyCommand {
  return defineCommand({
    ...bare,
    async run() {
      throw error;
    },
  });
}

async function run(command: AnyCommand, ...argv: string[]) {
  let out = '';
  let err = '';
  const names: string[] = [];
  const io: CommandIo = {
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
    env: {},
    cwd: '/',
    nameProcess: (name) => names.push(name),
  };
  const code = await runCli(defineGroup({ name: 'ztna', summary: 'test', commands: [command] }), argv, io);
  return { out, err, code, names };
}
