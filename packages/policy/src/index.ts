export * from './compile.ts';
export type { Configuration, ConfiguredPort, ConfiguredService } from './document/configuration.ts';
export {
  checkConfiguration,
  type Issue,
  type LocatedIssue,
  MAX_DOCUMENT_CHARS,
  parseConfiguration,
} from './document/parse.ts';
export { type ConfigurationInput, ConfigurationSchema } from './document/schema.ts';
export { parseDuration } from './duration.ts';
export * from './evaluate.ts';
export { type PolicyTestResult, runPolicyTests } from './policy-tests.ts';
export { ATTACHMENTS, type Hash32, hash32, intermediatesFor, rendezvousOrder } from './rendezvous.ts';
export { isRevoked, type RevocableNames } from './revocation.ts';
