import { resolve } from 'node:path';
import type { CommandContext, Logger } from '@ztna/runtime';
import type { AgentConfig, LoadedConfig } from '@ztna/runtime/config';
import type { Agent } from '../agent.ts';

/** Loads the agent's configuration file. Throws ConfigError. */
export async function loadAgentConfig(file: string, cwd: string): Promise<LoadedConfig<AgentConfig>> {
  const { agentSchema, checkAgent, loadConfig } = await import('@ztna/runtime/config');
  return loadConfig(file, agentSchema, { cwd, check: checkAgent });
}

type Context = Pick<CommandContext, 'stack' | 'lifecycle' | 'io'> & {
  readonly options: { readonly config: string };
};

/**
 * Starts the agent of a command, `ztna forward`, and its control socket; both stop with the command. SIGHUP reloads its
 * files.
 */
export async function startCommandAgent(
  { stack, lifecycle, io, options }: Context,
  command: string,
  config: AgentConfig,
  log: Logger,
): Promise<Agent> {
  const [{ startAgent }, { openControl }] = await Promise.all([import('../agent.ts'), import('@ztna/link')]);
  lifecycle.setDeadline(config.drain.deadlineMs);
  const agent = stack.use(await startAgent({ config, log }));
  lifecycle.onReload(() => agent.reload());
  const configFile = resolve(io.cwd, options.config);
  const report = () => agent.status();
  stack.use(await openControl({ component: 'agent', command, configFile, config, env: io.env, log, report }));
  return agent;
}
