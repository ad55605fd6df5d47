import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { otherVersion, WherryError, writeFileAtomically } from '@wherry/base';

/** What a volume's `volume.json` says. */
export interface VolumeFile {
  readonly version: 1;
  readonly createdAt: number; // ms
  readonly options: Readonly<Record<string, string>>;
  readonly labels: Readonly<Record<string, string>>;
  readonly anonymous: boolean;
  /** Who holds it. */
  readonly users: readonly string[];
  /** Whose containers run with its own file system mounted. */
  readonly mountedBy: readonly string[];
  /** A copy into it began and has not ended: what is there is half of it. */
  readonly filling: boolean;
}

/** The name of the record in a volume's folder. */
export const recordName = 'volume.json';

/** Throws `unsupported` for a record of another version, `corrupt` and errors of the file system for what is none. */
export async function readVolumeFile(folder: string): Promise<VolumeFile> {
  const path = join(folder, recordName);
  let file: VolumeFile;
  try {
    file = JSON.parse(await readFile(path, 'utf8')) as VolumeFile;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new WherryError('corrupt', `${path} cannot be read`, { cause: error });
  }
  if (typeof file !== 'object' || file === null) throw new WherryError('corrupt', `${path} cannot be read`);
  if (file.version !== 1) throw otherVersion(path, file.version, 1);
  return file;
}

export async function writeVolumeFile(folder: string, file: VolumeFile): Promise<void> {
  await writeFileAtomically(join(folder, recordName), `${JSON.stringify(file, undefined, 2)}\n`);
}
