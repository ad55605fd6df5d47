import { closeSync, constants, openSync } from 'node:fs';
import { WherryError } from '@wherry/base';
import { mount } from './mount.ts';

export interface OverlayRequest {
  /** Topmost first. */
  readonly lowerDirectories: readonly string[];
  /** Where changes go; leave both out for a read-only view (then two lower folders are needed). */
  readonly upperDirectory?: string | undefined;
  /** An empty folder on the same file system as `upperDirectory`. */
  readonly workDirectory?: string | undefined;
  readonly target: string;
  /** More options of overlayfs, e.g. `metacopy=off`. */
  readonly options?: readonly string[] | undefined;
}

/** mount(2) takes one page of options, with the final zero byte. */
const longestData = 4095;
const pathOnly = 0o10000000; // O_PATH, the same on x86-64 and arm64
/** OVL_MAX_STACK of the kernel. */
const mostLayers = 500;

/**
 * Mounts an overlay (Documentation/filesystems/overlayfs.rst). Where the paths do not fit into the
 * page of options, or hold `:` `,` or `\`, the folders are opened and named by `/proc/self/fd/N`,
 * which works on every kernel and takes about 220 layers.
 */
export function mountOverlay(request: OverlayRequest): void {
  if (request.lowerDirectories.length === 0 || request.lowerDirectories.length > mostLayers)
    throw new WherryError(
      'invalid',
      `an overlay takes 1 to ${mostLayers} lower folders, not ${request.lowerDirectories.length}`,
    );
  const plain = overlayData(request, (path) => path);
  const paths = [...request.lowerDirectories, request.upperDirectory ?? '', request.workDirectory ?? ''];
  if (Buffer.byteLength(plain) <= longestData && !paths.some((path) => /[:,\\]/.test(path))) {
    mount({ source: 'overlay', target: request.target, type: 'overlay', data: plain });
    return;
  }
  const descriptors: number[] = [];
  try {
    const data = overlayData(request, (path) => {
      const descriptor = openSync(path, pathOnly | constants.O_DIRECTORY);
      descriptors.push(descriptor);
      return `/proc/self/fd/${descriptor}`;
    });
    if (Buffer.byteLength(data) > longestData)
      throw new WherryError(
        'tooLarge',
        `an overlay of ${request.lowerDirectories.length} layers does not fit into one mount call`,
      );
    mount({ source: 'overlay', target: request.target, type: 'overlay', data });
  } finally {
    for (const descriptor of descriptors) closeSync(descriptor);
  }
}

function overlayData(request: OverlayRequest, name: (path: string) => string): string {
  const parts = [`lowerdir=${request.lowerDirectories.map(name).join(':')}`];
  if (request.upperDirectory !== undefined) parts.push(`upperdir=${name(request.upperDirectory)}`);
  if (request.workDirectory !== undefined) parts.push(`workdir=${name(request.workDirectory)}`);
  return [...parts, ...(request.options ?? [])].join(',');
}
