import { codeOf } from '@wherry/base';
import { checkPlatform, type ImageDetails } from '@wherry/images';
import { formatReference, type Platform, parseReference, tryParseReference } from '@wherry/oci';
import type { BuildEvent, BuildRequest } from '../builder.ts';
import type { Services } from '../services.ts';

/** Finds the image of a `FROM` or `--from` here, or fetches it. Errors are the registry's, in dockerd's words. */
export async function resolveImage(
  { images }: Services,
  request: Pick<BuildRequest, 'pull' | 'auth' | 'signal'>,
  reference: string,
  platform: Platform | undefined,
  emit: (event: BuildEvent) => void,
): Promise<ImageDetails> {
  const found = await images.find(reference);
  if (found) {
    const own = await images.details(found.id);
    // An id names one image alone: there is nothing to fetch.
    const isEnough = !request.pull || !namesIt(reference, own);
    const details = isEnough ? await ofPlatform(images, reference, own, platform) : undefined;
    if (details) return details;
  }
  const auth = request.auth(parseReference(reference).host);
  const { id, digest, isNew } = await images.pull(reference, {
    ...(auth && { auth }),
    ...(platform && { platform }),
    signal: request.signal,
    onResolved: () => emit({ type: 'resolved', reference }),
    onProgress: (progress) => emit({ type: 'pull', reference, ...progress }),
  });
  emit({ type: 'pulled', reference, digest, isNew });
  const details = await images.details(id);
  const fits = await ofPlatform(images, reference, details, platform);
  if (fits === undefined) checkPlatform(reference, details.config, platform);
  return fits ?? details;
}

/** The image of a name, or another one that the index behind it has here for the platform. */
async function ofPlatform(
  images: Services['images'],
  reference: string,
  own: ImageDetails,
  platform: Platform | undefined,
): Promise<ImageDetails | undefined> {
  if (platform === undefined || suits(own, platform)) return own;
  try {
    const other = await images.details(reference, platform);
    return suits(other, platform) || (await isNamedFor(images, reference, other, platform)) ? other : undefined;
  } catch (error) {
    if (codeOf(error) === 'notFound') return undefined;
    throw error;
  }
}

/** Whether an index says that an image is of a platform, whatever that says of itself. */
async function isNamedFor(
  images: Services['images'],
  reference: string,
  { id }: ImageDetails,
  { os, architecture }: Platform,
): Promise<boolean> {
  const { manifests } = await images.manifests(reference);
  return manifests.some(
    ({ image, platform }) => image?.id === id && platform?.os === os && platform.architecture === architecture,
  );
}

function namesIt(reference: string, { names, digests }: ImageDetails): boolean {
  const named = tryParseReference(reference);
  if (named === undefined) return false;
  const full = formatReference(named);
  return names.includes(full) || digests.includes(full) || named.digest !== undefined;
}

function suits({ config }: ImageDetails, platform: Platform): boolean {
  if (config.os !== platform.os || config.architecture !== platform.architecture) return false;
  return platform.variant === undefined || config.variant === undefined || config.variant === platform.variant;
}
