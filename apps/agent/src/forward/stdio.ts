import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import type { QuicStream } from '@ztna/quic';
import type { Agent } from '../agent.ts';
import type { Target } from '../services.ts';

/**
 * Joins a flow to two Node streams: what `ssh -o ProxyCommand` wants. Resolves when the service has ended its side and
 * everything is written; throws the flow's error, or that of a side which broke.
 */
export async function forwardStdio(
  agent: Agent,
  target: Target,
  input: Readable,
  output: Writable,
): Promise<void> {
  const flow = await agent.openFlow(target);
  try {
    const sending = send(input, flow.stream);
    // When sending breaks, the service's last words are still to come; how they end says what happened.
    sending.catch(() => flow.stream.reset(0));
    await flow.result();
    await receive(flow.stream, output);
  } catch (error) {
    flow.abandon();
    throw error;
  } finally {
    input.destroy();
    flow.release();
  }
}

async function send(input: Readable, stream: QuicStream): Promise<void> {
  for await (const chunk of input) await stream.write(chunk as Uint8Array);
  await stream.finish();
}

async function receive(stream: QuicStream, output: Writable): Promise<void> {
  const broken = once(output, 'error').then(([error]) => {
    throw error;
  });
  const copy = async () => {
    for (let chunk = await stream.read(); chunk !== null; chunk = await stream.read()) {
      if (!output.write(chunk)) await once(output, 'drain');
    }
    await new Promise<void>((resolve) => output.write('', () => resolve()));
  };
  await Promise.race([copy(), broken]);
}
