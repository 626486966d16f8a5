import type { Problem } from '@ztna/link';
import { ZtnaError } from '@ztna/wire';
import type { Target } from '../services.ts';

/** A flow that got no session because no intermediate is connected: the error says why, by the code of the problem. */
export function explainFlowError(error: unknown, { service }: Target, problem: Problem | undefined): unknown {
  if (!problem || !(error instanceof ZtnaError) || error.code !== 'timeout') return error;
  const { code, message, remedy } = problem;
  return new ZtnaError({
    ...{ code, fault: 'config', happened: `service ${service}: ${message}`, cause: error },
    ...(remedy !== undefined && { remedy }),
  });
}
