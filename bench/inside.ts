// Runs inside the test machine's network: node tools/run.mjs bench/inside.ts SECTION KUBECONFIG [JSON]
import { measureApi } from './api.ts';
import { type GrowthOptions, measureGrowth } from './growth.ts';
import { measurePods } from './pods.ts';
import type { Measure } from './report.ts';

const [section, kubeconfig, json = 'null'] = process.argv.slice(2) as [string, string, string?];
const options: unknown = JSON.parse(json);
const sections: Readonly<Record<string, () => Promise<Measure[]>>> = {
  api: () => measureApi(kubeconfig),
  pods: () => measurePods(kubeconfig, options as number),
  growth: () => measureGrowth(kubeconfig, options as GrowthOptions),
};
const measures = await sections[section]!();
process.stdout.write(JSON.stringify(measures), () => process.exit(0));
