import fc from 'fast-check';
import { expect, it } from 'vitest';
import { hash32, intermediatesFor, rendezvousOrder } from './rendezvous.ts';

const nodes = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 12 }), { maxLength: 12 }).map(toNodes);

it('every component computes the same order, whatever the order of its list', () => {
  fc.assert(
    fc.property(fc.string(), nodes, (key, list) => {
      expect(rendezvousOrder(key, list.toReversed())).toEqual(rendezvousOrder(key, list));
    }),
  );
});

it('a node that goes moves nothing else', () => {
  fc.assert(
    fc.property(fc.string(), nodes, fc.nat(), (key, list, at) => {
      const gone = list[at % Math.max(1, list.length)];
      const before = rendezvousOrder(key, list).filter((node) => node !== gone);
      expect(
        rendezvousOrder(
          key,
          list.filter((node) => node !== gone),
        ),
      ).toEqual(before);
    }),
  );
});

it('spreads connectors evenly', () => {
  const list = toNodes(['i1', 'i2', 'i3', 'i4']);
  const counts = new Map<string, number>();
  for (let i = 0; i < 4000; i++) {
    const first = intermediatesFor(`spiffe://t.example/default/connector/s/c${i}`, list)[0]?.id ?? '';
    counts.set(first, (counts.get(first) ?? 0) + 1);
  }
  for (const node of list) expect(counts.get(node.id)).toBeGreaterThan(800);
});

it('gives the best two, fewer when there are fewer', () => {
  expect(intermediatesFor('c', [])).toEqual([]);
  expect(intermediatesFor('c', toNodes(['a']))).toHaveLength(1);
  expect(intermediatesFor('c', toNodes(['a', 'b', 'c']))).toHaveLength(2);
});

it('never changes its hash: the fleet must agree across versions', () => {
  expect(hash32('')).toBe(0xab3e7c0b);
  expect(hash32('spiffe://t.example/default/connector/berlin/c1')).toBe(0xed4f3bdb);
});

function toNodes(ids: string[]) {
  return ids.map((id) => ({ id }));
}
