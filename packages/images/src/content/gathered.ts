/** Bytes that are written at a time. */
const batch = 512 * 1024;

/** A stream's pieces, several at a time; those before an error come before it. */
export async function* gathered(
  source: AsyncIterable<Uint8Array>,
): AsyncGenerator<readonly Uint8Array[], void, undefined> {
  let [chunks, length]: [Uint8Array[], number] = [[], 0];
  let failure: { readonly error: unknown } | undefined;
  try {
    for await (const chunk of source) {
      chunks.push(chunk);
      length += chunk.length;
      if (length < batch) continue;
      yield chunks;
      [chunks, length] = [[], 0];
    }
  } catch (error) {
    failure = { error };
  }
  if (chunks.length > 0) yield chunks;
  if (failure) throw failure.error;
}
