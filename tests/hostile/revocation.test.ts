import { copyFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { signDocument } from '@ztna/identity/pki';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { TestAgent } from '../system/support/agent.ts';
import { type Arena, startArena } from './support/arena.ts';
import { HostilePeer } from './support/peer.ts';

let arena: Arena;
let mallory: TestAgent;
beforeEach(async () => {
  arena = await startArena();
  mallory = arena.agentOf(arena.mallory);
});
afterEach(() => arena[Symbol.asyncDispose]());

test('the connector cuts by its own list, before the intermediate has heard', async () => {
  const flow = await openFlow();
  revokeAt('connector', 'lab/c1');
  await arena.stack.connector.reload();
  expect(arena.stack.connector.stats().sessions).toBe(1);
  await expect(flow.read()).rejects.toThrow();
  const record = arena.stack.logs.entries.find(
    ({ event, verdict }) => event === 'flow.ended' && verdict === 'cut',
  );
  expect(record).toMatchObject({ agent: arena.mallory.id, reason: 'revoked' });
  await arena.unharmed();
});

test('the intermediate cuts connection and sessions, and the agent ends them at once', async () => {
  const flow = await openFlow();
  revokeAt('intermediate', 'relay');
  await arena.stack.intermediate.reload();
  expect(arena.stack.intermediate.stats()).toMatchObject({ peers: 2, sessions: 1 });
  await expect.poll(() => mallory.stats().sessions).toBe(0);
  await expect(flow.read()).rejects.toThrow();
  await expect.poll(() => arena.stack.connector.stats().sessions).toBe(1);
  const again = await mallory.flow('echo', 'tcp');
  expect(again).toMatchObject({ ok: false, error: { code: 'revoked' } });
  await arena.unharmed();
});

test('a connection does not outlive the certificate that it was made with', async () => {
  const brief = await arena.stack.pki.issue('agent', 'brief', 2_000);
  await using peer = await HostilePeer.greeted(brief, arena.target);
  await arena.stack.intermediate.reload();
  expect(peer.connection.isClosed).toBe(false);
  const ended = async () => {
    await arena.stack.intermediate.reload();
    return peer.connection.isClosed;
  };
  await expect.poll(ended, { timeout: 10_000, interval: 500 }).toBe(true);
  expect(await peer.connection.closed).toMatchObject({ reason: 'certificate refused: expired' });
  await arena.unharmed();
});

async function openFlow() {
  const outcome = await mallory.flow('echo', 'tcp');
  if (!outcome.ok) throw new Error(outcome.error.message);
  await outcome.stream.write(Buffer.from('alive'));
  expect(Buffer.from((await outcome.stream.read()) ?? []).toString()).toBe('alive');
  return outcome.stream;
}

/** Signs a newer document that revokes mallory and gives it to one component alone. */
function revokeAt(role: string, name: string): void {
  const { dir } = arena.stack.pki;
  const document = {
    ...arena.document,
    trustDomain: 'test.example',
    revision: 1_000,
    revoked: [arena.mallory.id],
  };
  const documentFile = join(dir, 'revoking.json');
  writeFileSync(documentFile, JSON.stringify(document));
  const out = join(dir, 'elsewhere');
  signDocument({ dir: join(dir, 'pki'), documentFile, out, nowMs: Date.now() });
  copyFileSync(join(out, role, `${name}.snapshot`), join(dir, 'snapshots', role, `${name}.snapshot`));
}
