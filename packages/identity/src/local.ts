import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import { keyThumbprintFromBytes, parseSpiffeId, type Role, spiffeParts, ZtnaError } from '@ztna/wire';
import { keyThumbprint, readCertificate } from './certificate.ts';
import { readText } from './files.ts';
import { importPrivateKey } from './keys/pkcs8.ts';
import type { PeerIdentity } from './verify/peer.ts';
import type { PeerRefusal } from './verify/refusal.ts';
import { derOfPem, readTrustBundle, splitPem, type TrustBundle } from './verify/trust.ts';

/** The component's own identity, as its files say. */
export interface LocalIdentity extends Omit<PeerIdentity, 'authorities'> {
  readonly trustDomain: string;
  /** PEM, leaf first: `certChain` of the QUIC endpoint. */
  readonly certChain: string;
  /** PKCS#8 PEM, decrypted: `privateKey` of the QUIC endpoint. */
  readonly privateKey: string;
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly key: KeyObject;
}

const NO_PASSPHRASES =
  'components cannot ask for one: write it without, `openssl pkey -in KEY -out NEW`, for the user of the process alone';

/**
 * Loads a component's own certificate chain and key. Throws a ZtnaError that names the file when one cannot be read,
 * they do not belong together, or the leaf has no SPIFFE id. Validity is for `verifyPeer`.
 */
export function loadIdentity(files: {
  readonly certificateFile: string;
  readonly privateKeyFile: string;
  readonly passphrase?: string;
}): LocalIdentity {
  const certChain = readText(files.certificateFile);
  const chain = splitPem(certChain).map(derOfPem);
  const leaf = chain[0] === undefined ? undefined : readCertificate(chain[0]);
  if (leaf === undefined) throw identityError(files.certificateFile, 'it holds no certificate');
  const [name, ...more] = leaf.altNames ?? [];
  const id = name?.kind === 'uri' && more.length === 0 ? parseSpiffeId(name.value) : undefined;
  if (!id?.ok)
    throw identityError(files.certificateFile, 'its first certificate has no SPIFFE id of this system');
  const key = loadKey(files.privateKeyFile, files.passphrase);
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  if (!spki.equals(leaf.spki)) {
    throw foreignKey(files, { has: thumbprintOf(spki), expected: thumbprintOf(leaf.spki) });
  }
  const thumbprint = keyThumbprintFromBytes(keyThumbprint(leaf));
  if (!thumbprint.ok) throw new TypeError(thumbprint.error.detail);
  const { tenant, role, trustDomain } = spiffeParts(id.value);
  return {
    ...{ id: id.value, tenant, role, trustDomain },
    ...{ keyThumbprint: thumbprint.value, serial: leaf.serial, notAfterMs: leaf.notAfterMs },
    ...{ certChain, chain, key },
    privateKey: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** Loads the roots that a component trusts. Throws a ZtnaError that names the file. */
export function loadTrustBundle(file: string): TrustBundle & { readonly pem: string } {
  const pem = readText(file);
  try {
    return { ...readTrustBundle(pem), pem };
  } catch (cause) {
    throw identityError(file, (cause as Error).message, { cause });
  }
}

/**
 * Loads a private key. Throws a ZtnaError that names the file and says whether the passphrase is to blame; `remedy`
 * tells how to give it.
 */
export function loadKey(file: string, passphrase?: string, remedy: string = NO_PASSPHRASES): KeyObject {
  const pem = readText(file);
  try {
    return importPrivateKey(pem, passphrase);
  } catch (cause) {
    if (!pem.includes('ENCRYPTED')) throw identityError(file, 'it is no private key', { cause });
    if (passphrase === undefined) throw identityError(file, 'the key needs a passphrase', { remedy });
    throw identityError(file, 'the passphrase does not open the key', { cause, remedy });
  }
}

/**
 * What is wrong with a component's own certificate, by what `verifyPeer` says of it, and what to do about it:
 * names the files, what was expected, and the command that shows it.
 */
export function explainOwn(
  { code, detail }: PeerRefusal,
  { certificateFile, bundleFile, role }: { certificateFile: string; bundleFile: string; role: Role },
): { readonly happened: string; readonly remedy: string } {
  const site = role === 'connector' ? ' --site SITE' : '';
  const issue = `\`ztna pki issue --role ${role}${site} --name NAME --out DIR --force\``;
  const show = (file: string) => `\`ztna pki show ${file}\``;
  if (code === 'untrusted' || code === 'chain-order') {
    return {
      happened: `${certificateFile} does not lead to a root of ${bundleFile} (${detail})`,
      remedy: `take certificate, key and trust.pem from one folder of ${issue}; ${show(bundleFile)} shows the root here, whose fingerprint must be that of the trust.pem beside the certificate`,
    };
  }
  const happened = `${certificateFile}: ${detail}`;
  if (code === 'not-yet-valid')
    return {
      happened,
      remedy: `set the clock of this machine; ${show(certificateFile)} says from when it holds`,
    };
  if (code === 'expired')
    return {
      happened,
      remedy: `issue a new one: ${issue}; ${show(certificateFile)} says until when it holds`,
    };
  return {
    happened,
    remedy: `issue a certificate with ${issue}; ${show(certificateFile)} says what this one is`,
  };
}

function foreignKey(
  { certificateFile, privateKeyFile }: { certificateFile: string; privateKeyFile: string },
  { has, expected }: { has: string; expected: string },
): ZtnaError {
  return identityError(
    privateKeyFile,
    `the key is not that of the certificate ${certificateFile}: that is for key ${expected}, and this is ${has}`,
    {
      remedy: `name the key.pem that was made with it, or issue both anew; \`ztna pki show ${certificateFile}\` shows for which key the certificate is`,
    },
  );
}

/** As `ztna pki show` has it. */
function thumbprintOf(spki: Uint8Array): string {
  return createHash('sha256').update(spki).digest('hex');
}

function identityError(
  file: string,
  happened: string,
  more: { readonly cause?: unknown; readonly remedy?: string } = {},
): ZtnaError {
  return new ZtnaError({ code: 'identity-file', fault: 'config', happened: `${file}: ${happened}`, ...more });
}
