// Runs inside the test machine's network: node tools/run.mjs bench/inside.ts SECTION KUBECONFIG [FLOOR]
import { measureApi } from './api.ts';
import { measurePods } from './pods.ts';

const [section, kubeconfig, floor] = process.argv.slice(2) as [string, string, string];
const measures = section === 'api' ? await measureApi(kubeconfig) : await measurePods(kubeconfig, Number(floor));
process.stdout.write(JSON.stringify(measures), () => process.exit(0));
