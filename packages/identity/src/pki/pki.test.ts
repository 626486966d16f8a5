import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createRequest } from '../ca/issue.ts';
import { generateKey } from '../keys/pkcs8.ts';
import { loadIdentity, loadTrustBundle } from '../local.ts';
import { loadSnapshot, takeSnapshot, watchSnapshot } from '../snapshot/store.ts';
import { verifyPeer } from '../verify/peer.ts';
import { initPki } from './directory.ts';
import { type IssueOptions, issueIdentity } from './issue.ts';
import { describeFile, formatShown } from './show.ts';
import { signDocument } from './sign.ts';

const NOW = Date.UTC(2026, 0, 15, 12);
const DAY = 86_400_000;

let home: string;
let dir: string;

beforeEach(async () => {
  home = mkdtempSync(join(tmpdir(), 'ztna-pki-'));
  dir = join(home, 'pki');
  await initPki({ dir, trustDomain: 'corp.example', tenant: 'default', nowMs: NOW });
});
afterEach(() => rmSync(home, { recursive: true, force: true }));

describe('init', () => {
  it('keeps keys and directory for the owner alone', () => {
    expect(statSync(dir).mode & 0o777).toBe(0o700);
    for (const part of ['root', 'issuing', 'snapshot']) {
      expect(statSync(join(dir, `${part}.key`)).mode & 0o777).toBe(0o600);
    }
  });

  it('never writes over a PKI without force', async () => {
    const before = readFileSync(join(dir, 'root.key'), 'utf8');
    const options = { dir, trustDomain: 'corp.example', tenant: 'default', nowMs: NOW };
    await expect(initPki(options)).rejects.toMatchObject({ code: 'pki-exists' });
    expect(readFileSync(join(dir, 'root.key'), 'utf8')).toBe(before);
    await initPki({ ...options, force: true });
    expect(readFileSync(join(dir, 'root.key'), 'utf8')).not.toBe(before);
  });

  it('encrypts every key under a passphrase, and issuing needs it', async () => {
    const locked = join(home, 'locked');
    const passphrase = 'correct horse';
    await initPki({
      dir: locked,
      trustDomain: 'corp.example',
      tenant: 'default',
      passphrase,
      nowMs: NOW,
      iterations: 1000,
    });
    for (const part of ['root', 'issuing', 'snapshot']) {
      expect(readFileSync(join(locked, `${part}.key`), 'utf8')).toContain('BEGIN ENCRYPTED PRIVATE KEY');
    }
    const agent = { dir: locked, role: 'agent', name: 'laptop', nowMs: NOW } as const;
    await expect(issueIdentity(agent)).rejects.toThrow('needs a passphrase');
    await expect(issueIdentity({ ...agent, passphrase: 'wrong' })).rejects.toThrow('does not open');
    await issueIdentity({ ...agent, passphrase });
  });

  it('refuses names that cannot stand in an id', async () => {
    const options = { dir: join(home, 'x'), trustDomain: 'Corp Example', tenant: 'default', nowMs: NOW };
    await expect(initPki(options)).rejects.toMatchObject({ code: 'pki-name' });
  });
});

