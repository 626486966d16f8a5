import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { Metrics, serveOperations } from './metrics.ts';

test('health, readiness and metrics are served; other paths and methods refused', async () => {
  const metrics = new Metrics('relay', '1.2.3');
  metrics
    .counter({ name: 'sessions_total', help: 'Sessions', labels: ['verdict'] })
    .inc({ verdict: 'allowed' }, 2);
  metrics.gauge({ name: 'connections', help: 'Connections', collect: async (g) => g.set(7) });
  metrics.histogram({ name: 'open_seconds', help: 'Time to open' }).observe(0.002);
  let ready = false;
  await using server = await serveOperations({
    ...where,
    registry: metrics.registry,
    readiness: () => ({ ready, reasons: ready ? [] : ['no snapshot'], notes: ['service web is withdrawn'] }),
  });
  const base = `http://${server.address}`;

  expect((await fetch(`${base}/healthz`)).status).toBe(200);
  const notReady = await fetch(`${base}/readyz`);
  expect([notReady.status, await notReady.text()]).toEqual([
    503,
    'not ready\nno snapshot\nservice web is withdrawn\n',
  ]);
  ready = true;
  const isReady = await fetch(`${base}/readyz`);
  expect([isReady.status, await isReady.text()]).toEqual([200, 'ready\nservice web is withdrawn\n']);
  const text = await (await fetch(`${base}/metrics`)).text();
  expect(text).toContain('ztna_sessions_total{verdict="allowed",component="relay"} 2');
  expect(text).toContain('ztna_connections{component="relay"} 7');
  expect(text).toMatch(/ztna_open_seconds_bucket\{.*le="0.005".*\} 1/);
  expect(text).toContain('ztna_build_info{version="1.2.3"');
  expect((await fetch(`${base}/nothing`)).status).toBe(404);
  expect((await fetch(`${base}/metrics`, { method: 'POST', body: 'x' })).status).toBe(405);
});

test('a metric that cannot be collected is a 500, not the end', async () => {
  const metrics = new Metrics('relay', '1');
  metrics.gauge({
    name: 'broken',
    help: 'x',
    collect: () => {
      throw new Error('x');
    },
  });
  await using server = await serveOperations({ ...where, registry: metrics.registry, readiness });
  expect((await fetch(`http://${server.address}/metrics`)).status).toBe(500);
  expect((await fetch(`http://${server.address}/healthz`)).status).toBe(200);
});

test('clients that ask and never read lose their places to others in time', async () => {
  const metrics = new Metrics('relay', '1');
  metrics.gauge({ name: 'long', help: 'x'.repeat(200_000) });
  const settings = { ...where, registry: metrics.registry, readiness };
  await using server = await serveOperations({ ...settings, silenceMs: 500 });
  const port = Number(server.address.split(':')[1]);
  const clients = Array.from({ length: 64 }, () => connect({ port, host: '127.0.0.1' }).pause());
  await Promise.all(clients.map((client) => once(client, 'connect')));
  for (const client of clients) {
    client.on('error', () => {});
    client.write('GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(100));
  }
  const isServed = () =>
    fetch(`http://${server.address}/healthz`, { headers: { connection: 'close' } }).then(
      ({ status }) => status === 200,
      () => false,
    );
  await expect.poll(isServed, { timeout: 20_000 }).toBe(true);
  for (const client of clients) client.destroy();
}, 60_000);

test('a port in use is a fault that names the setting', async () => {
  const { registry } = new Metrics('relay', '1');
  await using first = await serveOperations({ ...where, registry, readiness });
  const port = Number(first.address.split(':')[1]);
  const second = serveOperations({ ...where, listen: { host: '127.0.0.1', port }, registry, readiness });
  await expect(second).rejects.toMatchObject({
    code: 'listen-failed',
    message: `cannot listen on ${first.address}: the port is in use`,
    remedy: expect.stringContaining('metrics.listen'),
  });
});

const where = { listen: { host: '127.0.0.1', port: 0 }, setting: 'metrics.listen' };
const readiness = () => ({ ready: true, reasons: [] });
