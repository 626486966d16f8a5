// Entry `@ztna/identity/pki`: makes certificates, so it loads the X.509 library; for the one who issues.
export { type Authority, type AuthorityOptions, createAuthority } from '../ca/authority.ts';
export {
  createRequest,
  type IssueRefusal,
  issueLeaf,
  LEAF_LIFETIME_MS,
  type LeafRequest,
  publicKeyOfRequest,
} from '../ca/issue.ts';
export { type InitOptions, initPki, type PkiConfig, readPkiConfig } from './directory.ts';
export { type IssuableRole, type Issued, type IssueOptions, issueIdentity } from './issue.ts';
export { configurationSchemaText } from './schema.ts';
export { type CertificateSummary, describeFile, formatShown, type Shown } from './show.ts';
export { readDocument, type Signed, type SignOptions, signDocument } from './sign.ts';
