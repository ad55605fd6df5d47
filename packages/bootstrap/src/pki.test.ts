import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { codeOf, VirtualClock } from '@wherry/base';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ensurePki } from './index.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'pki-'));
});
afterEach(() => rm(directory, { recursive: true }));

const day = 86_400_000;

it('makes a CA that signs a server and an administrator', async () => {
  const pki = await ensurePki({
    directory,
    serverNames: ['localhost', '10.96.0.1', 'kubernetes.default'],
    clock: new VirtualClock(),
  });
  const ca = new X509Certificate(pki.ca.certificate);
  const server = new X509Certificate(pki.apiserver.certificate);
  const admin = new X509Certificate(pki.admin.certificate);
  expect(ca.ca).toBe(true);
  expect(server.verify(ca.publicKey) && admin.verify(ca.publicKey)).toBe(true);
  expect(server.checkIP('10.96.0.1')).toBe('10.96.0.1');
  expect(server.checkHost('kubernetes.default')).toBe('kubernetes.default');
  expect(server.keyUsage).toEqual(['1.3.6.1.5.5.7.3.1']);
  expect(admin.subject.split('\n').sort()).toEqual(['CN=kubernetes-admin', 'O=system:masters']);
});

it('keeps what it has, and renews a leaf for a new name or before it expires', async () => {
  const clock = new VirtualClock();
  const first = await ensurePki({ directory, serverNames: ['localhost'], clock });
  expect(await ensurePki({ directory, serverNames: ['localhost'], clock })).toEqual(first);
  const named = await ensurePki({ directory, serverNames: ['localhost', '192.0.2.1'], clock });
  expect(named.apiserver.certificate).not.toBe(first.apiserver.certificate);
  expect(named.admin).toEqual(first.admin);
  await clock.advance(340 * day);
  const later = await ensurePki({ directory, serverNames: ['localhost'], clock });
  expect(later.admin.certificate).not.toBe(first.admin.certificate);
  expect(later.ca).toEqual(first.ca);
});

it('does not replace a damaged CA', async () => {
  await ensurePki({ directory, serverNames: [], clock: new VirtualClock() });
  const text = await readFile(join(directory, 'ca.crt'), 'utf8');
  await writeFile(join(directory, 'ca.crt'), text.slice(0, 200));
  const error = await ensurePki({ directory, serverNames: [], clock: new VirtualClock() }).catch((e: unknown) => e);
  expect(codeOf(error)).toBe('corrupt');
});
