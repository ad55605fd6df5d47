import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DisposalStack, WherryError } from '@wherry/base';
import type { CommittedLayer } from '@wherry/images';
import { shellOf } from '../config/apply.ts';
import type { CopyInstruction } from '../dockerfile/instruction.ts';
import { copyFiles, destinationPath } from '../files/copy-files.ts';
import { type CopySource, checksumOfAll, findSources } from '../files/copy-sources.ts';
import { Destination } from '../files/destination.ts';
import { download, isUrl } from '../files/download.ts';
import { parseMode } from '../files/file-mode.ts';
import { parseOwner } from '../files/file-owner.ts';
import { SourceTree } from '../files/source-tree.ts';
import { cloneRepository } from '../git/clone-repository.ts';
import { isGitAddress } from '../git/git-address.ts';
import { mountReadOnly, mountWritable } from '../run/layer-mounts.ts';
import type { CacheStep } from './find-cached.ts';
import { type StageContext, worded } from './stage-context.ts';
import type { StageImage } from './stage-image.ts';

/** A COPY or ADD: what its cache key is made of comes first, its files are looked at again only where it misses. */
export class CopyStep implements AsyncDisposable {
  readonly #context: StageContext;
  readonly #instruction: CopyInstruction;
  readonly #number: number;
  readonly #image: StageImage;
  readonly #disposals: DisposalStack;
  #from: Pick<StageImage, 'id' | 'layers'> | undefined;
  #sources: readonly CopySource[] | undefined;

  /** `instruction` is expanded. */
  constructor(context: StageContext, instruction: CopyInstruction, number: number, image: StageImage) {
    this.#context = context;
    this.#instruction = instruction;
    this.#number = number;
    this.#image = image;
    this.#disposals = new DisposalStack(context.services.log);
  }

