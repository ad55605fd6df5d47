import type { ImageManifest } from '@wherry/images';
import type { EngineApiOptions } from '../options.ts';

type Members = Readonly<Record<string, unknown>>;

/** IDs of containers by the ID of their image. */
export async function containersByImage({ containers }: EngineApiOptions): Promise<ReadonlyMap<string, string[]>> {
  const found = new Map<string, string[]>();
  for (const { Id, ImageID } of await containers.list({ all: true, size: false, filters: new Map() })) {
    const ids = found.get(String(ImageID)) ?? [];
    found.set(String(ImageID), [...ids, String(Id)]);
  }
  return found;
}

/** The `Manifests` of an image, as API 1.47 has them. */
export function manifestSummary(
  { descriptor, kind, platform, contentBytes, image, attests }: ImageManifest,
  containers: ReadonlyMap<string, string[]>,
): Members {
  const unpacked = image?.unpackedBytes ?? 0;
  return {
    ID: descriptor.digest,
    Descriptor: descriptor,
    Available: image !== undefined,
    Size: { Content: contentBytes, Total: contentBytes + unpacked },
    Kind: kind,
    ...(kind === 'image' && {
      ImageData: {
        Platform: platform,
        Containers: (image && containers.get(image.id)) ?? [],
        Size: { Unpacked: unpacked },
      },
    }),
    ...(kind === 'attestation' && { AttestationData: { For: attests ?? '' } }),
  };
}
