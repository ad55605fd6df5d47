/** A device's numbers out of the one that `stat` gives: glibc's `major` and `minor`. */
export function deviceNumbers(device: number): { readonly major: number; readonly minor: number } {
  const whole = BigInt(device);
  return {
    major: Number((whole >> 8n) & 0xfffn) | Number((whole >> 32n) & 0xfffff000n),
    minor: Number(whole & 0xffn) | Number((whole >> 12n) & 0xffffff00n),
  };
}
