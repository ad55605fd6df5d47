/** The images that running builds stand on, made so far, or copy from: nobody may remove them. */
export class UsedImages {
  readonly #builds = new Map<string, Set<string>>();

  /** Before the image is looked for, or can be found. */
  add(build: string, image: string): void {
    const images = this.#builds.get(build) ?? new Set();
    this.#builds.set(build, images.add(image));
  }

  end(build: string): void {
    this.#builds.delete(build);
  }

  /** A build that uses the image. */
  userOf(image: string): string | undefined {
    for (const [build, images] of this.#builds) if (images.has(image)) return build;
    return undefined;
  }
}
