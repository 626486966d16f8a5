import {
  explainOwn,
  type LocalIdentity,
  loadIdentity,
  loadSnapshot,
  loadTrustBundle,
  type PeerIdentity,
  type PeerRefusal,
  reviewPeer,
  signGrant,
  verifyGrant,
  verifyPeer,
} from '@ztna/identity';
import type { TlsIdentity, TlsTrust } from '@ztna/quic';
import type { SignGrant, VerifyGrant } from '@ztna/session';
import { type Result, type Role, type Snapshot, type SnapshotContent, ZtnaError } from '@ztna/wire';

export type ComponentRole = SnapshotContent['role'];

/** A verified snapshot for a component of one role. */
export type RoleSnapshot<R extends ComponentRole> = Snapshot & {
  readonly content: Extract<SnapshotContent, { readonly role: R }>;
};

/** The part of every component's configuration that says who it is and whom it believes. Absolute paths. */
export interface ComponentFiles {
  readonly identity: { readonly certificateFile: string; readonly privateKeyFile: string };
  readonly trust: { readonly bundleFile: string };
  readonly snapshotFile: string;
  readonly stateDir: string;
}

interface Loaded<R extends ComponentRole> {
  readonly identity: LocalIdentity;
  readonly trust: ReturnType<typeof loadTrustBundle>;
  readonly snapshot: RoleSnapshot<R>;
  readonly refused: ZtnaError | undefined;
}

export interface Reloaded {
  /** Why the snapshot file was passed over; the last good one stays in force. */
  readonly refused: ZtnaError | undefined;
  /** There is another certificate. */
  readonly certificateChanged: boolean;
  /** It is for another key: grants bound to the one before are of no use any more. */
  readonly keyChanged: boolean;
  /** Other roots are trusted: who was let in by the ones before has to be verified anew. */
  readonly trustChanged: boolean;
}

/**
 * Identity, trust and snapshot of this process, from its files. What is in force changes only as a whole, by
 * `reload`. It answers every question of trust: who a peer is, whether a grant may be believed.
 */
export class Component<R extends ComponentRole> {
  readonly role: R;
  readonly files: ComponentFiles;
  #loaded: Loaded<R>;

  private constructor(role: R, files: ComponentFiles, loaded: Loaded<R>) {
    this.role = role;
    this.files = files;
    this.#loaded = loaded;
  }

  /**
   * Loads everything. A snapshot file that is refused is passed over for the last good one (`refused` says why).
   * Throws a ZtnaError that names the file when something cannot be used.
   */
  static load<R extends ComponentRole>(role: R, files: ComponentFiles, nowMs: number): Component<R> {
    return new Component(role, files, load(role, files, nowMs));
  }

  get identity(): LocalIdentity {
    return this.#loaded.identity;
  }

  get snapshot(): RoleSnapshot<R> {
    return this.#loaded.snapshot;
  }

  /** Why the snapshot file was passed over when it was last looked at. */
  get refused(): ZtnaError | undefined {
    return this.#loaded.refused;
  }

  /** For the QUIC endpoint. */
  get tls(): { readonly identity: TlsIdentity; readonly trust: TlsTrust } {
    const { identity, trust } = this.#loaded;
    const { certChain, privateKey } = identity;
    return { identity: { certChain, privateKey }, trust: { roots: trust.pem } };
  }

  /** Reads all files again. Throws a ZtnaError and changes nothing when one cannot be used. */
  reload(nowMs: number): Reloaded {
    const { identity: before, trust } = this.#loaded;
    const loaded = load(this.role, this.files, nowMs);
    if (loaded.identity.id !== before.id) {
      throw unusable(`the new certificate is for ${loaded.identity.id}, this process is ${before.id}`);
    }
    this.#loaded = loaded;
    return {
      refused: loaded.refused,
      certificateChanged: loaded.identity.certChain !== before.certChain,
      keyChanged: loaded.identity.keyThumbprint !== before.keyThumbprint,
      trustChanged: loaded.trust.pem !== trust.pem,
    };
  }

  /** Who a peer is, by the trust and the revocations in force. For after every handshake, resumed or not. */
  verifyPeer(
    chain: readonly Uint8Array[],
    roles: readonly Role[],
    nowMs: number,
  ): Result<PeerIdentity, PeerRefusal> {
    return verifyPeer(chain, nowMs, { ...this.#expectation(), roles });
  }

  /** Whether a peer that was let in may stay, by the revocations in force now. */
  reviewPeer(peer: PeerIdentity, nowMs: number): PeerRefusal | undefined {
    return reviewPeer(peer, nowMs, this.#loaded.snapshot.content.revoked);
  }

  /** For the session cores: signature, issuer's chain and strict content. */
  readonly verifyGrant: VerifyGrant = (signed) => {
    const verified = verifyGrant(signed, Date.now(), this.#expectation());
    if (!verified.ok) return { ok: false, reason: `${verified.error.code}: ${verified.error.detail}` };
    return { ok: true, grant: verified.value.grant, issuer: verified.value.issuer.id };
  };

  /** For the core of the intermediate: signs with the identity key in force. */
  readonly signGrant: SignGrant = (grant) => signGrant(grant, this.#loaded.identity);

  #expectation() {
    const { identity, trust, snapshot } = this.#loaded;
    const { trustDomain, tenant } = identity;
    return { trust, trustDomain, tenant, revoked: snapshot.content.revoked };
  }
}

function load<R extends ComponentRole>(role: R, files: ComponentFiles, nowMs: number): Loaded<R> {
  const identity = loadIdentity(files.identity);
  if (identity.role !== role) {
    const a = role === 'connector' ? 'a' : 'an';
    throw unusable(
      `${identity.id} is not the identity of ${a} ${role}`,
      `name the configuration of ${a} ${role}, or issue it an identity: \`ztna pki issue --role ${role}\``,
    );
  }
  const trust = loadTrustBundle(files.trust.bundleFile);
  const { trustDomain, tenant } = identity;
  const own = verifyPeer(identity.chain, nowMs, { trust, trustDomain, tenant, roles: [role], revoked: [] });
  if (!own.ok) {
    const { certificateFile } = files.identity;
    const { happened, remedy } = explainOwn(own.error, {
      ...{ certificateFile, bundleFile: files.trust.bundleFile, role },
    });
    throw unusable(happened, remedy);
  }
  const { snapshotFile: file, stateDir } = files;
  const { snapshot, refused } = loadSnapshot({ file, stateDir, trust, audience: identity.id }, nowMs);
  return { identity, trust, snapshot: snapshot as RoleSnapshot<R>, refused };
}

function unusable(
  happened: string,
  remedy = 'issue a certificate with `ztna pki issue` and name it in `identity`',
): ZtnaError {
  return new ZtnaError({
    code: 'identity-unusable',
    fault: 'config',
    happened,
    remedy,
  });
}
