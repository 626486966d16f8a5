import { sign } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { peekSnapshot, signSnapshot } from '@ztna/identity';
import {
  decodeSnapshotEnvelope,
  encodeSnapshotEnvelope,
  type Snapshot,
  snapshotSigningInput,
} from '@ztna/wire';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openPart } from '../../packages/identity/src/pki/directory.ts';
import { type Arena, startArena } from './support/arena.ts';
import { runToEnd } from './support/child.ts';

let arena: Arena;
let dir: string;
beforeAll(async () => {
  arena = await startArena();
  dir = arena.stack.pki.dir;
});
afterAll(() => arena[Symbol.asyncDispose]());

describe('a component that cannot start says which setting is to blame and ends', () => {
  test.each<[string, () => object, RegExp]>([
    ['a port that is in use', () => ({ listen: arena.target }), /in use.*listen/is],
    ['an unknown field', () => ({ lisen: '127.0.0.1:0' }), /lisen.*listen/is],
    [
      'a key that is not there',
      () => ({ identity: identity({ privateKeyFile: '/nowhere/key.pem' }) }),
      /nowhere/,
    ],
    [
      'a key that is none',
      () => ({ identity: identity({ privateKeyFile: garbage('broken.pem') }) }),
      /broken\.pem/,
    ],
    [
      'a key of another certificate',
      () => ({ identity: identity({ privateKeyFile: foreignKey() }) }),
      /not that of/,
    ],
  ])('%s', async (_, changes, message) => {
    const { code, stderr } = await runToEnd('intermediate', '--config', config(await changes()));
    expect(code).not.toBe(0);
    expect(stderr).toMatch(message);
    expect(stderr).not.toMatch(/PRIVATE KEY|^\s+at /m);
    await arena.unharmed();
  });
});

describe('a snapshot that is not to be taken', () => {
  const file = () => join(dir, 'snapshots', 'connector', 'lab', 'c1.snapshot');
  const cases: [string, string, (good: Uint8Array) => Uint8Array][] = [
    ['unsigned', 'bad-signature', (good) => reseal(good, (s) => s, new Uint8Array(64))],
    ['changed after it was signed', 'bad-signature', changed],
    [
      'of another audience',
      'other-audience',
      () => readFileSync(join(dir, 'snapshots', 'agent', 'laptop.snapshot')),
    ],
    [
      'expired',
      'expired',
      (good) => reseal(good, (s) => ({ ...s, issuedAtMs: 1, expiresAtMs: Date.now() - 1 })),
    ],
    [
      'older',
      'older-revision',
      (good) => reseal(good, (s) => ({ ...s, revision: 1 as Snapshot['revision'] })),
    ],
    ['with an unknown field', 'unknown-field', withUnknownField],
    [
      'in an envelope with an unknown field',
      'malformed',
      (good) => Buffer.concat([good, Uint8Array.of(0xfa, 1, 1, 0)]),
    ],
    ['no snapshot at all', 'malformed', () => Buffer.from('not a snapshot')],
  ];
  test.each(cases)('%s: what is in force stays, a warning says why, flows go on', async (_, code, make) => {
    const good = readFileSync(file());
    const warned = () =>
      arena.stack.logs.warnings('connector').filter(({ err }) => codeOf(err) === `snapshot-${code}`);
    const before = warned().length;
    writeFileSync(file(), make(good));
    await arena.stack.connector.reload();
    expect(warned().length).toBeGreaterThan(before);
    await arena.unharmed();
    writeFileSync(file(), good);
    await arena.stack.connector.reload();
  });
});

function codeOf(err: unknown): unknown {
  return (err as { code?: unknown } | undefined)?.code;
}

/** The snapshot with changes, signed by the real key unless a signature is given. */
function reseal(
  envelope: Uint8Array,
  change: (snapshot: Snapshot) => Snapshot,
  signature?: Uint8Array,
): Uint8Array {
  const snapshot = peekSnapshot(envelope);
  if (!snapshot.ok) throw new Error(snapshot.error.detail);
  const sealed = signSnapshot(change(snapshot.value), openPart(join(dir, 'pki'), 'snapshot'));
  return signature ? encodeSnapshotEnvelope({ ...outer(sealed), signature }) : sealed;
}

function changed(good: Uint8Array): Uint8Array {
  const { snapshot, ...rest } = outer(good);
  const bytes = Uint8Array.from(snapshot);
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  return encodeSnapshotEnvelope({ ...rest, snapshot: bytes });
}

/** A field of a later version, signed: an older component must not act as if it were not there. */
function withUnknownField(good: Uint8Array): Uint8Array {
  const { snapshot, ...rest } = outer(
    reseal(good, (s) => ({ ...s, revision: (s.revision + 1) as Snapshot['revision'] })),
  );
  const bytes = Buffer.concat([snapshot, Uint8Array.of(0xfa, 0x01, 0x01, 0x00)]);
  const { key } = openPart(join(dir, 'pki'), 'snapshot');
  const signature = new Uint8Array(sign(null, snapshotSigningInput(bytes), key));
  return encodeSnapshotEnvelope({ ...rest, snapshot: bytes, signature });
}

function outer(envelope: Uint8Array) {
  const decoded = decodeSnapshotEnvelope(envelope);
  if (!decoded.ok) throw new Error(decoded.error.detail);
  return decoded.value;
}

function config(changes: object): string {
  const file = join(dir, 'broken-intermediate.json');
  const files = {
    identity: identity({}),
    trust: { bundleFile: join(issued(), 'trust.pem') },
    snapshotFile: join(dir, 'snapshots', 'intermediate', 'relay.snapshot'),
    stateDir: join(dir, 'state', 'broken'),
  };
  writeFileSync(
    file,
    JSON.stringify({ listen: '127.0.0.1:0', metrics: { listen: 'off' }, ...files, ...changes }),
  );
  return file;
}

function identity(changes: object) {
  return {
    certificateFile: join(issued(), 'certificate.pem'),
    privateKeyFile: join(issued(), 'key.pem'),
    ...changes,
  };
}

function issued(): string {
  return join(dir, 'pki', 'issued', 'intermediate', 'relay');
}

function garbage(name: string): string {
  const file = join(dir, name);
  writeFileSync(file, '-----BEGIN PRIVATE KEY-----\nnone\n-----END PRIVATE KEY-----\n', { mode: 0o600 });
  return file;
}

function foreignKey(): string {
  return arena.mallory.files.identity.privateKeyFile;
}
