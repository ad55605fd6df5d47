import { WherryError } from '@wherry/base';
import type { AssembleImage, ImageDetails } from '@wherry/images';
import { familiarReference, formatReference, parseReference } from '@wherry/oci';
import { BodyReader } from '../config/body-reader.ts';
import { decodeConfig } from '../config/decode.ts';
import { mergeImage } from '../config/merge-image.ts';
import type { ContainerConfig } from '../config/types.ts';
import type { Container } from '../containers/container.ts';
import type { CommitRequest } from '../containers/containers.ts';
import { type DockerContext, tell } from '../containers/context.ts';
import { layerChanges } from '../files/layer-changes.ts';
import { formatNano } from '../times.ts';

/** Makes an image of what a container has written, on top of its own. */
export async function commitContainer(
  context: DockerContext,
  container: Container,
  request: CommitRequest,
): Promise<{ readonly Id: string }> {
  const reference = referenceOf(request);
  if (container.phase === 'removing' || container.phase === 'dead')
    throw new WherryError(
      'conflict',
      `You cannot commit container ${container.id} which is ${container.phase === 'dead' ? 'Dead' : 'being removed'}`,
    );
  const config = configOf(context, container, request);
  const base = await context.images.details(container.record.imageId);
  const imageRef = reference === undefined ? '' : familiarReference(parseReference(reference));
  return await whileStill(context, container, request.pause, async () => {
    const imageID = await assemble(context, container, { request, config, base, reference });
    tell(context, container, 'commit', { comment: request.comment ?? '', imageID, imageRef });
    return { Id: imageID };
  });
}

function referenceOf({ repo, tag }: CommitRequest): string | undefined {
  if (repo === undefined || repo === '') return undefined;
  if (tag !== undefined && tag !== '' && !/^\w[\w.-]{0,127}$/.test(tag))
    throw new WherryError('invalid', 'invalid tag format');
  const parsed = parseReference(tag === undefined || tag === '' ? repo : `${repo}:${tag}`);
  if (parsed.digest !== undefined) throw new WherryError('invalid', 'refusing to create a tag with a digest reference');
  return formatReference(parsed);
}

/** The container's config, or the one that the body has, filled in from it; then the changes. */
function configOf(
  { applyChanges }: DockerContext,
  { record }: Container,
  { config: body, changes }: CommitRequest,
): ContainerConfig {
  const own = record.config;
  const empty = body === undefined || Object.keys(body).length === 0;
  const base = empty ? own : decodeConfig(new BodyReader(body, 'ContainerConfig'));
  const changed = structuredClone({ ...base, ...applyChanges(imageConfig(base), changes) }) as ContainerConfig;
  if (!empty) mergeImage(changed, { ...own, Env: own.Env ?? [] } as Parameters<typeof mergeImage>[1]);
  return changed;
}

/** With `pause`, nothing changes while the files are read. */
async function whileStill<T>(
  context: DockerContext,
  container: Container,
  pause: boolean,
  work: () => Promise<T>,
): Promise<T> {
  const { engine } = context;
  return await container.lock.run(async () => {
    const frozen = pause && container.phase === 'running';
    if (frozen) {
      await engine.pauseContainer(container.id);
      tell(context, container, 'pause');
    }
    try {
      return await work();
    } finally {
      // It may have been ended meanwhile.
      if (frozen)
        await engine.unpauseContainer(container.id).then(
          () => tell(context, container, 'unpause'),
          () => undefined,
        );
    }
  });
}

interface Parts {
  readonly request: CommitRequest;
  readonly config: ContainerConfig;
  readonly base: ImageDetails;
  readonly reference: string | undefined;
}

async function assemble(
  { engine, images, now }: DockerContext,
  container: Container,
  { request, config, base, reference }: Parts,
): Promise<string> {
  using root = await engine.openRootfs(container.id);
  const { upperDirectory: upper, lowerDirectories, users } = root;
  const isChanged = (await layerChanges(upper, lowerDirectories, users)).length > 0;
  using layer = isChanged ? await images.commitLayer({ upper, base: base.layers, users }) : undefined;
  const created = formatNano(now());
  const { record } = container;
  const image = await images.assemble({
    config: {
      architecture: base.config.architecture,
      os: base.config.os,
      ...(base.config.variant === undefined ? {} : { variant: base.config.variant }),
      created,
      ...(request.author === undefined || request.author === '' ? {} : { author: request.author }),
      config: { ...ofTheRun(config), ...imageConfig(config) },
      history: [
        ...(base.config.history ?? []),
        {
          created,
          ...(request.author === undefined || request.author === '' ? {} : { author: request.author }),
          // As dockerd has it: without the entrypoint.
          created_by: (record.config.Cmd ?? []).join(' '),
          ...(request.comment === undefined || request.comment === '' ? {} : { comment: request.comment }),
          ...(layer === undefined ? { empty_layer: true } : {}),
        },
      ],
    },
    layers: layer === undefined ? base.layers : [...base.layers, layer],
    parent: base.id,
    ...(reference === undefined ? {} : { references: [reference] }),
  });
  return image.id;
}

/** What an image's config remembers of the container, as dockerd's does. Nothing follows from it. */
function ofTheRun({ Hostname, Domainname, Tty, OpenStdin, StdinOnce, Image }: ContainerConfig): object {
  return { Hostname, Domainname, Tty, OpenStdin, StdinOnce, Image };
}

/** What of a container's config goes on in its image: not what was of its one run. */
function imageConfig(config: ContainerConfig): NonNullable<AssembleImage['config']['config']> {
  const { Healthcheck, ExposedPorts, Shell, StopSignal } = config;
  return {
    User: config.User,
    ...(ExposedPorts === undefined ? {} : { ExposedPorts }),
    Env: config.Env,
    Entrypoint: config.Entrypoint,
    Cmd: config.Cmd,
    Volumes: config.Volumes,
    WorkingDir: config.WorkingDir,
    Labels: config.Labels,
    ...(StopSignal === undefined ? {} : { StopSignal }),
    ...(Shell === undefined ? {} : { Shell }),
    ...(Healthcheck === undefined ? {} : { Healthcheck }),
    OnBuild: config.OnBuild,
  };
}
