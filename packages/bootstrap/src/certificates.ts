// Loaded only when a certificate must be made: the library costs tens of milliseconds to load.
import 'reflect-metadata';
import { createPrivateKey, createPublicKey, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';
import * as x509 from '@peculiar/x509';
import { systemRandom } from '@wherry/base';
import type { KeyPair } from './key-pair.ts';

x509.cryptoProvider.set(webcrypto as never);

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

/** What a certificate says; times in milliseconds since the epoch. */
export interface CertificateContent {
  readonly commonName: string;
  readonly organisation?: string | undefined;
  /** With names: for a server; without: for a client. */
  readonly serverNames?: readonly string[] | undefined;
  readonly notBefore: number;
  readonly notAfter: number;
}

async function importKeys(pem: string): Promise<{ privateKey: webcrypto.CryptoKey; publicKey: webcrypto.CryptoKey }> {
  const key = createPrivateKey(pem);
  const privateKey = await webcrypto.subtle.importKey(
    'pkcs8',
    key.export({ type: 'pkcs8', format: 'der' }),
    algorithm,
    false,
    ['sign'],
  );
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' });
  const publicKey = await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']);
  return { privateKey, publicKey };
}

// The first hexadecimal digit stays below 8: a serial number is a positive integer (RFC 5280, 4.1.2.2).
const serialNumber = (): string => `1${systemRandom.hex(31)}`;

/** PEM of a self-signed CA certificate for the key (PEM). */
export async function selfSigned(key: string, content: CertificateContent): Promise<string> {
  const keys = await importKeys(key);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: [content.commonName] }],
    notBefore: new Date(content.notBefore),
    notAfter: new Date(content.notAfter),
    signingAlgorithm: algorithm,
    keys: { privateKey: keys.privateKey, publicKey: keys.publicKey },
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.KeyUsagesExtension(
        x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment,
        true,
      ),
      new x509.SubjectAlternativeNameExtension([{ type: 'dns', value: content.commonName }]),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return certificate.toString('pem') + '\n';
}

/** PEM of a certificate for the key (PEM), signed by the CA. */
export async function signed(ca: KeyPair, key: string, content: CertificateContent): Promise<string> {
  const issuer = new x509.X509Certificate(ca.certificate);
  const [caKeys, keys] = await Promise.all([importKeys(ca.key), importKeys(key)]);
  const names = content.serverNames ?? [];
  const usage = names.length > 0 ? x509.ExtendedKeyUsage.serverAuth : x509.ExtendedKeyUsage.clientAuth;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [...(content.organisation ? [{ O: [content.organisation] }] : []), { CN: [content.commonName] }],
    issuer: issuer.subjectName.toJSON(),
    notBefore: new Date(content.notBefore),
    notAfter: new Date(content.notAfter),
    signingAlgorithm: algorithm,
    publicKey: keys.publicKey,
    signingKey: caKeys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature | x509.KeyUsageFlags.keyEncipherment, true),
      new x509.ExtendedKeyUsageExtension([usage]),
      ...(names.length > 0
        ? [
            new x509.SubjectAlternativeNameExtension(
              names.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value })),
            ),
          ]
        : []),
      await x509.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return certificate.toString('pem') + '\n';
}
