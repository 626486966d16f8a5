import { resolve } from 'node:path';
import { configOption, defineCommand, formatAddress } from '@ztna/runtime';

export const command = defineCommand({
  name: 'intermediate',
  summary: 'run an intermediate: broker and relay',
  description:
    'The one component that must be reachable: agents and connectors connect to its UDP address. It brokers sessions ' +
    'by policy and relays their packets, which it cannot read.\n' +
    'With --json, one line on stdout tells the bound addresses once it is ready: ' +
    '{"event": "ready", "listen": "127.0.0.1:4433", "ops": "127.0.0.1:9090"}.\n' +
    'SIGHUP, or a replaced file, takes certificate, trust bundle and snapshot into use again. SIGTERM tells peers to ' +
    'go elsewhere and ends.',
  options: {
    config: configOption,
    listen: { type: 'address', listen: true, description: 'UDP address, instead of that of the file' },
  },
  examples: [
    { command: 'ztna intermediate --config intermediate.yaml', description: 'Run it' },
    {
      command: 'ztna intermediate --config intermediate.yaml --listen 127.0.0.1:0 --json',
      description: 'On a free port, announced as JSON',
    },
  ],
  async run({ options, io, json, log: openLog, lifecycle, stack, print }) {
    const [
      { checkIntermediate, intermediateSchema, loadConfig },
      { startIntermediate },
      { openControl, warnOfExposedKeys },
    ] = await Promise.all([
      import('@ztna/runtime/config'),
      import('./intermediate.ts'),
      import('@ztna/link'),
    ]);
    const loaded = await loadConfig(options.config, intermediateSchema, {
      cwd: io.cwd,
      check: checkIntermediate,
    });
    const config = options.listen ? { ...loaded.value, listen: formatAddress(options.listen) } : loaded.value;
    const log = openLog('intermediate', config.log);
    const { retryKeysFile, resetKeyFile, cidKeyFile } = config.keys;
    warnOfExposedKeys(log, [retryKeysFile, resetKeyFile, cidKeyFile]);
    lifecycle.setDeadline(config.drain.deadlineMs);
    const intermediate = await startIntermediate({ config, log });
    stack.use(intermediate);
    lifecycle.onReload(() => intermediate.reload());
    const control = {
      component: 'intermediate',
      command: 'ztna intermediate',
      config,
      env: io.env,
      log,
    } as const;
    const configFile = resolve(io.cwd, options.config);
    stack.use(await openControl({ ...control, configFile, report: () => intermediate.status() }));
    const { listen, ops } = intermediate;
    if (json) print(JSON.stringify({ event: 'ready', listen, ops }));
    log.info({ event: 'process.ready', listen, ops }, 'the intermediate is ready');
    await Promise.race([lifecycle.untilStopped(), intermediate.failed]);
    await intermediate.drain('the intermediate stops');
    return undefined;
  },
});
