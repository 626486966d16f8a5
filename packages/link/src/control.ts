import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { type Logger, RuntimeFault } from '@ztna/runtime';
import { controlDirectories, serveControl, socketName, sweepSockets } from '@ztna/runtime/control';
import { SOFTWARE_VERSION } from './local-info.ts';
import { type ComponentReport, type ComponentStatus, instant } from './status.ts';

export interface ControlOptions {
  readonly component: ComponentReport['component'];
  /** `ztna forward` */
  readonly command: string;
  /** Absolute. */
  readonly configFile: string;
  readonly config: { readonly control: { readonly socket?: string }; readonly stateDir: string };
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly log: Logger;
  readonly report: () => Promise<ComponentReport>;
}

/**
 * Opens the control socket of this process, until disposed. A component does its work without one: that none could be
 * had is a warning.
 */
export async function openControl(options: ControlOptions): Promise<AsyncDisposable> {
  const { log, config } = options;
  if (config.control.socket === 'off') return new AsyncDisposableStack();
  const uid = process.getuid?.() ?? 0;
  const directories = controlDirectories({ env: options.env, uid, stateDir: config.stateDir });
  const own = socketName(options.component, process.pid, randomBytes(2).toString('hex'));
  const paths = config.control.socket ? [config.control.socket] : directories.map((d) => join(d, own));
  const started = instant(Date.now() - performance.now());
  const status = async (): Promise<ComponentStatus> => ({
    ...{ pid: process.pid, command: options.command, software: `ztna/${SOFTWARE_VERSION}`, started },
    configFile: options.configFile,
    ...(await options.report()),
  });
  const onError = (err: unknown) =>
    log.error({ event: 'control.failed', err }, 'answering on the control socket failed: this is a bug');
  let failure: unknown;
  for (const path of paths) {
    try {
      const server = await serveControl({ path, uid, handlers: { status }, onError });
      log.debug({ event: 'control.open', path }, 'control socket open');
      void sweepSockets(directories, uid);
      return server;
    } catch (error) {
      if (!(error instanceof RuntimeFault)) throw error;
      failure = error;
    }
  }
  log.warn(
    { event: 'control.none', err: failure },
    'there is no control socket: `ztna status` will not find this process',
  );
  return new AsyncDisposableStack();
}
