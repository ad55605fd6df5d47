/** Resolves when a writable takes more, or is closed. */
export async function drained(writable: NodeJS.WritableStream & { readonly destroyed?: boolean }): Promise<void> {
  if (writable.destroyed === true) return;
  await new Promise<void>((resolve) => {
    const done = (): void => {
      writable.off('drain', done);
      writable.off('close', done);
      resolve();
    };
    writable.on('drain', done);
    writable.on('close', done);
  });
}
