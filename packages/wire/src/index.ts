export * from './control.ts';
export * from './datagram.ts';
export * from './errors.ts';
export * from './flow.ts';
export * from './framer.ts';
export {
  decodeGrant,
  decodeSignedGrant,
  encodeGrant,
  encodeSignedGrant,
  type Grant,
  grantSigningInput,
  type SignedGrant,
} from './grant.ts';
export * from './host-port.ts';
export * from './ids.ts';
export * from './path.ts';
export * from './prefix.ts';
export * from './reassembler.ts';
export * from './registry.ts';
export * from './relay.ts';
export * from './result.ts';
export * from './snapshot.ts';
export * from './spiffe.ts';
export * from './varint.ts';
