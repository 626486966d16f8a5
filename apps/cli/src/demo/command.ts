import { defineCommand } from '@ztna/runtime';

/** Time for the orderly end of all processes, ms. */
const stopMs = 20_000;

export const command = defineCommand({
  name: 'demo',
  summary: 'run the whole system on this machine and check it',
  description:
    'Starts intermediate, connector, backend and agent as processes of their own on loopback, with identities made ' +
    'for the occasion in a temporary folder, and sends real traffic the whole way. Without --once it stays up and ' +
    'prints what to try; Ctrl-C ends everything and removes the folder.\n' +
    'With --once --json, stdout is one document: {"ok": true, "checks": [{"name", "ok", "ms", "path", "detail"}]}. ' +
    '`path` is how the bytes travelled: relayed, direct, or none where none had to. A check that this platform ' +
    'does not allow has "skipped": true.',
  options: {
    once: { type: 'boolean', description: 'make all checks and end; exit code 0 only if all hold' },
    backend: {
      type: 'string',
      placeholder: 'tcp:HOST:PORT',
      description: 'carry this service of your own instead of the built-in backend',
    },
    keep: {
      type: 'boolean',
      description: 'keep the folder with configurations, logs and the packet capture',
    },
    timeout: {
      type: 'integer',
      default: 180,
      min: 1,
      max: 3600,
      placeholder: 'SECONDS',
      description: 'time for all of --once',
    },
  },
  examples: [
    { command: 'ztna demo --once', description: 'Is everything all right? Checks the whole way and ends' },
    { command: 'ztna demo', description: 'Stay up and try it by hand' },
    { command: 'ztna demo --once --backend tcp:127.0.0.1:5432', description: 'Reach a database of your own' },
    { command: 'ztna demo --once --json | jq .ok', description: 'For programs' },
  ],
  async run(context) {
    const { options, lifecycle } = context;
    const { parseOwnBackend } = await import('./own-backend.ts');
    const ownBackend = options.backend === undefined ? undefined : parseOwnBackend(options.backend);
    lifecycle.setDeadline(stopMs);
    const { runDemo } = await import('./demo.ts');
    return runDemo({
      ...{ ownBackend, lifecycle, json: context.json, stack: context.stack },
      ...{ once: options.once, keep: options.keep, timeoutMs: options.timeout * 1000 },
      log: context.log('demo'),
      print: context.print,
      tell: (line) => void context.io.stderr.write(`${line}\n`),
    });
  },
});
