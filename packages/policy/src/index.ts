// What components need at run time. The document (parser, schema, compiler) has an entry of its own: ./document.
export { directAtAgent, directAtConnector, directOfSession, strictest } from './direct.ts';
export { parseDuration } from './duration.ts';
export * from './evaluate.ts';
export { ATTACHMENTS, type Hash32, hash32, intermediatesFor, rendezvousOrder } from './rendezvous.ts';
export { isRevoked, type RevocableNames } from './revocation.ts';
