import { isRevoked as isListed } from '@ztna/policy';
import type {
  AgentContent,
  ConnectorContent,
  IntermediateContent,
  KeyThumbprint,
  Snapshot,
  SpiffeId,
} from '@ztna/wire';

/** What a core needs of a verified snapshot: `Snapshot` of `@ztna/wire` with the content of its role. */
export type SnapshotOf<Content> = Pick<Snapshot, 'tenant' | 'revision' | 'expiresAtMs'> & {
  readonly content: Content;
};

export type AgentSnapshot = SnapshotOf<AgentContent>;
export type ConnectorSnapshot = SnapshotOf<ConnectorContent>;
export type IntermediateSnapshot = SnapshotOf<IntermediateContent>;

type AnySnapshot = SnapshotOf<{
  readonly revoked: readonly string[];
  readonly intermediates: readonly { readonly id: SpiffeId }[];
}>;

/** True when the snapshot revokes the identity by its id or by its key. */
export function isRevoked(
  snapshot: AnySnapshot | undefined,
  identity: { readonly id: SpiffeId; readonly keyThumbprint?: KeyThumbprint },
): boolean {
  return snapshot !== undefined && isListed(snapshot.content.revoked, identity);
}

/** True while something new may be opened under the snapshot; what is open lives until its grant ends. */
export function isFresh<S extends SnapshotOf<unknown>>(snapshot: S | undefined, now: number): snapshot is S {
  return snapshot !== undefined && now < snapshot.expiresAtMs;
}

/** True when the snapshot names this intermediate and does not revoke it: its grants count. */
export function isIssuer(snapshot: AnySnapshot | undefined, id: SpiffeId): boolean {
  return (
    !isRevoked(snapshot, { id }) &&
    (snapshot?.content.intermediates.some((entry) => entry.id === id) ?? false)
  );
}
