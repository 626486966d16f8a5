// Entry `@ztna/runtime/config`: loads the parser and the validator, so import it when a component starts.
export { type AgentConfig, agentSchema, checkAgent } from './agent.ts';
export { type ConnectorConfig, checkConnector, connectorSchema } from './connector.ts';
export { type ControlPlace, readControlPlace } from './control-place.ts';
export type { FieldPath } from './document.ts';
export { ConfigError, type ConfigIssue } from './error.ts';
export { checkIntermediate, type IntermediateConfig, intermediateSchema } from './intermediate.ts';
export { type Check, type LoadedConfig, loadConfig, parseConfig } from './load.ts';
export { published, type Schema } from './schema.ts';
