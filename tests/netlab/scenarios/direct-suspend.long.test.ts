import { outlivesSuspension } from '../lab/index.ts';

// Longer than the idle timeouts of direct paths and outer connections (30 s), shorter than that of the session (120 s).
outlivesSuspension(40_000);
