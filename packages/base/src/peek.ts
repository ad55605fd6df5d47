/**
 * The first bytes of a stream, `least` of them or more unless it ends before, and the stream as if nothing had been taken.
 * Who stops reading that lets go of the source.
 */
export async function peek(
  source: AsyncIterable<Uint8Array>,
  least: number,
): Promise<{ readonly first: Buffer; readonly whole: AsyncGenerator<Uint8Array, void, undefined> }> {
  const rest = source[Symbol.asyncIterator]();
  let first: Buffer = Buffer.alloc(0);
  while (first.length < least) {
    const next = await rest.next();
    if (next.done) break;
    // Copied before the next one: a piece may be valid only until then.
    first = Buffer.concat([first, next.value]);
  }
  return { first, whole: wholeOf(first, rest) };
}

async function* wholeOf(first: Buffer, rest: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    if (first.length > 0) yield first;
    for (let next = await rest.next(); !next.done; next = await rest.next()) yield next.value;
  } finally {
    await rest.return?.();
  }
}
