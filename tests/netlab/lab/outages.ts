import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import { scenario } from './scenario.ts';
import { startDirect, usual } from './usual.ts';

/** Flows of a direct session outlive so long without any path, and a direct path is found again. */
export function outlivesPartition(partitionMs: number): void {
  scenario(
    `direct-partition: flows of a direct session outlive ${partitionMs / 1000} s without any path`,
    usual(),
    async (lab) => {
      const { agent, tcp, alive } = await startDirect(lab);

      const before = agent.now();
      await lab.partition('home');
      await tcp.silent(partitionMs);
      await lab.heal('home');
      const { tcpMs, udpMs } = await alive();
      const back = await agent.returns('server', before);

      console.log(`direct, partition of ${partitionMs} ms: TCP ${tcpMs}, UDP ${udpMs}; direct: ${back}`);
      expect((await tcp.stats()).ended).toBeUndefined();
      expect(await agent.fetch('server')).toMatchObject({ status: 200 });
    },
  );
}

/** Flows of a direct session outlive an agent that stood still for so long, and a direct path is found again. */
export function outlivesSuspension(stoppedMs: number): void {
  scenario(
    `direct-suspend: flows of a direct session outlive an agent that stood still for ${stoppedMs / 1000} s`,
    usual(),
    async (lab) => {
      const { agent, tcp, alive } = await startDirect(lab);

      agent.process.signal('SIGSTOP');
      await sleep(stoppedMs);
      const woken = agent.now();
      agent.process.signal('SIGCONT');
      const { tcpMs, udpMs } = await alive();
      const directMs = await agent.returns('server', woken);

      console.log(
        `direct, suspended for ${stoppedMs} ms: TCP ${tcpMs} ms, UDP ${udpMs} ms; direct: ${directMs}`,
      );
      expect(tcpMs).toBeGreaterThan(stoppedMs * 0.9);
      expect(tcpMs).toBeLessThan(stoppedMs + 5_000);
      expect((await tcp.stats()).ended).toBeUndefined();
    },
  );
}

/** After so long without any path only the direct one comes back: what is sent from then on goes over it. */
export function directAloneComesBack(outageMs: number): void {
  const relays = ['relay1', 'relay2'];
  scenario(
    `direct-alone: after ${outageMs / 1000} s without any path only the direct one comes back, and carries what is sent from then on`,
    usual(),
    async (lab) => {
      const { agent, tcp, udp } = await startDirect(lab);

      for (const other of [...relays, 'office']) await lab.separate('home', other);
      await udp.silent(outageMs);
      await lab.rejoin('home', 'office');
      const back = performance.now();
      await udp.alive();
      const udpMs = Math.round(performance.now() - back);
      const page = await agent.fetch('server');
      const { path } = await agent.session('server');
      // What was on its way over the relay waits for the relay.
      for (const relay of relays) await lab.rejoin('home', relay);
      await tcp.alive();

      console.log(
        `only the direct path is back: UDP after ${udpMs} ms, page in ${Math.round(page.totalMs)} ms`,
      );
      // All paths are asked each second.
      expect(udpMs).toBeLessThan(5_000);
      expect(page).toMatchObject({ status: 200 });
      expect(path?.path).toBe('direct');
      expect((await tcp.stats()).ended).toBeUndefined();
    },
  );
}
