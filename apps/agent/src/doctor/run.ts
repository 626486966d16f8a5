import type { ComponentStatus } from '@ztna/link';
import { isFault, RuntimeFault } from '@ztna/runtime';
import type { AgentConfig, LoadedConfig } from '@ztna/runtime/config';
import { type Check, type CheckName, fail, failed, ok, skip } from './check.ts';
import { checkPortMapping } from './port-mapping.ts';

export interface DoctorOptions {
  /** Rejects when the configuration cannot be used. */
  readonly config: Promise<LoadedConfig<AgentConfig>>;
  /** Agents of this configuration that run. */
  readonly running: readonly ComponentStatus[];
  readonly signal: AbortSignal;
}

const NEED_CONFIG: readonly CheckName[] = [
  'key',
  'certificate',
  'snapshot',
  'name',
  'udp',
  'nat',
  'port-mapping',
  'clock',
  'listen',
];

/** Every check, in order, each as soon as it is done. Changes nothing on this machine. */
export async function* runChecks({ config, running, signal }: DoctorOptions): AsyncGenerator<Check> {
  const runtime = await checkRuntime();
  yield runtime;
  const { checkListen, checkMachine } = await import('./machine.ts');
  const loaded = await config.catch((error: unknown) => failed('configuration', error));
  if ('check' in loaded) {
    yield loaded;
    for (const check of NEED_CONFIG) yield skip(check, 'needs a configuration that can be used');
    yield* checkMachine(undefined);
    return;
  }
  yield ok('configuration', `${loaded.file} is valid`);
  const { checkFiles } = await import('./files.ts');
  const files = checkFiles(loaded.value, Date.now());
  yield* files.checks;
  // In the order of `CheckName`.
  for (const check of await network(runtime, loaded.value, files, running, signal)) {
    yield check;
    if (check.check === 'nat') yield checkPortMapping(running);
  }
  yield await checkListen(
    loaded.value,
    running.map(({ pid }) => pid),
  );
  yield* checkMachine(loaded.value);
}

async function network(
  runtime: Check,
  config: AgentConfig,
  files: Parameters<typeof import('./network.ts').checkNetwork>[1],
  running: readonly ComponentStatus[],
  signal: AbortSignal,
): Promise<Check[]> {
  if (runtime.status !== 'ok') return [skip('udp', 'needs the QUIC addon')];
  try {
    const { checkNetwork } = await import('./network.ts');
    return await checkNetwork(config, files, running, signal);
  } catch (error) {
    if (!isFault(error)) throw error;
    return [failed('udp', error)];
  }
}

async function checkRuntime(): Promise<Check> {
  const platform = `${process.platform}-${process.arch}`;
  try {
    await import('@ztna/quic');
    return ok('runtime', `node ${process.version}, ${platform}; the QUIC addon loads`);
  } catch (cause) {
    const { message } = new RuntimeFault({
      ...{ code: 'addon-missing', fault: 'config', cause },
      message: `the QUIC addon does not load on ${platform}: ${cause instanceof Error ? cause.message.split('\n')[0] : cause}`,
    });
    return fail('runtime', { code: 'addon-missing', message, remedy: 'build it: ./ztna --setup' });
  }
}