describe('issue', () => {
  it('makes an identity that verifies, with its key for the owner alone', async () => {
    const connector = await issue({ role: 'connector', site: 'berlin', name: 'c1' });
    expect(connector.id).toBe('spiffe://corp.example/default/connector/berlin/c1');
    const { privateKeyFile = '', certificateFile, bundleFile } = connector;
    expect(statSync(privateKeyFile).mode & 0o777).toBe(0o600);
    const identity = loadIdentity({ certificateFile, privateKeyFile });
    const trust = loadTrustBundle(bundleFile);
    const expected = {
      trust,
      trustDomain: 'corp.example',
      tenant: 'default',
      roles: ['connector'],
      revoked: [],
    } as const;
    expect(verifyPeer(identity.chain, NOW, expected)).toMatchObject({
      ok: true,
      value: { id: connector.id },
    });
  });

  it('a connector needs a site, nobody else has one', async () => {
    await expect(issue({ role: 'connector', name: 'c1' })).rejects.toMatchObject({ code: 'pki-site' });
    await expect(issue({ role: 'agent', site: 'berlin', name: 'a' })).rejects.toMatchObject({
      code: 'pki-site',
    });
  });

  it('an identity is replaced only with force', async () => {
    await issue({ role: 'agent', name: 'laptop' });
    await expect(issue({ role: 'agent', name: 'laptop' })).rejects.toMatchObject({ code: 'file-exists' });
    await issue({ role: 'agent', name: 'laptop', force: true });
  });

  it('a lifetime may last until the issuing authority ends, and no longer', async () => {
    const long = await issue({ role: 'agent', name: 'a', ttlMs: 729 * DAY });
    expect(long.notAfterMs).toBe(NOW + 729 * DAY);
    await expect(issue({ role: 'agent', name: 'b', ttlMs: 731 * DAY })).rejects.toMatchObject({
      code: 'pki-ttl-too-long',
    });
    const late = issue({ role: 'agent', name: 'c', nowMs: NOW + 3 * 365 * DAY });
    await expect(late).rejects.toMatchObject({ code: 'pki-issuer-expired' });
  });

  it('a request keeps its key where it was made', async () => {
    const csrFile = join(home, 'laptop.csr');
    const key = generateKey('p256');
    const request = await createRequest(key);
    writeFileSync(csrFile, request);
    const agent = await issue({ role: 'agent', name: 'laptop', csrFile });
    expect(agent.privateKeyFile).toBeUndefined();
    writeFileSync(join(home, 'key.pem'), key.export({ type: 'pkcs8', format: 'pem' }));
    const files = { certificateFile: agent.certificateFile, privateKeyFile: join(home, 'key.pem') };
    expect(loadIdentity(files).id).toBe(agent.id);
  });

  it('a request that was changed is refused', async () => {
    const csrFile = join(home, 'bad.csr');
    writeFileSync(csrFile, 'hello');
    await expect(issue({ role: 'agent', name: 'laptop', csrFile })).rejects.toMatchObject({
      code: 'pki-csr',
    });
    const request = await createRequest(generateKey('p256'));
    const bytes = Buffer.from(request.replace(/-----[^-]*-----/g, ''), 'base64');
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`;
    writeFileSync(csrFile, pem);
    await expect(issue({ role: 'agent', name: 'laptop', csrFile })).rejects.toMatchObject({
      code: 'pki-csr',
    });
  });

  it("a key that is not the certificate's is refused on loading", async () => {
    const a = await issue({ role: 'agent', name: 'a' });
    const b = await issue({ role: 'agent', name: 'b' });
    const files = { certificateFile: a.certificateFile, privateKeyFile: b.privateKeyFile ?? '' };
    expect(() => loadIdentity(files)).toThrow('not that of the certificate');
  });
});

describe('sign-snapshot', () => {
  it('writes one envelope for each component, which the component takes', async () => {
    const signed = sign(document());
    expect(signed.snapshots.map(({ file }) => file.slice(home.length + 1))).toEqual([
      'out/intermediate/eu-1.snapshot',
      'out/connector/berlin/c1.snapshot',
      'out/agent/laptop.snapshot',
    ]);
    const { snapshot } = loadSnapshot(source(), NOW);
    expect(snapshot).toMatchObject({ revision: 7, content: { services: [{ name: 'web' }] } });
  });

  it('refuses an invalid document by file, line and field, and writes nothing', () => {
    const file = join(home, 'bad.yaml');
    writeFileSync(file, 'trustDomain: corp.example\nrevision: 1\nservices:\n  - nam: web\n');
    const failure = () => signDocument({ dir, documentFile: file, out: join(home, 'out'), nowMs: NOW });
    expect(failure).toThrow(`${file}:4:`);
    expect(failure).toThrow('services[0].nam: unknown field');
    expect(() => statSync(join(home, 'out'))).toThrow();
  });

  it('refuses a document whose tests fail, or of another trust domain', () => {
    const tests = [{ who: 'laptop', service: 'web', expect: 'deny' }];
    expect(() => sign({ ...document(), tests })).toThrow('tests[0]: laptop -> web: expected deny, is allow');
    expect(() => sign({ ...document(), trustDomain: 'other.example' })).toThrow(
      'but the PKI is for corp.example',
    );
  });

  it('a revision has one content', () => {
    sign(document());
    sign(document());
    expect(() => sign({ ...document(), tests: [], policies: [] })).toThrow('not newer');
    expect(() => sign({ ...document(), revision: 6 })).toThrow('not newer');
    sign({ ...document(), tests: [], policies: [], revision: 8 });
  });
});

describe('a component', () => {
  it('takes no older snapshot, also after a restart', () => {
    sign(document());
    takeSnapshot(source(), NOW);
    sign({ ...document(), revision: 6 }, true);
    expect(() => takeSnapshot(source(), NOW)).toThrow('its revision is 6');
    const start = loadSnapshot(source(), NOW);
    expect(start.snapshot.revision).toBe(7);
    expect(start.refused).toMatchObject({ code: 'snapshot-older-revision' });
  });

  it('starts with the last good snapshot when the file is damaged, and not without any', () => {
    sign(document());
    const { file } = source();
    const good = readFileSync(file);
    writeFileSync(file, 'damaged');
    expect(() => loadSnapshot(source(), NOW)).toThrow('refused');
    writeFileSync(file, good);
    takeSnapshot(source(), NOW);
    writeFileSync(file, 'damaged');
    expect(loadSnapshot(source(), NOW)).toMatchObject({ refused: { code: 'snapshot-malformed' } });
    expect(() => loadSnapshot(source(), NOW + 8 * DAY)).toThrow('refused');
  });

  it('a state that cannot be read is an error, not a fresh start', () => {
    sign(document());
    takeSnapshot(source(), NOW);
    writeFileSync(join(source().stateDir, 'snapshot-state.json'), '{');
    expect(() => takeSnapshot(source(), NOW)).toThrow('cannot be read');
  });

  it('reloads when the file is replaced, and keeps what it has when the new one is refused', async () => {
    sign(document());
    const events: string[] = [];
    const first = Promise.withResolvers<void>();
    const watch = watchSnapshot({
      source: source(),
      now: () => NOW,
      settleMs: 1,
      onSnapshot({ revision }) {
        events.push(`taken ${revision}`);
        first.resolve();
      },
      onRefused: ({ code }) => events.push(code),
    });
    try {
      sign({ ...document(), revision: 8 });
      await first.promise;
      expect(events).toContain('taken 8');
      sign({ ...document(), revision: 7 }, true);
      watch.reload();
      expect(events).toContain('snapshot-older-revision');
    } finally {
      watch.close();
    }
  });
});

describe('show', () => {
  it('describes certificates and snapshots, and no keys', async () => {
    const agent = await issue({ role: 'agent', name: 'laptop' });
    const lines = formatShown(describeFile(agent.certificateFile)).join('\n');
    expect(lines).toContain('identity  spiffe://corp.example/default/agent/laptop');
    expect(lines).toContain('authority');
    sign(document());
    const snapshot = formatShown(describeFile(join(home, 'out/connector/berlin/c1.snapshot'))).join('\n');
    expect(snapshot).toContain('web-for-alice: laptop (alice) -> web');
    expect(() => describeFile(agent.privateKeyFile ?? '')).toThrow('private key');
    writeFileSync(join(home, 'x'), 'hello');
    expect(() => describeFile(join(home, 'x'))).toThrow('neither');
    expect(() => describeFile(join(home, 'none'))).toThrow(
      expect.objectContaining({
        code: 'file-system',
        remedy: expect.stringContaining('name certificate.pem'),
      }),
    );
  });

  it('says what narrows the use of direct paths, and that a site shows its private addresses', () => {
    const narrowed = document();
    sign({
      ...narrowed,
      sites: [{ name: 'berlin', connectors: ['c1'], showPrivateAddresses: true }],
      services: narrowed.services.map((service) => ({ ...service, direct: 'require' })),
      policies: narrowed.policies.map((policy) => ({ ...policy, direct: 'deny' })),
    });
    const shown = (file: string) => formatShown(describeFile(join(home, 'out', file))).join('\n');
    expect(shown('connector/berlin/c1.snapshot')).toContain('services         web (direct paths: require)');
    expect(shown('connector/berlin/c1.snapshot')).toContain('-> web (direct paths: deny)');
    expect(shown('connector/berlin/c1.snapshot')).toContain('shows            its private addresses');
    expect(shown('agent/laptop.snapshot')).toContain('services         web (direct paths: deny)');
    expect(shown('intermediate/eu-1.snapshot')).not.toContain('direct');
  });
});

function issue(options: Omit<IssueOptions, 'dir' | 'nowMs'> & { nowMs?: number }) {
  return issueIdentity({ dir, nowMs: NOW, ...options });
}

function document() {
  return {
    trustDomain: 'corp.example',
    revision: 7,
    intermediates: [{ name: 'eu-1', addresses: ['eu-1.corp.example:4433'] }],
    sites: [{ name: 'berlin', connectors: ['c1'] }],
    services: [
      {
        name: 'web',
        ports: [{ transport: 'tcp', port: 80, backend: '10.0.0.1:8080' }],
        connectors: ['berlin/c1'],
      },
    ],
    agents: [{ name: 'laptop', subject: 'alice' }],
    policies: [{ name: 'web-for-alice', who: { subjects: ['alice'] }, services: ['web'] }],
    tests: [{ who: 'laptop', service: 'web', expect: 'allow' }],
  };
}

function sign(content: object, force = false) {
  const documentFile = join(home, 'document.yaml');
  writeFileSync(documentFile, JSON.stringify(content));
  return signDocument({ dir, documentFile, out: join(home, 'out'), force, nowMs: NOW });
}

function source() {
  return {
    file: join(home, 'out/agent/laptop.snapshot'),
    stateDir: join(home, 'state'),
    trust: loadTrustBundle(join(dir, 'trust.pem')),
    audience: 'spiffe://corp.example/default/agent/laptop' as never,
  };
}
