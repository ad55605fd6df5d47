const plain = /^[A-Za-z0-9+/]*={0,2}$/;

/** Index of the first byte that is wrong in standard base64 with padding (Go's `base64.StdEncoding`), or -1. */
export function base64Problem(text: string): number {
  if (text.length % 4 === 0 && plain.test(text)) return -1;
  let count = 0;
  let padding = 0;
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!;
    if (c === '\r' || c === '\n') continue;
    if (c === '=') {
      const inGroup = count % 4;
      if (padding === 0 && inGroup < 2) return i;
      padding++;
      if (inGroup + padding > 4) return i;
    } else if (padding > 0 || !/[A-Za-z0-9+/]/.test(c)) return i;
    else count++;
  }
  const open = (count + padding) % 4;
  return open === 0 ? -1 : text.length - open;
}
