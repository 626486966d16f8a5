import { existsSync, watch } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { LIMITS, type Snapshot, type SpiffeId, ZtnaError } from '@ztna/wire';
import { readText, readWhole, writeWhole } from '../files.ts';
import type { TrustBundle } from '../verify/trust.ts';
import { type Accepted, type SnapshotRefusal, verifySnapshot } from './envelope.ts';

/** Where a component takes its snapshot from, and what it checks it against. */
export interface SnapshotSource {
  /** The signed envelope. */
  readonly file: string;
  /** Remembers the last good snapshot and its revision, so that a restart takes no older one. */
  readonly stateDir: string;
  readonly trust: TrustBundle;
  readonly audience: SpiffeId;
}

const STATE_FILE = 'snapshot-state.json';
const LAST_GOOD_FILE = 'last-good.snapshot';

/**
 * Loads the snapshot file. What is taken becomes the last good one; if the file is not to be taken, the last good one
 * is used as long as it holds. Throws a ZtnaError (`snapshot-<code>`, `file-system`) when there is neither.
 * `refused` tells why the file was passed over.
 */
export function loadSnapshot(
  source: SnapshotSource,
  nowMs: number,
): { readonly snapshot: Snapshot; readonly refused?: ZtnaError } {
  try {
    return { snapshot: takeSnapshot(source, nowMs) };
  } catch (error) {
    if (!(error instanceof ZtnaError)) throw error;
    const lastGood = join(source.stateDir, LAST_GOOD_FILE);
    if (!existsSync(lastGood)) throw error;
    const again = verifySnapshot(readWhole(lastGood, LIMITS.snapshotEnvelope), nowMs, expectation(source));
    if (!again.ok) throw error;
    return { snapshot: again.value, refused: error };
  }
}

/** Verifies the snapshot file and remembers it as the last good one. Throws a ZtnaError when it is not to be taken. */
export function takeSnapshot(source: SnapshotSource, nowMs: number): Snapshot {
  const { snapshot, envelope } = verifyFile(source, nowMs);
  const { epoch, revision } = snapshot;
  // The state first: after a crash between the two, an older snapshot is still refused.
  const state = `${JSON.stringify({ audience: source.audience, epoch, revision })}\n`;
  writeWhole(join(source.stateDir, STATE_FILE), state, { secret: true, replace: true });
  writeWhole(join(source.stateDir, LAST_GOOD_FILE), envelope, { secret: true, replace: true });
  return snapshot;
}

/** As `takeSnapshot`, and remembers nothing: for somebody who only looks. */
export function checkSnapshot(source: SnapshotSource, nowMs: number): Snapshot {
  return verifyFile(source, nowMs).snapshot;
}

function verifyFile(source: SnapshotSource, nowMs: number) {
  const envelope = readWhole(source.file, LIMITS.snapshotEnvelope);
  const verified = verifySnapshot(envelope, nowMs, expectation(source));
  if (!verified.ok) throw snapshotError(source.file, verified.error);
  return { snapshot: verified.value, envelope };
}

export interface SnapshotWatch {
  /** Looks at the file now. */
  reload(): void;
  close(): void;
}

export interface SnapshotWatchOptions {
  readonly source: SnapshotSource;
  readonly now: () => number;
  readonly onSnapshot: (snapshot: Snapshot) => void;
  /** The snapshot in force stays. */
  readonly onRefused: (error: ZtnaError) => void;
  /** Files settle for so long before they are read, in milliseconds. */
  readonly settleMs?: number;
}

/** Reloads the snapshot when its file is replaced or the process gets SIGHUP, until closed. */
export function watchSnapshot(options: SnapshotWatchOptions): SnapshotWatch {
  const { source, settleMs = 100 } = options;
  let timer: NodeJS.Timeout | undefined;
  // The directory, not the file: a file that is replaced by renaming is a new one.
  const watcher = watch(dirname(source.file), { persistent: false }, (_event, name) => {
    if (name !== null && name !== basename(source.file)) return;
    clearTimeout(timer);
    timer = setTimeout(reload, settleMs).unref();
  });
  watcher.on('error', () => watcher.close()); // SIGHUP still works
  process.on('SIGHUP', reload);
  return {
    reload,
    close() {
      clearTimeout(timer);
      watcher.close();
      process.off('SIGHUP', reload);
    },
  };

  function reload(): void {
    try {
      options.onSnapshot(takeSnapshot(source, options.now()));
    } catch (error) {
      if (!(error instanceof ZtnaError)) throw error;
      options.onRefused(error);
    }
  }
}

function expectation(source: SnapshotSource) {
  const last = readState(source);
  return { trust: source.trust, audience: source.audience, ...(last === undefined ? {} : { last }) };
}

function readState(source: SnapshotSource): Accepted | undefined {
  const file = join(source.stateDir, STATE_FILE);
  if (!existsSync(file)) return undefined;
  const state = parseState(readText(file));
  if (state === undefined) {
    throw new ZtnaError({
      code: 'snapshot-state',
      fault: 'config',
      happened: `${file} cannot be read`,
      remedy: 'restore it; removing it lets the component take a snapshot of any age',
    });
  }
  return state.audience === source.audience ? state : undefined;
}

function parseState(text: string): (Accepted & { readonly audience: string }) | undefined {
  try {
    const state = JSON.parse(text) as Partial<Accepted & { audience: string }> | null;
    if (typeof state?.audience !== 'string') return undefined;
    const { audience, epoch, revision } = state;
    if (!Number.isSafeInteger(epoch) || !Number.isSafeInteger(revision)) return undefined;
    return { audience, epoch: epoch as number, revision: revision as number };
  } catch {
    return undefined;
  }
}

const REMEDIES: Partial<Record<SnapshotRefusal['code'], string>> = {
  malformed: 'give it a file of `ztna pki sign-snapshot`, whole',
  expired: 'sign a new one with `ztna pki sign-snapshot`',
  'other-audience': 'give each component its own file of `ztna pki sign-snapshot`',
  'older-revision': 'raise `revision` in the document and sign it again',
  'older-epoch': 'raise `epoch` in the document and sign it again',
  'untrusted-signer': 'compare the trust bundle with trust.pem of the PKI that signed',
};

function snapshotError(file: string, { code, detail }: SnapshotRefusal): ZtnaError {
  const remedy = REMEDIES[code];
  return new ZtnaError({
    code: `snapshot-${code}`,
    fault: 'config',
    happened: `the snapshot ${file} is refused: ${detail}`,
    ...(remedy === undefined ? {} : { remedy }),
  });
}
