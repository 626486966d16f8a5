/** A 32-bit hash of a string; the same on every component. */
export type Hash32 = (text: string) => number;

/**
 * FNV-1a over UTF-16 code units, finished with the avalanche step of MurmurHash3: FNV alone leaves the high
 * bits of similar names alike, and rendezvous compares whole values.
 */
export const hash32: Hash32 = (text) => {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    hash = Math.imul(hash ^ (text.charCodeAt(i) & 0xff), 0x01000193);
    hash = Math.imul(hash ^ (text.charCodeAt(i) >>> 8), 0x01000193);
  }
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
};

/**
 * Highest-random-weight hashing (Thaler and Ravishankar, 1998): all nodes in order of preference for a key.
 * Every component computes the same order from the same snapshot, whatever the order of the list, and a node
 * that comes or goes moves only the keys that it gains or held.
 */
export function rendezvousOrder<T extends { readonly id: string }>(
  key: string,
  nodes: readonly T[],
  hash: Hash32 = hash32,
): T[] {
  return nodes
    .map((node) => ({ node, weight: hash(`${key}\0${node.id}`) }))
    .sort((a, b) => b.weight - a.weight || (a.node.id < b.node.id ? -1 : a.node.id > b.node.id ? 1 : 0))
    .map(({ node }) => node);
}

/** How many intermediates a connector attaches to (design §8). */
export const ATTACHMENTS = 2;

/** The intermediates that a connector attaches to, best first; agents compute the same to find it. */
export function intermediatesFor<T extends { readonly id: string }>(
  connectorId: string,
  intermediates: readonly T[],
  hash: Hash32 = hash32,
): T[] {
  return rendezvousOrder(connectorId, intermediates, hash).slice(0, ATTACHMENTS);
}
