import { describe, expect, it } from 'vitest';
import { direct, eth, REMOTE, ready, SETTINGS, Side } from './testing.ts';

describe('a path whose other side sends from another address', () => {
  const moved = (path: number, remote: string) => ({ type: 'path-moved', path, remote }) as const;

  it('goes on there, and is measured anew', () => {
    const side = direct();
    side.take(moved(1, '203.0.113.99:7'));
    expect(side.verdict()).toMatchObject({ path: 'direct', remote: '203.0.113.99:7' });
    expect(side.verdict().rttMs).toBeUndefined();
    expect(side.closed).toEqual([]);
  });

  it.each([
    ['loopback', '127.0.0.1:7'],
    ['link-local', '169.254.169.254:80'],
    ['virtual', '[fd7a:7a74:6e61::7]:1'],
    ['malformed', 'nonsense'],
  ])('is closed when that is refused: %s', (cause, remote) => {
    const side = direct();
    expect(side.take(moved(1, remote))).toContainEqual({ type: 'close-path', path: 1 });
    expect(side.current).toBe(0);
    expect(side.all).toContainEqual({ type: 'count', metric: 'path_path_address_refused', cause });
  });

  it('is closed when it leads into a subnet that is left out', () => {
    const settings = { ...SETTINGS, interfaces: { allow: ['*'], deny: ['wg*'] } };
    const side = new Side('agent', 'allow', settings);
    const tunnel = { interface: 'wg0', address: '198.51.100.1', prefix: 24 };
    side.take({ type: 'local', addresses: [eth('192.0.2.20'), tunnel], port: 5000 });
    side.take({ type: 'path-opened', path: 1, remote: REMOTE });
    side.take(moved(1, '198.51.100.7:4433'));
    expect(side.closed).toEqual([1]);
  });

  it('is closed by a connector that neither shows nor reaches private addresses', () => {
    const side = new Side('connector', 'allow');
    side.start();
    side.take({ type: 'path-opened', path: 1, remote: REMOTE });
    side.take(moved(1, '10.0.0.1:7'));
    expect(side.closed).toEqual([1]);
  });

  it('is nothing when the path is not known', () => {
    const side = ready();
    expect(side.take(moved(7, '127.0.0.1:7'))).toEqual([]);
  });
});
