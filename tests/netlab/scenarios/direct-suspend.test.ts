import { outlivesSuspension } from '../lab/index.ts';

outlivesSuspension(5_000);
