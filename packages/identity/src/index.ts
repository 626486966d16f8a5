// What components need at run time. Making certificates and signing documents has an entry of its own: ./pki.

export { type ExposedFile, exposedFiles } from './exposed.ts';
export { makeDirectory, readText, readWhole, type WriteOptions, writeWhole } from './files.ts';
export * from './grant.ts';
export { exportPrivateKey, generateKey, importPrivateKey, type KeyKind, toPem } from './keys/pkcs8.ts';
export * from './local.ts';
export * from './snapshot/envelope.ts';
export type { KeyPair } from './snapshot/signer.ts';
export * from './snapshot/store.ts';
export { type PeerExpectation, type PeerIdentity, reviewPeer, verifyPeer } from './verify/peer.ts';
export { type PeerRefusal, type PeerRefusalCode, refusalError } from './verify/refusal.ts';
export { readTrustBundle, type TrustBundle } from './verify/trust.ts';
