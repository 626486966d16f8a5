export * from './errors.ts';
export * from './ids.ts';
export * from './registry.ts';
export * from './result.ts';
export * from './spiffe.ts';
export * from './varint.ts';
