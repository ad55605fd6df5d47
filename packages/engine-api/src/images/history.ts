import type { ImageDetails, ImageSummary } from '@wherry/images';
import { familiar } from './names.ts';

export interface HistoryEntry {
  readonly Comment: string;
  readonly Created: number;
  readonly CreatedBy: string;
  readonly Id: string;
  readonly Size: number;
  readonly Tags: readonly string[] | null;
}

/** `docker history`, newest step first: as far as an image's parents are known here, steps have their ids and names. */
export function historyOf(image: ImageDetails, others: readonly ImageSummary[]): readonly HistoryEntry[] {
  let layer = 0;
  const steps = (image.config.history ?? []).map((step) => ({
    Comment: step.comment ?? '',
    Created: step.created === undefined ? 0 : Math.floor(Date.parse(step.created) / 1000) || 0,
    CreatedBy: step.created_by ?? '',
    Size: step.empty_layer === true ? 0 : (image.layerBytes[layer++] ?? 0),
  }));
  let maker: ImageSummary | undefined = image;
  return steps.reverse().map(({ Comment, Created, CreatedBy, Size }) => {
    const Id = maker?.id ?? '<missing>';
    const names: readonly string[] = maker?.names ?? [];
    const parent: ImageSummary['parent'] = maker?.parent;
    maker = parent === undefined ? undefined : others.find(({ id }) => id === parent);
    return { Comment, Created, CreatedBy, Id, Size, Tags: names.length === 0 ? null : names.map(familiar).sort() };
  });
}
