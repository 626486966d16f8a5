import { resolve } from 'node:path';
import { configOption, defineCommand, formatAddress } from '@ztna/runtime';

export const command = defineCommand({
  name: 'connector',
  summary: 'run a connector, next to the services',
  description:
    'Opens nothing to the outside: it connects to the intermediates of its snapshot, takes the sessions that policy ' +
    'allows, and dials the backends of its services.\n' +
    'With --json, one line on stdout tells when it is registered: ' +
    '{"event": "ready", "listen": "0.0.0.0:51234", "ops": "127.0.0.1:9091"}.\n' +
    'SIGHUP, or a replaced file, takes certificate, trust bundle and snapshot into use again. SIGTERM says goodbye ' +
    'and ends.',
  options: {
    config: configOption,
    listen: {
      type: 'address',
      listen: true,
      description: 'local UDP address of its connections, instead of that of the file',
    },
  },
  examples: [
    { command: 'ztna connector --config connector.yaml', description: 'Run it' },
    {
      command: 'ztna connector --config connector.yaml --listen "[::]:51820"',
      description: 'On one UDP port, for a firewall that wants to know it',
    },
    {
      command: 'ztna connector --config connector.yaml --json',
      description: 'Tell a script when it is ready',
    },
  ],
  async run({ options, io, json, log: openLog, lifecycle, stack, print }) {
    const [{ checkConnector, connectorSchema, loadConfig }, { startConnector }, { openControl }] =
      await Promise.all([import('@ztna/runtime/config'), import('./connector.ts'), import('@ztna/link')]);
    const loaded = await loadConfig(options.config, connectorSchema, { cwd: io.cwd, check: checkConnector });
    const config = options.listen ? { ...loaded.value, listen: formatAddress(options.listen) } : loaded.value;
    const log = openLog('connector', config.log);
    lifecycle.setDeadline(config.drain.deadlineMs);
    const connector = await startConnector({ config, log });
    stack.use(connector);
    lifecycle.onReload(() => connector.reload());
    const control = { component: 'connector', command: 'ztna connector', config, env: io.env, log } as const;
    const configFile = resolve(io.cwd, options.config);
    stack.use(await openControl({ ...control, configFile, report: () => connector.status() }));
    const { listen, ops } = connector;
    log.info(
      { event: 'process.started', listen, ops },
      'the connector runs and registers at its intermediates',
    );
    void connector.registered.then(() => {
      if (json) print(JSON.stringify({ event: 'ready', listen, ops }));
      log.info({ event: 'process.ready' }, 'registered at an intermediate: the connector is ready');
    });
    await Promise.race([lifecycle.untilStopped(), connector.failed]);
    return undefined;
  },
});
