import { type Signed, signDocument } from '@ztna/identity/pki';
import { defineCommand } from '@ztna/runtime';
import { dirOption, forceOption, passphraseOption, pathFrom, readPassphrase } from './options.ts';

export const command = defineCommand({
  name: 'sign-snapshot',
  summary: 'turn a configuration document into signed snapshots',
  description:
    'Validates the document, runs its policy tests, and writes one signed snapshot for each component that it ' +
    'names. If anything is wrong nothing is written. Raise `revision` with every change.',
  options: {
    document: {
      type: 'string',
      required: true,
      placeholder: 'FILE',
      description: 'configuration document, YAML or JSON; `ztna pki schema` prints its schema',
    },
    out: { type: 'string', required: true, placeholder: 'DIR', description: 'where to write the snapshots' },
    dir: dirOption,
    'passphrase-file': passphraseOption,
    force: { ...forceOption, description: 'sign a revision that is not newer than the last one' },
  },
  examples: [
    {
      command: 'ztna pki sign-snapshot --document configuration.yaml --out snapshots',
      description: 'Gives snapshots/agent/laptop.snapshot and so on',
    },
  ],
  async run({ options, io, json, print }) {
    const signed = signDocument({
      dir: pathFrom(io, options.dir),
      documentFile: pathFrom(io, options.document),
      out: pathFrom(io, options.out),
      force: options.force,
      nowMs: Date.now(),
      ...(await readPassphrase(io, options['passphrase-file'])),
    });
    if (json) print(JSON.stringify({ ...signed, expires: new Date(signed.expiresAtMs).toISOString() }));
    else for (const line of table(signed)) print(line);
    return undefined;
  },
});

function table({ snapshots, revision, epoch, expiresAtMs, tests }: Signed): string[] {
  const names = snapshots.map(({ audience }) => audience.split('/').slice(4).join('/'));
  const width = Math.max(9, ...names.map((name) => name.length));
  return [
    `revision ${revision} (epoch ${epoch}), until ${new Date(expiresAtMs).toISOString()}; policy tests passed: ${tests}`,
    `${'component'.padEnd(width)}  services`,
    ...snapshots.map(({ services }, i) => {
      return `${(names[i] ?? '').padEnd(width)}  ${services.length === 0 ? '(none)' : services.join(', ')}`;
    }),
  ];
}
