// Entry `@ztna/policy/document`: loads the YAML parser and the schema; for those who publish, not for components.
export * from '../compile.ts';
export { type PolicyTestResult, runPolicyTests } from '../policy-tests.ts';
export type { Configuration, ConfiguredPort, ConfiguredService } from './configuration.ts';
export {
  checkConfiguration,
  type Issue,
  type LocatedIssue,
  MAX_DOCUMENT_CHARS,
  parseConfiguration,
} from './parse.ts';
export { type ConfigurationInput, ConfigurationSchema } from './schema.ts';
