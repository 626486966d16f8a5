import type { ComponentStatus } from '@ztna/link';
import { isFault, UsageError } from '@ztna/runtime';
import { askControl, controlDirectories, findSockets, whyUnsafe } from '@ztna/runtime/control';

/** What a socket gave. */
export type Found =
  | { readonly socket: string; readonly status: ComponentStatus }
  | { readonly socket: string; readonly error: { readonly code: string; readonly message: string } };

export interface Where {
  readonly socket: string | undefined;
  readonly config: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

/**
 * Asks the components that run: the one on a socket, those of a configuration file, or all of this user. Sockets of
 * dead processes give nothing. Throws UsageError when the file cannot be read.
 */
export async function findComponents({ socket, config, env, cwd }: Where): Promise<Found[]> {
  const uid = process.getuid?.() ?? 0;
  if (socket !== undefined) return present([await ask(socket, uid)]);
  if (config === undefined)
    return present(await askAll(findSockets(controlDirectories({ env, uid }), uid), uid));
  const { readControlPlace } = await import('@ztna/runtime/config');
  const place = readControlPlace(config, cwd);
  if (typeof place === 'string') throw new UsageError(place, 'name the configuration file of a component');
  const { stateDir, file } = place;
  const found = findSockets(controlDirectories({ env, uid, stateDir }), uid);
  const sockets = place.socket === undefined ? found : [place.socket, ...found];
  const all = present(await askAll(sockets, uid));
  return all.filter((one) => !('status' in one) || one.status.configFile === file);
}

function askAll(sockets: readonly string[], uid: number): Promise<(Found | undefined)[]> {
  return Promise.all([...new Set(sockets)].map((socket) => ask(socket, uid)));
}

function present(found: readonly (Found | undefined)[]): Found[] {
  return found.filter((one) => one !== undefined);
}

async function ask(socket: string, uid: number): Promise<Found | undefined> {
  try {
    const unsafe = whyUnsafe(socket, uid);
    if (unsafe === 'no such file or directory') return undefined;
    if (unsafe) return { socket, error: { code: 'control-unsafe', message: `${socket}: ${unsafe}` } };
    const status = await askControl(socket, 'status');
    if (isStatus(status)) return { socket, status };
    return {
      socket,
      error: {
        code: 'control-malformed',
        message: `what answers on ${socket} is no component of this version`,
      },
    };
  } catch (error) {
    if (!isFault(error)) throw error;
    const { code, message } = error;
    return code === 'control-gone' ? undefined : { socket, error: { code, message } };
  }
}

/** Whether it has what is shown of it; another version may have more. */
function isStatus(value: unknown): value is ComponentStatus {
  if (!isObject(value)) return false;
  const { certificate, snapshot, drops, component } = value;
  const isCommon =
    ['component', 'id', 'command', 'started', 'listen', 'configFile'].every(
      (k) => typeof value[k] === 'string',
    ) &&
    typeof value.healthy === 'boolean' &&
    [value.problems].every(isListOfObjects) &&
    [certificate, snapshot, drops].every(isObject);
  if (!isCommon) return false;
  if (component === 'intermediate') return isObject(value.relayed);
  if (component === 'connector') return isListOfObjects(value.intermediates);
  if (component !== 'agent') return true;
  const { intermediates, listeners, sessions } = value;
  return (
    [intermediates, listeners, sessions].every(isListOfObjects) &&
    (sessions as Record<string, unknown>[]).every(({ path }) => path === undefined || isObject(path))
  );
}

function isListOfObjects(value: unknown): boolean {
  return Array.isArray(value) && value.every(isObject);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
