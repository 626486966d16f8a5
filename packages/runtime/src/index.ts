// What starting the command line needs. Heavier parts have entries of their own: ./log, ./config, ./metrics.
export { type Address, formatAddress, isLoopback, parseAddress, parseListenAddress } from './address.ts';
export { type Clock, monotonicClock, wallClock } from './clock.ts';
export * from './command/command.ts';
export { exitCode, exitCodeMeanings } from './command/exit-codes.ts';
export { runCli } from './command/run.ts';
export { UsageError } from './command/usage-error.ts';
export { type CoreShell, type CoreShellOptions, runCore, type SansIoCore } from './core-shell.ts';
export * from './faults.ts';
export { Lifecycle, StoppedError } from './lifecycle.ts';
export type { Logger } from './log.ts';
export { type LogFormat, type LogLevel, logFormats, logLevels } from './log-levels.ts';
export { nearest } from './nearest.ts';
export { VirtualClock } from './virtual-clock.ts';
