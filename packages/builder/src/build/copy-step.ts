import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DisposalStack, WherryError } from '@wherry/base';
import type { CommittedLayer } from '@wherry/images';
import { isDigest } from '@wherry/oci';
import { shellOf } from '../config/apply.ts';
import type { CopyInstruction } from '../dockerfile/instruction.ts';
import { type ChosenSource, destinationPath } from '../files/copy-files.ts';
import { checksumOfAll, type SourceFacts, type WantedSource } from '../files/copy-sources.ts';
import { download, isUrl } from '../files/download.ts';
import { parseOwner } from '../files/file-owner.ts';
import type { TreeSpec } from '../files/tree-spec.ts';
import { cloneRepository } from '../git/clone-repository.ts';
import { isGitAddress } from '../git/git-address.ts';
import { mountReadOnly, mountWritable } from '../run/layer-mounts.ts';
import type { CacheStep } from './find-cached.ts';
import { type StageContext, worded } from './stage-context.ts';
import type { StageImage } from './stage-image.ts';

/** A source as the cache knows it, and as it is copied. */
interface DescribedSource extends SourceFacts {
  readonly chosen: ChosenSource;
}

/** A COPY or ADD: what its cache key is made of comes first, its files are looked at again only where it misses. */
export class CopyStep implements AsyncDisposable {
  readonly #context: StageContext;
  readonly #instruction: CopyInstruction;
  readonly #number: number;
  readonly #image: StageImage;
  readonly #disposals: DisposalStack;
  #from: Pick<StageImage, 'id' | 'layers'> | undefined;
  #sources: readonly DescribedSource[] | undefined;

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
    const count = this.#sources?.reduce((total, source) => total + source.count, 0) ?? 0;
    if (count > 1 && !destination.endsWith('/') && destination !== '.') {
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
    const sources = [...new Set(this.#sources.map(({ chosen }) => chosen))];
    const folders = await hold(this.#image.layers);
    const layered = this.#image.layers.length > 0 ? folders : [];
    const given = owner === undefined ? undefined : parseOwner(owner, layered);
    await using mounted = await mountWritable(link ? [] : layered, workFolder(), mountPoint());
    const request = {
      root: mounted.root,
      sources,
      destination: destinationPath(destination, this.#image.config.WorkingDir ?? ''),
      owner: given,
      mode,
      unpack: name === 'ADD' && unpack !== false,
      parents,
    };
    await services.files.run('copy', request, signal);
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
    const key = isFixed ? JSON.stringify({ chain, sources, exclude }) : '';
    const known = isFixed && !this.#context.probe.isOff ? cache.checksum(key) : undefined;
    if (known !== undefined) return known;
    this.#sources = await this.#find();
    const checksum = checksumOfAll(this.#sources);
    if (isFixed) cache.keepChecksum(key, checksum);
    return checksum;
  }

  async #find(): Promise<readonly DescribedSource[]> {
    const { name, sources: words, exclude, files, from } = this.#instruction;
    const found: DescribedSource[] = [];
    let tree: TreeSpec | undefined;
    checkChecksum(this.#instruction);
    for (const written of words) {
      if (isGitAddress(written) && name === 'ADD') found.push(...(await this.#clone(written)));
      else if (isUrl(written)) found.push(...(await this.#download(written)));
      else {
        tree ??= await this.#tree();
        const chosen = { tree, written, isContext: from === undefined, exclude, mayUnpack: true };
        found.push(...(await this.#described(chosen)));
      }
    }
    if (files.length > 0) found.push(...(await this.#inlineFiles()));
    if (found.length === 0) throw new WherryError('invalid', 'no source files were specified');
    return found;
  }

  async #described(chosen: ChosenSource): Promise<readonly DescribedSource[]> {
    const { services, signal } = this.#context;
    return (await services.files.run('describe', chosen, signal)).map((facts) => ({ ...facts, chosen }));
  }

  async #tree(): Promise<TreeSpec> {
    if (this.#from === undefined) return this.#context.context;
    const { hold, mountPoint } = this.#context;
    const { layers } = this.#from;
    const folders = await hold(layers);
    const mounted = this.#disposals.use(await mountReadOnly(layers.length > 0 ? folders : [], mountPoint()));
    return { kind: 'folder', root: mounted.root, keepsOwners: true };
  }

  async #download(url: string): Promise<readonly DescribedSource[]> {
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
    // What comes from afar is unpacked only where that is asked for.
    const mayUnpack = this.#instruction.unpack === true;
    const found = await this.#described({ ...within(folder, fetched.name || '__unnamed__'), mayUnpack });
    return found.map((source) => ({ ...source, checksum: source.checksum.slice(5) }));
  }

  /** What is in a repository, as a folder's content is copied. */
  async #clone(address: string): Promise<readonly DescribedSource[]> {
    const { checksum, keepsGitFolder } = this.#instruction;
    const { signal } = this.#context;
    const { folder, commit } = await cloneRepository(address, this.#newFolder(), {
      keepsHistory: keepsGitFolder,
      signal,
    });
    if (checksum !== undefined && !commit.startsWith(checksum.replace(/^sha1:/, ''))) {
      throw new WherryError('invalid', `expected checksum to match ${checksum}, got ${commit}`);
    }
    return await this.#described({ ...within(folder, ''), mayUnpack: true });
  }

  async #inlineFiles(): Promise<readonly DescribedSource[]> {
    const folder = this.#newFolder();
    const found: DescribedSource[] = [];
    for (const { name, content } of this.#instruction.files) {
      if (name.includes('/') || name === '.' || name === '..') {
        throw new WherryError('invalid', `invalid here-document name ${JSON.stringify(name)}`);
      }
      writeFileSync(join(folder, name), content, { mode: 0o644 });
      const chosen = { ...within(folder, literalPath(name)), mayUnpack: false, as: name };
      found.push(...(await this.#described(chosen)));
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
    for (const { manifest } of sources) for (const [path, sum] of manifest) files.set(path, sum.slice(0, 16));
    return files;
  }
}

/** What `ADD --checksum` can be: of one source that comes from afar. Throws `invalid` in BuildKit's words. */
function checkChecksum({ name, checksum, sources }: CopyInstruction): void {
  if (name !== 'ADD' || checksum === undefined) return;
  const [source = '', ...more] = sources;
  if (more.length > 0) throw new WherryError('invalid', "checksum can't be specified for multiple sources");
  if (isGitAddress(source)) return;
  if (!isUrl(source)) throw new WherryError('invalid', "checksum can't be specified for non-HTTP(S) sources");
  if (!isDigest(checksum)) throw new WherryError('invalid', `invalid checksum digest format: ${checksum}`);
}

/** All of a folder of the step's own. */
function within(root: string, written: string): WantedSource {
  return { tree: { kind: 'folder', root }, written, isContext: false, exclude: [] };
}

function literalPath(name: string): string {
  return name.replace(/[*?[\\]/g, '\\$&');
}
