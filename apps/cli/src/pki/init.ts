import { initPki } from '@ztna/identity/pki';
import { defineCommand, UsageError } from '@ztna/runtime';
import {
  dirOption,
  forceOption,
  PASSPHRASE_VARIABLE,
  passphraseOption,
  pathFrom,
  readPassphrase,
} from './options.ts';

export const command = defineCommand({
  name: 'init',
  summary: 'make the authority of a trust domain',
  description:
    'Makes a root (10 years), an issuing authority and a snapshot key below it (2 years). Once it is made, ' +
    'root.key may be moved to a safe place: issuing and signing do not need it. Keys are encrypted under a ' +
    'passphrase, unless --no-passphrase says that they shall not be.',
  options: {
    dir: dirOption,
    'trust-domain': {
      type: 'string',
      required: true,
      placeholder: 'NAME',
      description: 'in the ids of all components, e.g. corp.example',
    },
    tenant: { type: 'string', default: 'default', placeholder: 'NAME', description: 'tenant in the ids' },
    'passphrase-file': passphraseOption,
    'no-passphrase': {
      type: 'boolean',
      description: 'leave the keys unencrypted, for the owner alone to read',
    },
    force: {
      ...forceOption,
      description: 'replace an authority; its identities and snapshots are void then',
    },
  },
  examples: [
    {
      command: 'ztna pki init --dir pki --trust-domain corp.example --passphrase-file passphrase.txt',
      description: 'Make an authority with encrypted keys',
    },
    {
      command: 'ztna pki init --dir pki --trust-domain lab.example --no-passphrase',
      description: 'For a laboratory',
    },
  ],
  async run({ options, io, json, print }) {
    const given = options['no-passphrase'] ? {} : await readPassphrase(io, options['passphrase-file']);
    if (options['no-passphrase'] && options['passphrase-file'] !== undefined) {
      throw new UsageError('--no-passphrase and --passphrase-file exclude each other');
    }
    if (!options['no-passphrase'] && given.passphrase === undefined) {
      throw new UsageError(
        'the keys need a passphrase',
        `give --passphrase-file FILE, set ${PASSPHRASE_VARIABLE}, or say --no-passphrase`,
      );
    }
    const dir = pathFrom(io, options.dir);
    const { tenant, force, 'trust-domain': trustDomain } = options;
    const files = await initPki({ dir, trustDomain, tenant, force, ...given, nowMs: Date.now() });
    if (json) print(JSON.stringify({ dir, trustDomain, tenant, files }));
    else {
      print(`made the authority of ${trustDomain}, tenant ${tenant}, in ${dir}`);
      print('give trust.pem to every component; keep root.key offline');
    }
    return undefined;
  },
});
