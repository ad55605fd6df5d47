import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createTestCluster, dockerBusyboxImage } from '@wherry/testkit';
import Dockerode from 'dockerode';
import { expect, it } from 'vitest';
import { eventually } from './eventually.ts';
import { hostileRequests, seededRandom, send, subjects } from './hostile-requests.ts';

const [seed, rounds, atOnce] = [26, 20, 25];

/** Failures that dockerd 26.1 answers with 5xx too: by its own mistakes, or because they are the machine's. */
const knownFailures: readonly RegExp[] = [
  /^strconv\.(Atoi|ParseInt|ParseBool): parsing /,
  /^(Cannot (stop|restart|kill|pause)|cannot (stop|restart)) container/,
  / is not paused$/,
  / is not connected to (the )?network /,
  /^Conflict, cannot remove the default link name/,
  /^(ps: |error: )/,
  /^(unexpected EOF|archive\/tar: |Cannot locate specified Dockerfile|timeout waiting for exec session ready)/,
  /marked for removal and cannot be|file name too long/,
  /(connection refused|no such host|getaddrinfo \w+|Temporary failure in name resolution)/,
  // Of the body of `/auth`, and of names for a build.
  /^(invalid character |json: cannot unmarshal .* AuthConfig|unexpected end of JSON input|EOF$|invalid reference format)/,
  // What is not served at all.
  /not a swarm manager|swarm is unavailable|BuildKit is not served here/,
];

it(`hostile requests of seed ${seed} are answered, and nothing of them stays`, async () => {
  await using engine = await createTestCluster({ upArgs: ['--engine-only'] });
  await engine.loadImage(await dockerBusyboxImage(), ['busybox:latest']);
  const socketPath = engine.dockerHost.slice('unix://'.length);
  const docker = new Dockerode({ socketPath });
  const pid = await engine.daemonPid();
  const descriptors = (): number => readdirSync(`/proc/${pid}/fd`).length;
  /** Removes everything, whatever the requests made. */
  const clear = async (): Promise<void> => {
    for (const { Id } of await docker.listContainers({ all: true }))
      await docker.getContainer(Id).remove({ force: true, v: true });
    await docker.pruneNetworks();
    await docker.pruneVolumes({ filters: { all: ['true'] } });
  };
  /** What the requests are about; some of it is there still. */
  const prepare = async (): Promise<string> => {
    const ignore = (): undefined => undefined;
    await docker.createNetwork({ Name: subjects.network }).catch(ignore);
    await docker.createVolume({ Name: subjects.volume }).catch(ignore);
    const config = { Image: 'busybox', Cmd: ['sleep', '600'], StopSignal: 'SIGKILL', OpenStdin: true };
    const HostConfig = { NetworkMode: subjects.network };
    for (const name of [subjects.running, subjects.created])
      await docker.createContainer({ ...config, name, HostConfig }).catch(ignore);
    const running = docker.getContainer(subjects.running);
    await running.start().catch(ignore);
    await running.unpause().catch(ignore);
    const exec = await running.exec({ Cmd: ['cat'], AttachStdin: true, AttachStdout: true }).catch(ignore);
    return exec?.id ?? 'nosuch';
  };
  let exec = await prepare();
  await clear();
  const before = descriptors();
  const requests = hostileRequests(seededRandom(seed), () => exec);
  const failures: string[] = [];
  for (let round = 0; round < rounds; round++) {
    exec = await prepare();
    const sent = Array.from({ length: atOnce }, async () => {
      const request = requests.next().value!;
      const { status, answer } = await send(socketPath, request);
      const message = /"message":"((?:[^"\\]|\\.)*)"/.exec(answer)?.[1] ?? answer;
      if (status >= 500 && !knownFailures.some((known) => known.test(message)))
        failures.push(`${request.call}: ${status} ${message}\n${request.text.toString().slice(0, 1000)}`);
    });
    await Promise.all(sent);
  }
  expect(failures).toEqual([]);
  expect(await engine.daemonPid()).toBe(pid);
  await clear();
  expect(await docker.listContainers({ all: true })).toEqual([]);
  await eventually(() => expect(descriptors()).toBeLessThanOrEqual(before + 5));
  const log = await readFile(join(engine.machine.directory, 'root', 'log', 'daemon.log'), 'utf8');
  expect(log.split('\n').filter((line) => /unhandled rejection|MaxListenersExceeded/.test(line))).toEqual([]);
}, 240_000);
