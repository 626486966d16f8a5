import { onTestFailed, test } from 'vitest';
import { gatewayObstacle } from './gateway.ts';
import { type Lab, startLab } from './lab.ts';
import { Space } from './space.ts';
import type { Topology } from './topology.ts';

/** Each should take under a minute; a busy machine may need more. */
const scenarioMs = 180_000;
/** See ../run.ts. */
const keeps = process.env.ZTNA_NETLAB === 'keep';

/** Why this machine has no network namespaces; undefined when it has. Found out once. */
let obstacle: Promise<string | undefined> | undefined;

async function findObstacle(): Promise<string | undefined> {
  if (process.platform !== 'linux') return `network namespaces are of Linux, this is ${process.platform}`;
  try {
    await using space = await Space.open();
    await space.run('nft list ruleset');
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/**
 * A test that has a lab of its own, which is gone afterwards. Where labs are not possible it is skipped with the
 * reason, which is a failure in CI (scripts/test/skips.ts).
 */
export function scenario(
  name: string,
  topology: Topology,
  run: (lab: Lab) => Promise<void>,
  timeoutMs = scenarioMs,
): void {
  test(name, { timeout: keeps ? 0 : timeoutMs }, async (context) => {
    obstacle ??= findObstacle();
    const maps = Object.values(topology.networks ?? {}).some(({ mapsPorts }) => mapsPorts !== undefined);
    const reason = (await obstacle) ?? (maps ? await gatewayObstacle() : undefined);
    if (reason !== undefined) context.skip(reason);
    await using lab = await startLab(topology);
    onTestFailed(() => console.error(lab.tellers.map((tell) => tell()).join('\n')));
    if (!keeps) return await run(lab);
    await run(lab).catch((error: unknown) => console.error(error));
    await hold(name, lab);
  });
}

/** Never resolves: ends with the process. */
async function hold(name: string, lab: Lab): Promise<never> {
  const nodes = Object.entries(lab.enter()).map(([node, command]) => `  ${node.padEnd(12)} ${command}`);
  process.stderr.write([`\n${name}: kept until Ctrl-C. A shell in each place:`, ...nodes, ''].join('\n'));
  return new Promise(() => setInterval(() => {}, 1 << 30));
}
