import type { Problem } from './status.ts';

/** Beside the words of the TLS library: whose alert it was. */
const BY_PEER = 'aborted by peer';
const OF_CERTIFICATE = 'peer certificate';

/**
 * Somebody answers at the address of an intermediate, and the handshake comes to nothing. `why` is what the engine says; where it
 * is about a certificate, the problem says who does not trust whom.
 */
export function handshakeFailed(why: string): Problem {
  const code = 'handshake-failed';
  if (!why.includes(OF_CERTIFICATE)) {
    const message = `somebody answers at the address of the intermediate, and no connection comes of it: ${why}`;
    return { code, message, remedy: 'compare the versions of both sides, and who answers at that address' };
  }
  if (why.includes(BY_PEER)) {
    const message = `the intermediate does not trust the certificate of this component: ${why}`;
    return { code, message, remedy: `its \`trust.bundleFile\` must hold the root of this side; ${COMPARE}` };
  }
  const message = `this side does not trust the certificate of who answers at the address of the intermediate: ${why}`;
  return {
    ...{ code, message },
    remedy: `\`trust.bundleFile\` of this side must hold the root of the intermediate, or somebody else answers; ${COMPARE}`,
  };
}

const COMPARE =
  '`ztna pki show` of that file and of the trust.pem that was issued with the certificate show the fingerprints of the roots: one must be in both';
