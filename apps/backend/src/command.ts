import { defineCommand } from '@ztna/runtime';

export const command = defineCommand({
  name: 'backend',
  summary: 'run the test backend: HTTP, WebSocket, TCP and UDP echo',
  description:
    'A target for tests and demonstrations. HTTP: / (a page that shows it all), /health, /bytes/N, ' +
    '/bytes/N/sha256, /echo, /upload, /headers, /slow?ms=&chunks=, and WebSocket echo at /ws. It protects nothing: ' +
    'keep it on loopback.\nWith --json, one line on stdout tells the bound addresses once all are ready: ' +
    '{"http": "127.0.0.1:8080", "tcp": …, "udp": …}.',
  options: {
    'listen-http': {
      type: 'address',
      listen: true,
      off: true,
      default: '127.0.0.1:8080',
      description: 'HTTP and WebSocket; port 0 takes a free one',
    },
    'listen-tcp-echo': {
      type: 'address',
      listen: true,
      off: true,
      default: '127.0.0.1:8081',
      description: 'TCP echo, half-close included',
    },
    'listen-udp-echo': {
      type: 'address',
      listen: true,
      off: true,
      default: '127.0.0.1:8081',
      description: 'UDP echo',
    },
  },
  examples: [
    { command: 'ztna backend', description: 'All of it on the default ports' },
    {
      command: 'ztna backend --listen-http 127.0.0.1:0 --listen-tcp-echo off --listen-udp-echo off --json',
      description: 'HTTP alone, on a free port, announced as JSON',
    },
  ],
  async run({ options, json, lifecycle, stack, print, log: openLog }) {
    const { startBackend } = await import('./backend.ts');
    const backend = await startBackend({
      http: options['listen-http'],
      tcp: options['listen-tcp-echo'],
      udp: options['listen-udp-echo'],
      log: openLog('backend'),
    });
    stack.use(backend);
    const { http, tcp, udp } = backend;
    if (json) print(JSON.stringify({ http, tcp, udp }));
    else
      print(
        [http && `http  http://${http}/`, tcp && `tcp   ${tcp}`, udp && `udp   ${udp}`]
          .filter(Boolean)
          .join('\n'),
      );
    await lifecycle.untilStopped();
  },
});
