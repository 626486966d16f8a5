/** What a link does to packets in each direction. */
export interface Impairment {
  /** 100 drops everything, neighbour discovery as well; less only IP packets, each by chance. */
  readonly lossPercent?: number;
}

/** Rules for the receiving end of a link, in the namespace of `device`; they replace the ones before. */
export function impairment(device: string, { lossPercent = 0 }: Impairment): string {
  const table = `netdev link-${device}`;
  return [
    `table ${table} {}`,
    `delete table ${table}`,
    `table ${table} {`,
    '  counter lost {}',
    `  chain in { type filter hook ingress device "${device}" priority 0;`,
    ...rule(lossPercent).map((line) => `    ${line}`),
    '  }',
    '}',
  ].join('\n');
}

const steps = 100_000;

function rule(lossPercent: number): string[] {
  if (lossPercent <= 0) return [];
  const chance = lossPercent >= 100 ? '' : 'meta protocol { ip, ip6 } ';
  return [`${chance}${drop(lossPercent, 'lost')}`];
}

/** What drops such a share of the packets that come so far in a rule, and counts them. */
export function drop(lossPercent: number, counter: string): string {
  const below = Math.round((lossPercent / 100) * steps);
  return `${lossPercent >= 100 ? '' : `numgen random mod ${steps} < ${below} `}counter name ${counter} drop`;
}
