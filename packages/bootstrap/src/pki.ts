import { createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { type Clock, errnoOf, messageOf, WherryError, writeFileAtomically } from '@wherry/base';
import type { KeyPair } from './key-pair.ts';

/** What a cluster identifies itself and its users with. File names are kubeadm's. */
export interface ClusterPki {
  readonly ca: KeyPair;
  /** The API server's serving certificate. */
  readonly apiserver: KeyPair;
  /** The administrator's client certificate (`kubernetes-admin`, `system:masters`). */
  readonly admin: KeyPair;
  /** PEM of the P-256 key that signs service-account tokens. */
  readonly serviceAccountKey: string;
}

export interface PkiOptions {
  /** Folder of the files; made with mode 0700. */
  readonly directory: string;
  /** DNS names and IP addresses by which the API server is reached. */
  readonly serverNames: readonly string[];
  readonly clock: Clock;
}

const day = 24 * 60 * 60 * 1000;
const caLifetime = 3650 * day;
const leafLifetime = 365 * day;
/** A certificate with less life than this left is made anew at start. */
const renewBefore = 30 * day;

interface Leaf {
  readonly file: string;
  readonly commonName: string;
  readonly organisation?: string;
  readonly serverNames?: readonly string[];
}

/**
 * Loads a cluster's certificates, and makes what is missing, about to expire or, for the serving
 * certificate, does not name every one of `serverNames`. An existing CA is never replaced: a damaged one
 * is an error (`corrupt`), because every kubeconfig in use depends on it.
 */
export async function ensurePki({ directory, serverNames, clock }: PkiOptions): Promise<ClusterPki> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const ca = (await load(directory, 'ca')) ?? (await save(directory, 'ca', await makeCa(clock)));
  const leaf = async (wanted: Leaf): Promise<KeyPair> => {
    const present = await load(directory, wanted.file);
    if (present && isCurrent(present, ca, wanted, clock)) return present;
    return save(directory, wanted.file, await issue(ca, wanted, clock));
  };
  const apiserver = await leaf({ file: 'apiserver', commonName: 'kube-apiserver', serverNames });
  const admin = await leaf({ file: 'admin', commonName: 'kubernetes-admin', organisation: 'system:masters' });
  return { ca, apiserver, admin, serviceAccountKey: await ensureSigningKey(join(directory, 'sa.key')) };
}

/** Issues one more client certificate, for example a node's. */
export async function issueClientCertificate(
  ca: KeyPair,
  subject: { readonly commonName: string; readonly organisation?: string },
  clock: Clock,
): Promise<KeyPair> {
  return issue(ca, { file: '', ...subject }, clock);
}

async function load(directory: string, name: string): Promise<KeyPair | undefined> {
  try {
    const [certificate, key] = await Promise.all([
      readFile(join(directory, `${name}.crt`), 'utf8'),
      readFile(join(directory, `${name}.key`), 'utf8'),
    ]);
    const parsed = new X509Certificate(certificate);
    if (!parsed.checkPrivateKey(createPrivateKey(key))) throw new Error('the key does not belong to the certificate');
    return { certificate, key };
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined;
    if (name !== 'ca') return undefined;
    throw new WherryError(
      'corrupt',
      `certificate authority in ${directory}: ${messageOf(error)}; restore ca.crt and ca.key, or remove the cluster with "wherry down --purge"`,
      { cause: error },
    );
  }
}

/** The key goes first: a certificate without its key is never found. */
async function save(directory: string, name: string, pair: KeyPair): Promise<KeyPair> {
  await writeFileAtomically(join(directory, `${name}.key`), pair.key, { mode: 0o600 });
  await writeFileAtomically(join(directory, `${name}.crt`), pair.certificate, { mode: 0o644 });
  return pair;
}

function isCurrent(pair: KeyPair, ca: KeyPair, { serverNames = [] }: Leaf, clock: Clock): boolean {
  const certificate = new X509Certificate(pair.certificate);
  if (Date.parse(certificate.validTo) - clock.now() < renewBefore) return false;
  if (!certificate.verify(new X509Certificate(ca.certificate).publicKey)) return false;
  return serverNames.every(
    (name) => (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined,
  );
}

async function ensureSigningKey(path: string): Promise<string> {
  try {
    const pem = await readFile(path, 'utf8');
    createPublicKey(pem);
    return pem;
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT')
      throw new WherryError('corrupt', `service-account signing key ${path}: ${messageOf(error)}`, { cause: error });
  }
  const pem = newKey();
  await writeFileAtomically(path, pem, { mode: 0o600 });
  return pem;
}

function newKey(): string {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  }) as string;
}

async function makeCa(clock: Clock): Promise<KeyPair> {
  const { selfSigned } = await import('./certificates.ts');
  const key = newKey();
  return {
    key,
    certificate: await selfSigned(key, {
      commonName: 'kubernetes',
      notBefore: clock.now() - day,
      notAfter: clock.now() + caLifetime,
    }),
  };
}

async function issue(ca: KeyPair, leaf: Leaf, clock: Clock): Promise<KeyPair> {
  const { signed } = await import('./certificates.ts');
  const key = newKey();
  const certificate = await signed(ca, key, {
    commonName: leaf.commonName,
    organisation: leaf.organisation,
    serverNames: leaf.serverNames,
    notBefore: clock.now() - day,
    notAfter: clock.now() + leafLifetime,
  });
  return { key, certificate };
}
