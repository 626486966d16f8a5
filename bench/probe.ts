// Loaded before a measured component (`node --expose-gc --import probe.ts`): answers each line of standard input
// with what JavaScript holds after a collection. Nothing else about the component changes.
import { createInterface } from 'node:readline';
import { isMainThread } from 'node:worker_threads';

if (isMainThread) {
  createInterface({ input: process.stdin }).on('line', () => {
    globalThis.gc?.({ type: 'major', execution: 'sync', flavor: 'last-resort' });
    const { heapUsed, external } = process.memoryUsage();
    process.stdout.write(`${JSON.stringify({ heapUsed, external })}\n`);
  });
  // A component that ends must not be kept by it.
  (process.stdin as typeof process.stdin & { unref?: () => void }).unref?.();
}
