import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@wherry/base';
import { ensurePki } from '@wherry/bootstrap';

/** A server certificate for 127.0.0.1 of the same kind as the cluster's, with its CA appended. */
export async function issueFloorCertificate(): Promise<{ key: string; certificate: string }> {
  const directory = await mkdtemp(join(tmpdir(), 'floor-'));
  try {
    const { apiserver, ca } = await ensurePki({ directory, serverNames: ['127.0.0.1'], clock: systemClock });
    return { key: apiserver.key, certificate: apiserver.certificate + ca.certificate };
  } finally {
    await rm(directory, { recursive: true });
  }
}
