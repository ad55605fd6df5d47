// Walks a fresh cluster with a script of recorded commands and compares the transcripts with those of upstream:
//   node tools/run.mjs e2e/golden.ts GOLDEN_DIR OUT_DIR [TOPIC ...]
// KUBECTL in the environment chooses the client. GOLDEN_DIR holds golden.sh and its transcripts, and `compare` beside it.
import { copyFile, mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createTestCluster, realKubectls, runProgram } from '@wherry/testkit';

const [golden, out, ...topics] = process.argv.slice(2) as [string, string, ...string[]];
const cluster = await createTestCluster();
let code = 1;
try {
  const scratch = cluster.machine.directory;
  await cluster.loadTestImages({ shell: 'bash' });
  await mkdir(out, { recursive: true });
  const kubeconfig = join(scratch, 'golden.kubeconfig');
  await copyFile(cluster.kubeconfigPath, kubeconfig);
  const client = process.env.KUBECTL ?? realKubectls().at(-1)!.path;
  const env = { OUT: resolve(out), KUBECTL: client, KUBECONFIG: kubeconfig, ONLY: topics.join(' ') };
  const walk = await cluster.machine.run('bash', [join(resolve(golden), 'golden.sh')], { env, timeout: 900_000 });
  process.stderr.write(walk.stderr);
  const compared = await runProgram(join(resolve(golden), '..', 'compare'), [resolve(golden), resolve(out), '-v']);
  process.stdout.write(compared.stdout);
  code = walk.code;
} finally {
  await cluster[Symbol.asyncDispose]();
}
process.exit(code);
