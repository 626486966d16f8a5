/** What the exit status of every command means. */
export const exitCode = {
  ok: 0,
  failure: 1,
  usage: 2,
  config: 3,
  sigint: 130,
  sigterm: 143,
} as const;

export const exitCodeMeanings: Readonly<Record<number, string>> = {
  [exitCode.ok]: 'done, or stopped in order after SIGINT or SIGTERM',
  [exitCode.failure]: 'failed',
  [exitCode.usage]: 'wrong command line',
  [exitCode.config]: 'wrong configuration: a file, a key, an address to listen on',
  [exitCode.sigint]: 'interrupted by SIGINT before the work or the orderly stop was done',
  [exitCode.sigterm]: 'the same by SIGTERM',
};
