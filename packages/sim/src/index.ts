export * from './network.ts';
export * from './rng.ts';
export * from './time.ts';
