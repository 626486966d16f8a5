// Links delay, lose, shape and refuse as they say.
import { expect } from 'vitest';
import { type Lab, type ProbeSocket, scenario } from '../lab/index.ts';

const server = { server: { uplinks: ['internet'] } };

scenario(
  'a delay is added to each direction, and can be changed while the link runs',
  { hosts: { ...server, host: { uplinks: ['internet'], link: { delayMs: 50 } } } },
  async (lab) => {
    const echo = await udpEcho(lab, 'host');
    await echo.alive();
    expect((await echo.stop()).minRttMs).toBeGreaterThanOrEqual(100);

    await lab.bridge('host').shape({ delayMs: 5 });
    const quicker = await udpEcho(lab, 'host');
    await quicker.alive();
    // Of many, the quickest: a busy machine only adds. A delay of 50 ms would not get below 100.
    await quicker.alive();
    const { minRttMs } = await quicker.stop();
    expect(minRttMs).toBeGreaterThanOrEqual(10);
    expect(minRttMs).toBeLessThan(95);
  },
);

scenario(
  'a rate lets no more through than it says',
  { hosts: { ...server, host: { uplinks: ['internet'], link: { rateMbps: 8 } } } },
  async (lab) => {
    const [from, to] = await pair(lab);
    const started = performance.now();
    await from.send(to.address, 'counted', { size: 1000, count: 200 });
    await from.send(to.address, 'end');
    await to.socket.from('end');

    // 200 packets of 1000 bytes and their headers, a million bytes a second.
    expect(performance.now() - started).toBeGreaterThan(200);
    expect(to.socket.count('counted')).toBe(200);
  },
);

scenario(
  'a full queue drops and counts',
  { hosts: { ...server, host: { uplinks: ['internet'], link: { delayMs: 500, queuePackets: 20 } } } },
  async (lab) => {
    const [from, to] = await pair(lab);
    await from.send(to.address, 'counted', { count: 200 });
    await arrives(from, to, 'end');
    const { up } = await lab.bridge('host').counters();

    expect(up.droppedQueue).toBeGreaterThan(0);
    // What asked for the end was dropped and counted too, as long as the queue was full.
    const arrived = to.socket.count('counted');
    expect(arrived).toBeLessThan(200);
    expect(arrived + up.droppedQueue).toBeGreaterThanOrEqual(200);
  },
);

scenario(
  'loss takes its share of packets in both directions, and ends with heal',
  { hosts: { ...server, host: { uplinks: ['internet'], link: { lossPercent: 10 } } } },
  async (lab) => {
    const [from, to] = await pair(lab);
    const { up: before } = await lab.lost('host');
    for (let round = 0; round < 20; round++) {
      await from.send(to.address, 'counted', { count: 100 });
      // No more at once than a socket's buffer holds.
      await arrives(from, to, `round ${round}`);
    }
    const lost = (await lab.lost('host')).up - before;
    await lab.heal('host');

    // Binomial: 200 ± 13.4; six deviations never happen.
    const missing = 2000 - to.socket.count('counted');
    expect(missing).toBeGreaterThan(120);
    expect(missing).toBeLessThan(280);
    // Those between the rounds are lost as well.
    expect(lost).toBeGreaterThanOrEqual(missing);

    await from.send(to.address, 'after', { count: 100 });
    await from.send(to.address, 'end');
    await to.socket.from('end');
    expect(to.socket.count('after')).toBe(100);
  },
);

scenario(
  'a partition stops everything, silently, until it heals',
  { hosts: { ...server, host: { uplinks: ['internet'] } } },
  async (lab) => {
    const echo = await udpEcho(lab, 'host');
    await echo.alive();
    await lab.partition('host');
    await echo.silent(1_000);
    await lab.heal('host');
    await echo.alive();
    expect((await echo.stop()).longestGapMs).toBeGreaterThan(900);
  },
);

for (const mtu of [1280, 1400]) {
  scenario(`an MTU of ${mtu} is told to the sender, who then fits`, throughRouter({ mtu }), async (lab) => {
    const [from, to] = await pair(lab);
    // The first is too big, and answered with "packet too big"; then the system knows, and fragments.
    await from.send(to.address, 'big', { size: 1420 });
    expect(await learned(lab, mtu)).toBe(true);
    await from.send(to.address, 'big', { size: 1420 });
    await to.socket.from('big');
    expect(to.socket.count('big')).toBe(1);
  });
}

scenario(
  'a black hole swallows what is too big and tells nobody',
  throughRouter({ mtu: 1280, blackHole: true }),
  async (lab) => {
    const [from, to] = await pair(lab);
    await from.send(to.address, 'big', { size: 1420, count: 5 });
    await from.send(to.address, 'fits', { size: 1252 });
    await to.socket.from('fits');
    expect(to.socket.count('big')).toBe(0);
    expect(await learned(lab, 1280)).toBe(false);
  },
);

scenario(
  'bundles of the sender (GSO) meet a link as single packets',
  { hosts: { ...server, host: { uplinks: ['internet'], link: { delayMs: 0, queuePackets: 100_000 } } } },
  async (lab) => {
    const bytes = 4 << 20;
    const listener = await lab.probe('server');
    await listener.tcpEcho(7);
    const hand = await lab.probe('host');
    const echo = await hand.echo('tcp', `${lab.address('server')} 7`, { everyMs: 10, size: bytes / 16 });
    while ((await echo.alive()).received < 16);
    await echo.stop();
    const { up } = await lab.bridge('host').counters();
    // virtio header, Ethernet header and at most the MTU.
    expect(up.bytes / up.forwarded).toBeLessThanOrEqual(10 + 14 + 1500);
    expect(up.bytes).toBeGreaterThan(bytes);
  },
);

function throughRouter(link: { mtu: number; blackHole?: boolean }) {
  return {
    networks: { home: { translation: 'none', link } as const },
    hosts: { ...server, host: { uplinks: ['home'] } },
  };
}

/** A socket on the host, and one on the server with its address. */
async function pair(lab: Lab) {
  const socket = await (await lab.probe('server')).udp({ port: 5000 });
  const from = await (await lab.probe('host')).udp();
  const to = { socket, address: `${lab.address('server')} 5000` };
  // Neighbours are known before anything is counted.
  await arrives(from, to, 'first');
  return [from, to] as const;
}

interface Target {
  readonly socket: ProbeSocket;
  readonly address: string;
}

/** Sends `text` until it has arrived. */
async function arrives(from: ProbeSocket, to: Target, text: string): Promise<void> {
  for (let tries = 0; tries < 50 && to.socket.count(text) === 0; tries++) {
    await from.send(to.address, text);
    await to.socket.from(text, 1_000).catch(() => {});
  }
}

async function udpEcho(lab: Lab, host: string) {
  await (await lab.probe('server')).udp({ port: 7, echo: true }).catch(() => {});
  return (await lab.probe(host)).echo('udp', `${lab.address('server')} 7`);
}

/** Whether the host's system knows this MTU for the way to the server. */
async function learned(lab: Lab, mtu: number): Promise<boolean> {
  return (await lab.run('host', `ip route get ${lab.address('server')}`)).includes(`mtu ${mtu}`);
}
