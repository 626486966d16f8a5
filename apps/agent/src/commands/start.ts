import type { CommandContext, Logger } from '@ztna/runtime';
import type { AgentConfig, LoadedConfig } from '@ztna/runtime/config';
import type { Agent } from '../agent.ts';

/** Loads the agent's configuration file. Throws ConfigError. */
export async function loadAgentConfig(file: string, cwd: string): Promise<LoadedConfig<AgentConfig>> {
  const { agentSchema, checkAgent, loadConfig } = await import('@ztna/runtime/config');
  return loadConfig(file, agentSchema, { cwd, check: checkAgent });
}

/** Starts the agent of a command; it stops with the command. SIGHUP reloads its files. */
export async function startCommandAgent(
  { stack, lifecycle }: Pick<CommandContext, 'stack' | 'lifecycle'>,
  config: AgentConfig,
  log: Logger,
): Promise<Agent> {
  const { startAgent } = await import('../agent.ts');
  lifecycle.setDeadline(config.drain.deadlineMs);
  const agent = stack.use(await startAgent({ config, log }));
  lifecycle.onReload(() => agent.reload());
  return agent;
}
