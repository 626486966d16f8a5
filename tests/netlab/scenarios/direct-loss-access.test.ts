import { expect } from 'vitest';
import { scenario, startDirect, usual } from '../lab/index.ts';

// For so long a path that lost too much is not taken again.
const rememberedMs = 60_000;

// The relay loses as much: nothing is gained by going there. It is tried, once in that time at most, and left again.
for (const steps of [[1, 5], [10]]) {
  scenario(
    `direct-loss-access: an access link that loses ${steps.join(', then ')} % of all packets under a direct session`,
    usual(),
    async (lab) => {
      const { agent, tcp, udp, alive, quiet } = await startDirect(lab);
      const least = async () => Math.min(...Object.values(await lab.lost('home')));
      const left = async () => (await agent.status()).events['path_switch.lossy'] ?? 0;

      const start = performance.now();
      for (const lossPercent of steps) {
        const before = agent.now();
        await lab.impair('home', { lossPercent });
        if (lossPercent > 5) await agent.becomes('server', 'relayed', before);
        await quiet();
        await expect.poll(least, { timeout: 60_000, interval: 500 }).toBeGreaterThan(20);
        const down = await agent.fetch('server', '/bytes/1000000');
        const gaps = await alive();
        if (lossPercent > 5) await agent.becomes('server', 'direct', before);
        const { path } = await agent.session('server');
        const times = await left();

        const figures = `1 MB in ${Math.round(down.totalMs)} ms over ${path?.path}, ${JSON.stringify(gaps)}`;
        console.log(`access link with a loss of ${lossPercent} %: ${figures}, left ${times} times`);
        expect(down).toMatchObject({ exit: 0, bytes: 1_000_000 });
        for (const echo of [tcp, udp]) expect((await echo.stats()).ended).toBeUndefined();
        if (lossPercent < 5) expect([path?.path, times]).toEqual(['direct', 0]);
        if (lossPercent > 5) expect(times).toBeGreaterThan(0);
        expect(times).toBeLessThanOrEqual(1 + Math.floor((performance.now() - start) / rememberedMs));
      }
    },
  );
}
