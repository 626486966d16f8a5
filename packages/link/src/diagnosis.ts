import type { IntermediateEntry } from '@ztna/wire';
import type { DirectPaths } from './direct/direct-paths.ts';
import type { OuterLinks } from './outer-links.ts';
import { type Loss, whyUnreachable } from './reachability.ts';
import type { Problem } from './status.ts';

/** Why nothing came of connecting to these intermediates: one turns the component away, or none is reached. */
export async function whyNotConnected(
  tried: readonly IntermediateEntry[],
  losses: ReadonlyMap<string, Loss>,
  { links, direct }: { readonly links: OuterLinks; readonly direct: DirectPaths },
): Promise<Problem> {
  const rejection = tried.map(({ name }) => links.rejection(name)).find((problem) => problem !== undefined);
  const answering = async () => ({ sessions: await direct.answering(), intermediates: links.answering });
  return rejection ?? (await whyUnreachable(tried, losses, { answering }));
}
