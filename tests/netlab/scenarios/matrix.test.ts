// Every kind of access of an agent with every kind of access of a connector, in one lab.
import { expect } from 'vitest';
import { type AccessKind, type Agent, access, accessKinds, scenario, startZtna } from '../lab/index.ts';

const kinds = accessKinds.filter((kind) => kind !== 'udp-blocked');
const agentOn = (kind: AccessKind) => `a-${kind}`;
const connectorOn = (kind: AccessKind) => `c-${kind}`;
const nodes = kinds.flatMap((kind) => [agentOn(kind), connectorOn(kind)]);

const topology = {
  networks: Object.assign(
    {},
    ...kinds.flatMap((kind) => [
      access(kind, `${agentOn(kind)}-lan`),
      access(kind, `${connectorOn(kind)}-lan`),
    ]),
  ),
  hosts: {
    relay1: { uplinks: ['internet'] },
    relay2: { uplinks: ['internet'] },
    ...Object.fromEntries(nodes.map((node) => [node, { uplinks: [`${node}-lan`] }])),
  },
};

interface Cell {
  readonly firstByteMs: number;
  readonly directMs?: number;
  readonly path: string;
}

scenario('matrix: every kind of access reaches every other', topology, async (lab) => {
  const ztna = await startZtna(lab, {
    intermediates: ['relay1', 'relay2'],
    connectors: kinds.map(connectorOn),
    agents: kinds.map(agentOn),
  });
  const rows = new Map<string, Cell[]>();
  for (const kind of kinds) {
    const agent = await ztna.startAgent(agentOn(kind));
    await agent.event('intermediate.connected', 0);
    const cells: Cell[] = [];
    for (const other of kinds) cells.push(await measure(agent, connectorOn(other)));
    rows.set(kind, cells);
    await agent.process.kill();
  }

  console.log(table(rows));
  const cells = [...rows].flatMap(([kind, row]) =>
    row.map(({ path }, i) => `${kind} to ${kinds[i]}: ${path}`),
  );
  expect(cells.filter((cell) => cell.includes('failed'))).toEqual([]);
});

/** Time in which a direct path is there, or does not come at all. */
const DIRECT_MS = 2_500;

/** The first request of an agent to a connector: session, flow and page; then the path that it ends on. */
async function measure(agent: Agent, service: string): Promise<Cell> {
  const page = await agent.fetch(service, '/health', 20_000);
  const { firstByteMs } = page;
  if (page.status !== 200) return { firstByteMs, path: `failed (curl ${page.exit})` };
  const late = new Promise<undefined>((resolve) => setTimeout(resolve, DIRECT_MS, undefined));
  const directMs = await Promise.race([agent.becomes(service, 'direct'), late]);
  const { path, reason } = await agent.path(service);
  return {
    firstByteMs,
    ...(directMs !== undefined && { directMs }),
    path: reason ? `${path} (${reason})` : path,
  };
}

/** Rows are agents, columns connectors: ms to the first byte of the first request, ms to a direct path, final path. */
function table(rows: ReadonlyMap<string, readonly Cell[]>): string {
  const lines = [...rows].map(([kind, cells]) => [
    kind,
    ...cells.map(
      ({ firstByteMs, directMs, path }) =>
        `${Math.round(firstByteMs)} / ${directMs === undefined ? '-' : Math.round(directMs)} / ${path}`,
    ),
  ]);
  const all = [['agent \\ connector', ...kinds], ...lines];
  const width = all[0]?.map((_, column) => Math.max(...all.map((line) => line[column]?.length ?? 0))) ?? [];
  const text = all.map((line) => line.map((cell, column) => cell.padEnd(width[column] ?? 0)).join('  '));
  return ['first byte ms / direct ms / final path', ...text].join('\n');
}
