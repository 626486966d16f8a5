import { outlivesPartition } from '../lab/index.ts';

outlivesPartition(5_000);
