import { WherryError } from '@wherry/base';
import {
  familiarReference,
  formatPlatform,
  type ImageConfig,
  type Platform,
  parseReference,
  platformOf,
  suitsPlatform,
} from '@wherry/oci';

/**
 * An image of one platform is pulled whatever was asked for; docker tells afterwards. Throws `notFound` in dockerd's
 * words.
 */
export function checkPlatform(reference: string, config: ImageConfig, wanted: Platform | undefined): void {
  const own = platformOf(config);
  if (wanted === undefined || suitsPlatform(own, wanted)) return;
  const shown = familiarReference(parseReference(reference));
  const words = `image with reference ${shown} was found but does not match the specified platform`;
  throw new WherryError('notFound', `${words}: wanted ${formatPlatform(wanted)}, actual: ${formatPlatform(own)}`);
}
