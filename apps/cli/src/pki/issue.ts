import { type IssuableRole, issueIdentity } from '@ztna/identity/pki';
import { parseDuration } from '@ztna/policy';
import { defineCommand, UsageError } from '@ztna/runtime';
import { dirOption, forceOption, passphraseOption, pathFrom, readPassphrase } from './options.ts';

const roles = ['agent', 'connector', 'intermediate'] as const satisfies readonly IssuableRole[];

export const command = defineCommand({
  name: 'issue',
  summary: 'issue the identity of a component',
  description:
    'Makes a key and a certificate with the SPIFFE id of the component: certificate.pem, key.pem and trust.pem. ' +
    'With --csr the key stays where it was made; what the request asks for is ignored but its key.',
  options: {
    dir: dirOption,
    role: {
      type: 'string',
      required: true,
      choices: roles,
      placeholder: roles.join('|'),
      description: 'what it is',
    },
    name: { type: 'string', required: true, placeholder: 'NAME', description: 'name in its id' },
    site: { type: 'string', placeholder: 'SITE', description: 'where a connector stands; it must have one' },
    ttl: {
      type: 'string',
      placeholder: 'TIME',
      description: 'lifetime, e.g. 12h or 30d; by default 24h for agents, 14d for others',
    },
    out: {
      type: 'string',
      placeholder: 'DIR',
      description: 'where to write; by default issued/ROLE/NAME in the directory of the authority',
    },
    csr: {
      type: 'string',
      placeholder: 'FILE',
      description: 'certificate request (PKCS#10, PEM) instead of a new key',
    },
    'passphrase-file': passphraseOption,
    force: forceOption,
  },
  examples: [
    { command: 'ztna pki issue --role agent --name laptop --out laptop', description: 'An agent' },
    {
      command: 'ztna pki issue --role connector --site berlin --name c1 --csr c1.csr --out c1',
      description: 'A connector that made its own key',
    },
  ],
  async run({ options, io, json, print }) {
    const { role, name, site, out, csr, force } = options;
    const issued = await issueIdentity({
      ...{ dir: pathFrom(io, options.dir), role, name, force, nowMs: Date.now() },
      ...(await readPassphrase(io, options['passphrase-file'])),
      ...(site === undefined ? {} : { site }),
      ...(out === undefined ? {} : { out: pathFrom(io, out) }),
      ...(csr === undefined ? {} : { csrFile: pathFrom(io, csr) }),
      ...lifetime(options.ttl),
    });
    const until = new Date(issued.notAfterMs).toISOString();
    if (json) print(JSON.stringify({ ...issued, notAfter: until }));
    else {
      print(`issued ${issued.id}, until ${until}`);
      print(`  certificate  ${issued.certificateFile}`);
      if (issued.privateKeyFile !== undefined) print(`  private key  ${issued.privateKeyFile}`);
      print(`  trust        ${issued.bundleFile}`);
    }
    return undefined;
  },
});

function lifetime(text: string | undefined): { ttlMs?: number } {
  if (text === undefined) return {};
  const ttlMs = parseDuration(text);
  if (!ttlMs.ok) throw new UsageError(`--ttl is '${text}', but ${ttlMs.error.detail}`);
  return { ttlMs: ttlMs.value };
}
