import { newestVersion, oldestVersion } from '../http/api-version.ts';
import type { SystemFacts } from './facts.ts';

/** `GET /version`. Where dockerd says which Go it was built by, we say which Node runs us. */
export function versionOf(facts: SystemFacts): Readonly<Record<string, unknown>> {
  const { version, gitCommit, buildTime, architecture, kernelVersion } = facts;
  const runtime = `Node.js ${process.versions.node}`;
  return {
    Platform: { Name: 'Wherry' },
    Components: [
      {
        Name: 'Engine',
        Version: version,
        Details: {
          ApiVersion: newestVersion,
          Arch: architecture,
          BuildTime: buildTime,
          Experimental: 'false',
          GitCommit: gitCommit,
          GoVersion: runtime,
          KernelVersion: kernelVersion,
          MinAPIVersion: oldestVersion,
          Os: 'linux',
        },
      },
      { Name: facts.monitor.name, Version: facts.monitor.version, Details: { GitCommit: '' } },
      ...facts.runtimes.map(({ name, version, commit }) => ({
        Name: name,
        Version: version,
        Details: { GitCommit: commit },
      })),
    ],
    Version: version,
    ApiVersion: newestVersion,
    MinAPIVersion: oldestVersion,
    GitCommit: gitCommit,
    GoVersion: runtime,
    Os: 'linux',
    Arch: architecture,
    KernelVersion: kernelVersion,
    BuildTime: buildTime,
  };
}
