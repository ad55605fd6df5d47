import { chmodSync, chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { DisposalStack, WherryError } from '@wherry/base';
import type { StageContext } from '../build/stage-context.ts';
import type { StageImage } from '../build/stage-image.ts';
import { resolveWithin } from '../files/resolve-within.ts';
import { SourceTree } from '../files/source-tree.ts';
import { openTree } from '../files/tree-spec.ts';
import type { StepMount } from '../step-runner.ts';
import { mountReadOnly, mountWritable } from './layer-mounts.ts';
import type { BindMount, CacheMount, RunMount, SecretMount, TmpfsMount } from './run-mount.ts';

/** The mounts of one RUN: what they add to its identity, and what they are on the host while it runs. */
export class StepMounts implements AsyncDisposable {
  readonly #context: StageContext;
  readonly #mounts: readonly RunMount[];
  readonly #disposals: DisposalStack;
  readonly #origins = new Map<string, Promise<Pick<StageImage, 'id' | 'layers'>>>();
  /** Variables that hold secrets. */
  readonly environment: string[] = [];

  constructor(context: StageContext, mounts: readonly RunMount[]) {
    this.#context = context;
    this.#mounts = mounts;
    this.#disposals = new DisposalStack(context.services.log);
  }

  /** Content that the step sees counts; caches and secrets do not. */
  async identity(): Promise<readonly unknown[]> {
    const parts: unknown[] = [];
    for (const mount of this.#mounts) {
      if (mount.type !== 'bind') continue;
      if (mount.from !== undefined) {
        const { id, layers } = await this.#origin(mount.from);
        parts.push([mount.target, layers.at(-1)?.chainId ?? id]);
      } else {
        const { services, context, signal } = this.#context;
        const content = { tree: context, path: mount.source };
        const checksum = await services.files.run('identifyContent', content, signal);
        if (checksum === undefined) throw missing(mount.source);
        parts.push([mount.target, checksum]);
      }
    }
    return parts;
  }

  /** Makes the mounts and works with them; caches are held meanwhile. */
  async within<T>(work: (mounts: readonly StepMount[]) => Promise<T>): Promise<T> {
    return await this.#next(0, [], work);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disposals[Symbol.asyncDispose]();
  }

  async #next<T>(
    at: number,
    made: readonly StepMount[],
    work: (mounts: readonly StepMount[]) => Promise<T>,
  ): Promise<T> {
    const mount = this.#mounts[at];
    if (mount === undefined) return await work(made);
    if (mount.type !== 'cache') return await this.#next(at + 1, [...made, ...(await this.#make(mount))], work);
    const { target, readOnly } = mount;
    const fill = mount.from === undefined ? undefined : (folder: string) => this.#fill(mount, folder);
    return await this.#context.services.cacheMounts.use({ ...mount, fill }, (hostPath) =>
      this.#next(at + 1, [...made, { type: 'bind', hostPath, target, readOnly }], work),
    );
  }

  async #make(mount: BindMount | SecretMount | TmpfsMount): Promise<readonly StepMount[]> {
    if (mount.type === 'tmpfs') return [mount];
    if (mount.type === 'secret') return this.#secret(mount);
    const { root } = await this.#tree(mount.from);
    const path = resolveWithin(root, mount.source);
    const hostPath = join(root, path);
    const tree = new SourceTree(root);
    const found = await tree.find(mount.source);
    if (found === undefined) throw missing(mount.source);
    if (!mount.isWritable) return [{ type: 'bind', hostPath, target: mount.target, readOnly: true }];
    // What is written there is nobody's: it goes with the step.
    const { workFolder, mountPoint } = this.#context;
    const [folder, file] = found.type === 'directory' ? [hostPath, ''] : [dirname(hostPath), basename(hostPath)];
    const written = this.#disposals.use(await mountWritable([folder], workFolder(), mountPoint()));
    return [{ type: 'bind', hostPath: join(written.root, file), target: mount.target, readOnly: false }];
  }

  async #tree(from: string | undefined): Promise<{ readonly root: string }> {
    const { services, hold, mountPoint, context, workFolder, signal } = this.#context;
    if (from !== undefined) {
      const { layers } = await this.#origin(from);
      const folders = await hold(layers);
      return this.#disposals.use(await mountReadOnly(layers.length > 0 ? folders : [], mountPoint()));
    }
    const tree = openTree(context);
    if (!tree.isFiltered) return tree;
    // A mount would show what the ignore file leaves out.
    const copy = workFolder();
    mkdirSync(copy, { recursive: true, mode: 0o755 });
    await services.files.run('copyFolder', { tree: context, path: '', into: copy }, signal);
    return { root: copy };
  }

  async #fill(mount: CacheMount, folder: string): Promise<void> {
    const { services, signal } = this.#context;
    const { root } = await this.#tree(mount.from);
    const tree = { kind: 'folder', root, keepsOwners: true } as const;
    const copy = { tree, path: mount.source, into: folder };
    if (!(await services.files.run('copyFolder', copy, signal))) throw missing(mount.source);
  }

  #secret(mount: SecretMount): readonly StepMount[] {
    const secrets = this.#context.request.secrets ?? {};
    const content = Object.hasOwn(secrets, mount.id) ? secrets[mount.id] : undefined;
    if (content === undefined) {
      if (mount.isRequired) throw new WherryError('invalid', `secret ${mount.id}: not found`);
      return [];
    }
    if (mount.variable !== undefined) this.environment.push(`${mount.variable}=${content.toString('utf8')}`);
    if (mount.target === undefined) return [];
    // Beneath /run: never on a disk.
    const folder = this.#context.mountPoint();
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const hostPath = join(folder, 'secret');
    writeFileSync(hostPath, content, { mode: 0o600, flag: 'wx' });
    chownSync(hostPath, mount.uid, mount.gid);
    chmodSync(hostPath, mount.mode);
    this.#disposals.defer(() => rmSync(folder, { recursive: true, force: true }), 'secret');
    return [{ type: 'bind', hostPath, target: mount.target, readOnly: true }];
  }

  #origin(from: string): Promise<Pick<StageImage, 'id' | 'layers'>> {
    const known = this.#origins.get(from) ?? this.#context.imageFrom(from);
    this.#origins.set(from, known);
    return known;
  }
}

function missing(source: string): WherryError {
  return new WherryError('invalid', `failed to compute cache key: ${JSON.stringify(source)}: not found`);
}
