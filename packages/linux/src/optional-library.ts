import koffi from 'koffi';

/** What `declare` makes of a library of the host's, once it is there; `undefined` as long as it is not. */
export function optionalLibrary<Functions>(
  name: string,
  declare: (library: ReturnType<typeof koffi.load>) => Functions,
): () => Functions | undefined {
  let found: Functions | undefined;
  return () => {
    found ??= load(name, declare);
    return found;
  };
}

function load<Functions>(
  name: string,
  declare: (library: ReturnType<typeof koffi.load>) => Functions,
): Functions | undefined {
  let library: ReturnType<typeof koffi.load>;
  try {
    library = koffi.load(name);
  } catch {
    return undefined;
  }
  return declare(library);
}
