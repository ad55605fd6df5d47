import { dirname, join } from 'node:path';
import { asGoWrites, rfc3339 } from '@wherry/base';
import type { ImageDetails } from '@wherry/images';
import { zeroTime } from '../http/times.ts';
import { familiar } from './names.ts';

type Members = Readonly<Record<string, unknown>>;

/** `GET /images/{name}/json`. `speaks`: whether the client's version is 1.N or newer. */
export function imageInspection(image: ImageDetails, speaks: (minor: number) => boolean): Members {
  const raw = image.rawConfig;
  return {
    Id: image.id,
    RepoTags: [...image.names].sort().map(familiar),
    RepoDigests: [...image.digests].sort().map(familiar),
    Parent: image.parent ?? '',
    Comment: text(raw.comment) || commentOf(image),
    Created: image.config.created ? asGoWrites(image.config.created) : speaks(44) ? undefined : zeroTime,
    ...(speaks(45)
      ? {}
      : {
          Container: text(raw.container) || undefined,
          ContainerConfig: containerConfig((raw.container_config ?? {}) as Members),
        }),
    DockerVersion: text(raw.docker_version),
    Author: image.config.author ?? '',
    Config: raw.config ? containerConfig(raw.config as Members) : null,
    Architecture: image.config.architecture ?? '',
    Variant: image.config.variant,
    Os: image.config.os || 'linux',
    OsVersion: text(raw['os.version']) || undefined,
    Size: image.sizeBytes,
    ...(speaks(44) ? {} : { VirtualSize: image.sizeBytes }),
    GraphDriver: { Data: graphData(image.folders), Name: 'overlay2' },
    RootFS: {
      Type: 'layers',
      Layers: image.layers.length === 0 ? undefined : image.layers.map(({ diffId }) => diffId),
    },
    Metadata: { LastTagTime: image.lastTaggedAt === undefined ? zeroTime : rfc3339(image.lastTaggedAt) },
  };
}

function commentOf({ config }: ImageDetails): string {
  return config.history?.at(-1)?.comment ?? '';
}

/** A container's config with all of its members, in the order of Go's type. */
function containerConfig(config: Members): Members {
  return {
    Hostname: text(config.Hostname),
    Domainname: text(config.Domainname),
    User: text(config.User),
    AttachStdin: config.AttachStdin === true,
    AttachStdout: config.AttachStdout === true,
    AttachStderr: config.AttachStderr === true,
    ExposedPorts: unlessEmpty(config.ExposedPorts),
    Tty: config.Tty === true,
    OpenStdin: config.OpenStdin === true,
    StdinOnce: config.StdinOnce === true,
    Env: config.Env ?? null,
    Cmd: config.Cmd ?? null,
    Healthcheck: config.Healthcheck ?? undefined,
    ArgsEscaped: config.ArgsEscaped === true ? true : undefined,
    Image: text(config.Image),
    Volumes: config.Volumes ?? null,
    WorkingDir: text(config.WorkingDir),
    Entrypoint: config.Entrypoint ?? null,
    NetworkDisabled: config.NetworkDisabled === true ? true : undefined,
    MacAddress: text(config.MacAddress) || undefined,
    OnBuild: config.OnBuild ?? null,
    Labels: config.Labels ?? null,
    StopSignal: text(config.StopSignal) || undefined,
    StopTimeout: config.StopTimeout ?? undefined,
    Shell: config.Shell ?? undefined,
  };
}

/** Folders as overlayfs stacks them. As with dockerd, there are a merged and a work folder only where it is mounted. */
function graphData([top, ...below]: readonly string[]): Members {
  if (top === undefined) return {};
  return {
    LowerDir: below.length === 0 ? undefined : below.join(':'),
    MergedDir: join(dirname(top), 'merged'),
    UpperDir: top,
    WorkDir: join(dirname(top), 'work'),
  };
}

function text(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function unlessEmpty(value: unknown): unknown {
  return typeof value === 'object' && value !== null && Object.keys(value).length > 0 ? value : undefined;
}
