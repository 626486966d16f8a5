import type { ComponentStatus } from '@ztna/link';
import type { CommandIo } from '@ztna/runtime';
import { readControlPlace } from '@ztna/runtime/config';
import { askControl, controlDirectories, findSockets } from '@ztna/runtime/control';

/** Agents that run with this configuration file; those that do not answer are left out. */
export async function findRunning(config: string, { env, cwd }: CommandIo): Promise<ComponentStatus[]> {
  const place = readControlPlace(config, cwd);
  if (typeof place === 'string') return [];
  const uid = process.getuid?.() ?? 0;
  const { stateDir, socket, file } = place;
  const found = findSockets(controlDirectories({ env, uid, stateDir }), uid);
  const sockets = new Set(socket === undefined ? found : [socket, ...found]);
  const all = await Promise.all(
    [...sockets].map((path) => askControl(path, 'status').catch(() => undefined)),
  );
  return all.filter((answer): answer is ComponentStatus => {
    const status = answer as Partial<ComponentStatus> | undefined;
    const isAgent = status?.component === 'agent' && Array.isArray(status.intermediates);
    return isAgent && status.configFile === file;
  });
}
