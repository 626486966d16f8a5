import { canaryCapture, canaryMemory } from './checks/canary.ts';
import type { Check, CheckContext, CheckResult } from './checks/check.ts';
import { tcpHalfClose } from './checks/half-close.ts';
import { download, httpGet, parallelHttp, upload } from './checks/http.ts';
import { noGrant } from './checks/no-grant.ts';
import { ownConnect, ownNoGrant } from './checks/own-backend.ts';
import { describe, runCheck } from './checks/run.ts';
import { udpEcho } from './checks/udp.ts';
import { websocketEcho } from './checks/websocket.ts';
import { serviceNames } from './system/names.ts';
import type { System } from './system/system.ts';
import type { Workspace } from './system/workspace.ts';

const builtInChecks: readonly Check[] = [
  httpGet,
  download,
  upload,
  parallelHttp,
  websocketEcho,
  udpEcho,
  tcpHalfClose,
  noGrant,
  canaryCapture,
  canaryMemory,
];

/** A check bound to the running system. */
interface Bound {
  readonly name: string;
  readonly title: string;
  run(signal: AbortSignal): Promise<CheckResult>;
}

export interface OnceOptions {
  readonly start: () => Promise<System>;
  readonly workspace: Workspace;
  readonly ownBackend: boolean;
  readonly signal: AbortSignal;
  readonly onResult: (title: string, result: CheckResult) => void;
}

/** Titles by name, in the order in which the checks are made; the first is the start itself. */
function titles(ownBackend: boolean): readonly { readonly name: string; readonly title: string }[] {
  const start = { name: 'start', title: 'all processes start' };
  return [start, ...(ownBackend ? [ownConnect, ownNoGrant] : builtInChecks)];
}

/**
 * Starts the system and makes all checks. Never rejects: what could not be done, because a process died or time was
 * up, is a check that does not hold.
 */
export async function runOnce(options: OnceOptions): Promise<CheckResult[]> {
  const { signal, onResult, ownBackend } = options;
  const results: CheckResult[] = [];
  const add = (title: string, result: CheckResult) => {
    results.push(result);
    onResult(title, result);
  };
  const [starting, ...planned] = titles(ownBackend);
  const started = performance.now();
  let failure: string | undefined;
  try {
    const bound = await unlessAborted(start(options), signal);
    const ms = Math.round(performance.now() - started);
    add(starting?.title ?? '', { name: 'start', ok: true, ms, path: 'none', detail: bound.detail });
    for (const check of bound.checks) {
      add(check.title, await check.run(AbortSignal.any([signal, bound.signal])));
    }
  } catch (error) {
    failure = describe(error);
  }
  const missing = [starting, ...planned].filter((check) => check !== undefined).slice(results.length);
  for (const [i, { name, title }] of missing.entries()) {
    const ms = name === 'start' ? Math.round(performance.now() - started) : 0;
    const detail = i === 0 ? (failure ?? 'not done') : `not done after the failure of ${missing[0]?.name}`;
    add(title, { name, ok: false, ms, path: 'none', detail });
  }
  return results;
}

async function start({ start: startSystem, workspace, ownBackend }: OnceOptions) {
  const system = await startSystem();
  const { tap, supervisor } = system;
  const counters = () => tap.counters();
  const bind = <C extends Pick<CheckContext, 'signal'>>(
    checks: readonly (Parameters<typeof runCheck<C>>[0] & { readonly title: string })[],
    context: Omit<C, 'signal'>,
  ): Bound[] =>
    checks.map((check) => ({
      ...check,
      run: (signal) => runCheck<C>(check, { ...context, signal } as C, counters),
    }));
  if (ownBackend && system.backends.kind === 'own') {
    const [proxy, visitorProxy] = await Promise.all([system.proxy('agent'), system.proxy('visitor')]);
    const backend = system.backends.address;
    const checks = bind([ownConnect, ownNoGrant], { proxy, visitorProxy, backend });
    return { checks, signal: supervisor.signal, detail: detailOf(system) };
  }
  const [forwards, visitorProxy] = await Promise.all([system.forward(), system.proxy('visitor')]);
  if (!system.watchedTap) throw new TypeError('the built-in backend has a watched port');
  const checks = bind<CheckContext>(builtInChecks, {
    http: forwards.address(serviceNames.web),
    tcp: forwards.address(serviceNames.echo, 'tcp'),
    udp: forwards.address(serviceNames.echo, 'udp'),
    watched: forwards.address(serviceNames.watched),
    watchedTap: system.watchedTap,
    ...{ visitorProxy, tap },
    processes: {
      intermediate: system.process('intermediate'),
      backend: system.process('backend'),
      visitor: system.process('visitor'),
    },
    intermediateConfig: workspace.configFile('intermediate'),
    captureFile: workspace.path('capture.pcap'),
  });
  return { checks, signal: supervisor.signal, detail: detailOf(system) };
}

function detailOf({ supervisor }: System): string {
  return supervisor.children.map(({ name, pid }) => `${name} ${pid}`).join(', ');
}

async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => {});
  signal.throwIfAborted();
  const { promise, reject } = Promise.withResolvers<never>();
  const onAbort = () => reject(signal.reason);
  signal.addEventListener('abort', onAbort);
  try {
    return await Promise.race([work, promise]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}
