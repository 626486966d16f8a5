import { chmodSync, lstatSync, mkdirSync, readdirSync, type Stats } from 'node:fs';
import { dirname, isAbsolute, join } from 'node:path';
import { RuntimeFault, systemCode, systemReason } from '../faults.ts';

/** Who asks, and where such sockets are on this machine. */
export interface ControlSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Of this process. */
  readonly uid: number;
  /** Where root has them. */
  readonly rootDirectory?: string;
  /** State folder of the component, for a user without a runtime directory. */
  readonly stateDir?: string | undefined;
}

/** Address of a Unix socket, in bytes without the closing zero: Linux 107, macOS 103. */
const MAX_PATH_BYTES = process.platform === 'linux' ? 107 : 103;
const MAX_SOCKETS = 256;
const SUFFIX = '.sock';

/**
 * Directories in which components of this user have their sockets, the preferred one first: `$XDG_RUNTIME_DIR/ztna`
 * if that directory is the user's own, /run/ztna for root, `run` in the state folder.
 */
export function controlDirectories(around: ControlSurroundings): string[] {
  const { env, uid, rootDirectory = '/run/ztna', stateDir } = around;
  const runtime = env.XDG_RUNTIME_DIR;
  const isOwn = runtime && isAbsolute(runtime) && statOf(runtime)?.uid === uid;
  return [
    ...(isOwn ? [join(runtime, 'ztna')] : []),
    ...(uid === 0 ? [rootDirectory] : []),
    ...(stateDir === undefined ? [] : [join(stateDir, 'run')]),
  ];
}

/** The sockets in these directories; those that others could have put there are left out. */
export function findSockets(directories: readonly string[], uid: number): string[] {
  const found = directories.flatMap((directory) =>
    namesIn(directory)
      .filter((name) => name.endsWith(SUFFIX))
      .map((name) => join(directory, name)),
  );
  return found.filter((path) => whyUnsafe(path, uid) === undefined).slice(0, MAX_SOCKETS);
}

/** Name of a socket of this process. `chance` keeps processes of several containers apart that share a directory. */
export function socketName(component: string, pid: number, chance: string): string {
  return `${component}-${pid}-${chance}${SUFFIX}`;
}

/** Why nobody should talk to this socket: somebody else may have put it there. undefined: it is one of ours. */
export function whyUnsafe(path: string, uid: number): string | undefined {
  const socket = statOf(path);
  const directory = statOf(dirname(path));
  if (!socket || !directory) return 'no such file or directory';
  if (!socket.isSocket()) return 'it is no socket';
  const isTrusted = ({ uid: owner }: Stats) => owner === uid || owner === 0 || uid === 0;
  if (!isTrusted(socket) || !isTrusted(directory)) return 'it belongs to another user';
  if (directory.mode & 0o022) return `others may write to ${dirname(path)}`;
  return undefined;
}

/**
 * Makes the directory of a socket, for the owner alone; one level. Throws RuntimeFault `control-unsafe` when it is not
 * the owner's (or root's) or others may write to it, and when the path is too long for a socket.
 */
export function prepareDirectory(path: string, uid: number): void {
  const bytes = Buffer.byteLength(path);
  if (bytes > MAX_PATH_BYTES) {
    throw unsafe(path, `the path has ${bytes} bytes, a socket may have ${MAX_PATH_BYTES}`);
  }
  const directory = dirname(path);
  try {
    mkdirSync(directory, { mode: 0o700 });
    chmodSync(directory, 0o700); // whatever the umask
  } catch (cause) {
    if (systemCode(cause) !== 'EEXIST')
      throw unsafe(path, `cannot make ${directory}: ${systemReason(cause)}`);
  }
  const stat = lstatSync(directory);
  if (!stat.isDirectory()) throw unsafe(path, `${directory} is no directory`);
  if (stat.uid !== uid && stat.uid !== 0) throw unsafe(path, `${directory} belongs to another user`);
  if (stat.mode & 0o022) throw unsafe(path, `others may write to ${directory}`);
}

/** What a path itself is, links not followed. */
export function statOf(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // not there, or not ours to read: nothing of ours is in it
  }
}

function unsafe(path: string, why: string): RuntimeFault {
  return new RuntimeFault({
    code: 'control-unsafe',
    fault: 'config',
    message: `no control socket at ${path}: ${why}`,
    remedy: 'name a socket in a directory of your own, mode 0700, with control.socket',
  });
}
