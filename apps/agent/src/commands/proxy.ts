import { configOption, defineCommand, parseListenAddress } from '@ztna/runtime';
import { loadAgentConfig, startCommandAgent } from './start.ts';

export const command = defineCommand({
  name: 'proxy',
  summary: 'SOCKS5 and HTTP proxy to all granted services',
  description:
    'One local port that speaks SOCKS5 (CONNECT and UDP ASSOCIATE) and HTTP (CONNECT, and requests for http URLs). ' +
    'Services are known as NAME.ztna.internal, with the ports that they have; every other name and every address is ' +
    'refused. Let the proxy resolve names: socks5h in curl.\nWhile no connector serves a service (it restarts, or ' +
    'the backend is dead) clients wait for one, up to openTimeoutMs of the configuration (15 s), and are then told. The ' +
    'log says so at once: flow.waiting.\nWith --json, one line on stdout tells the bound address: ' +
    '{"event":"ready","listen","domain"}.',
  options: {
    config: configOption,
    listen: {
      type: 'address',
      short: 'l',
      listen: true,
      description: 'local address; by default that of the configuration, 127.0.0.1:1080',
    },
  },
  examples: [
    { command: 'ztna proxy --config agent.yaml', description: 'On 127.0.0.1:1080' },
    { command: 'curl -x socks5h://127.0.0.1:1080 http://web.ztna.internal/', description: 'Through it' },
  ],
  async run(context) {
    const { options, json, io, log, stack, lifecycle, print } = context;
    const loaded = await loadAgentConfig(options.config, io.cwd);
    const { startProxy } = await import('../proxy/start.ts');
    const config = loaded.value;
    const agent = await startCommandAgent(context, 'ztna proxy', config, log('agent', config.log));
    const address = options.listen ?? parseListenAddress(config.proxy.listen);
    if (!address) throw loaded.error(['proxy', 'listen'], 'is not an address to listen on');
    const { listen } = stack.use(startProxy(agent, address, '--listen'));
    const { domain } = config.proxy;
    if (json) print(JSON.stringify({ event: 'ready', listen, domain }));
    else print(`SOCKS5 and HTTP proxy on ${listen} for *.${domain}`);
    await lifecycle.untilStopped();
  },
});
