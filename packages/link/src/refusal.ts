const REMEDIES: Readonly<Record<string, string>> = {
  revoked:
    'its id is in `revoked` of the document: if by mistake, take it out, raise `revision`, sign, and give the snapshots to intermediates and connectors; else give this machine an identity of another name',
  'not-authorized':
    'the log of the intermediate says why, under `peer.refused`; `ztna pki show` says until when its certificate holds',
  'wrong-tenant': 'compare the tenants of both certificates: `ztna pki show`',
  'unsupported-version': 'upgrade the older of the two',
  limit: 'the intermediate has no room: its log and its `limits`',
};

/** What helps when an intermediate turns a component away, by the code with which it does. */
export function refusalRemedy(code: string): string {
  return REMEDIES[code] ?? 'look at the log of the intermediate, and at the certificates of both';
}
