/** Paths of the keys that stand twice in one object of a text that is known to be JSON. */
export function duplicateKeys(text: string): readonly string[] {
  const found = new Set<string>();
  interface Frame {
    /** Keys seen, or `undefined` for a list. */
    readonly keys: Set<string> | undefined;
    step: string;
    index: number;
    wantsKey: boolean;
  }
  const stack: Frame[] = [];
  const path = (): string =>
    stack.reduce((text, f) => (f.keys ? (text === '' ? f.step : `${text}.${f.step}`) : `${text}[${f.index}]`), '');
  const token = /"[^"\\]*(?:\\[\s\S][^"\\]*)*"|[{}[\],:]/g;
  for (let m = token.exec(text); m; m = token.exec(text)) {
    const frame = stack.at(-1);
    switch (m[0]) {
      case '{':
        stack.push({ keys: new Set(), step: '', index: 0, wantsKey: true });
        break;
      case '[':
        stack.push({ keys: undefined, step: '', index: 0, wantsKey: false });
        break;
      case '}':
      case ']':
        stack.pop();
        break;
      case ',':
        if (frame?.keys) frame.wantsKey = true;
        else if (frame) frame.index++;
        break;
      case ':':
        break;
      default:
        if (frame?.keys && frame.wantsKey) {
          frame.wantsKey = false;
          frame.step = JSON.parse(m[0]) as string;
          if (frame.keys.has(frame.step)) found.add(path());
          frame.keys.add(frame.step);
        }
    }
  }
  return [...found];
}