  /** The step as the cache knows it, with the checksum of its content. Throws in dockerd's words. */
  async describe(): Promise<CacheStep> {
    const { name, from, owner, mode, destination, link, parents, exclude } = this.#instruction;
    if (from !== undefined) {
      this.#from = await worded(`invalid from flag value ${from}: `, () => this.#context.imageFrom(from));
    }
    const checksum = await worded(`${name} failed: `, () => this.#checksum());
    if ((this.#sources?.length ?? 0) > 1 && !destination.endsWith('/') && destination !== '.') {
      const rule = 'the destination must be a directory and end with a /';
      throw new WherryError('invalid', `When using ${name} with more than one source file, ${rule}`);
    }
    const { config } = this.#image;
    const flags = [
      owner === undefined ? '' : `--chown=${owner} `,
      mode === undefined ? '' : `--chmod=${mode} `,
      link ? '--link ' : '',
      parents ? '--parents ' : '',
      ...exclude.map((pattern) => `--exclude=${pattern} `),
    ].join('');
    const words = [...shellOf(config), `#(nop) ${name} ${flags}${checksum} in ${destination} `];
    return { keyword: name, words, config, files: this.#manifest() };
  }

  /** Copies; gives the layer, `undefined` where nothing changed. */
  async run(): Promise<CommittedLayer | undefined> {
    const { services, signal, workFolder, mountPoint, hold, timestamp } = this.#context;
    const { name, owner, mode, destination, link, parents, unpack } = this.#instruction;
    this.#sources ??= await worded(`${name} failed: `, () => this.#find());
    const sources = this.#sources;
    const folders = await hold(this.#image.layers);
    const layered = this.#image.layers.length > 0 ? folders : [];
    const given = owner === undefined ? undefined : parseOwner(owner, layered);
    await using mounted = await mountWritable(link ? [] : layered, workFolder(), mountPoint());
    await copyFiles(new Destination(mounted.root), {
      sources,
      destination: destinationPath(destination, this.#image.config.WorkingDir ?? ''),
      owner: given,
      mode: mode === undefined ? undefined : parseMode(mode),
      unpack: name === 'ADD' && unpack !== false,
      parents,
      signal,
    });
    await mounted.unmount();
    const base = this.#image.layers;
    return await services.images.commitLayer({ upper: mounted.upper, base, adopt: true, timestamp, signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#disposals[Symbol.asyncDispose]();
  }

  /** What was copied from an image before need not be looked at again. */
  async #checksum(): Promise<string> {
    const { cache } = this.#context.services;
    const { sources, exclude, files } = this.#instruction;
    const chain = this.#from?.layers.at(-1)?.chainId;
    const isFixed = chain !== undefined && files.length === 0;
    const key = isFixed ? JSON.stringify([chain, sources, exclude]) : '';
    const known = isFixed && !this.#context.probe.isOff ? cache.checksum(key) : undefined;
    if (known !== undefined) return known;
    this.#sources = await this.#find();
    const checksum = checksumOfAll(this.#sources);
    if (isFixed) cache.keepChecksum(key, checksum);
    return checksum;
  }

  async #find(): Promise<readonly CopySource[]> {
    const { name, sources: written, exclude, files, from } = this.#instruction;
    const { signal } = this.#context;
    const found: CopySource[] = [];
    let tree: SourceTree | undefined;
    for (const source of written) {
      if (isGitAddress(source) && name === 'ADD') found.push(await this.#clone(source));
      else if (isUrl(source)) found.push(await this.#download(source));
      else {
        tree ??= await this.#tree();
        found.push(...(await findSources(tree, source, { isContext: from === undefined, exclude, signal })));
      }
    }
    if (files.length > 0) found.push(...(await this.#inlineFiles()));
    if (found.length === 0) throw new WherryError('invalid', 'no source files were specified');
    return found;
  }

  async #tree(): Promise<SourceTree> {
    if (this.#from === undefined) return this.#context.context();
    const { hold, mountPoint } = this.#context;
    const { layers } = this.#from;
    const folders = await hold(layers);
    const mounted = this.#disposals.use(await mountReadOnly(layers.length > 0 ? folders : [], mountPoint()));
    return new SourceTree(mounted.root, { keepsOwners: true });
  }

  async #download(url: string): Promise<CopySource> {
    const { name, destination, checksum } = this.#instruction;
    const { signal, emit } = this.#context;
    if (name === 'COPY') throw new WherryError('invalid', "source can't be a URL for COPY");
    const folder = this.#newFolder();
    const fetched = await download(url, folder, signal);
    await emit({ type: 'output', number: this.#number, stream: 'stdout', content: Buffer.from('\n') });
    if (checksum !== undefined && checksum !== `sha256:${fetched.digest}`) {
      throw new WherryError('invalid', `digest mismatch sha256:${fetched.digest}: ${checksum}`);
    }
    if (fetched.name === '' && destination.endsWith('/')) {
      throw new WherryError('invalid', `cannot determine filename for source ${url}`);
    }
    const tree = new SourceTree(folder);
    const [source] = await findSources(tree, fetched.name || '__unnamed__', { isContext: false, exclude: [], signal });
    // What comes from afar is unpacked only where that is asked for.
    return { ...source!, checksum: source!.checksum.slice(5), mayUnpack: this.#instruction.unpack === true };
  }

  /** What is in a repository, as a folder's content is copied. */
  async #clone(address: string): Promise<CopySource> {
    const { checksum, keepsGitFolder } = this.#instruction;
    const { signal } = this.#context;
    const { folder, commit } = await cloneRepository(address, this.#newFolder(), {
      keepsHistory: keepsGitFolder,
      signal,
    });
    if (checksum !== undefined && !commit.startsWith(checksum.replace(/^sha1:/, ''))) {
      throw new WherryError('invalid', `expected checksum to match ${checksum}, got ${commit}`);
    }
    const [source] = await findSources(new SourceTree(folder), '', { isContext: false, exclude: [], signal });
    return source!;
  }

  async #inlineFiles(): Promise<readonly CopySource[]> {
    const folder = this.#newFolder();
    const tree = new SourceTree(folder);
    const found: CopySource[] = [];
    for (const { name, content } of this.#instruction.files) {
      if (name.includes('/') || name === '.' || name === '..') {
        throw new WherryError('invalid', `invalid here-document name ${JSON.stringify(name)}`);
      }
      writeFileSync(join(folder, name), content, { mode: 0o644 });
      const [source] = await findSources(tree, literalPath(name), { isContext: false, exclude: [] });
      found.push({ ...source!, path: name, mayUnpack: false });
    }
    return found;
  }

  #newFolder(): string {
    const folder = this.#context.workFolder();
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    return folder;
  }

  #manifest(): ReadonlyMap<string, string> | undefined {
    const sources = this.#sources;
    if (sources === undefined) return undefined;
    const files = new Map<string, string>();
    for (const { path, entry, manifest } of sources) {
      for (const [name, sum] of manifest) {
        files.set(entry.type === 'directory' ? join(path, name) : path, sum.slice(0, 16));
      }
    }
    return files;
  }
}

function literalPath(name: string): string {
  return name.replace(/[*?[\\]/g, '\\$&');
}
