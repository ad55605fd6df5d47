import type { WriteStream } from 'node:tty';

/** Steps of long work: on a terminal a line that is rewritten while a step runs, elsewhere a line a step. */
export interface Progress {
  start(step: string): void;
  /** Ends the current step. */
  done(detail?: string): void;
  fail(): void;
}

const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

export function createProgress(out: WriteStream, now: () => number = () => performance.now()): Progress {
  let step: string | undefined;
  let began = 0;
  let frame = 0;
  let timer: NodeJS.Timeout | undefined;
  const tty = out.isTTY === true;
  const colour = tty && process.env.NO_COLOR === undefined;
  const paint = (code: string, text: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const draw = (): void => {
    out.write(`\r\u001b[K${paint('36', frames[frame++ % frames.length]!)} ${step}`);
  };
  const end = (mark: string, detail = ''): void => {
    if (step === undefined) return;
    clearInterval(timer);
    const took = `${((now() - began) / 1000).toFixed(2)} s`;
    out.write(`${tty ? '\r\u001b[K' : ''}${mark} ${step}${detail && `: ${detail}`} ${paint('2', `(${took})`)}\n`);
    step = undefined;
  };
  return {
    start(next) {
      end(paint('32', '✓'));
      step = next;
      began = now();
      if (!tty) return;
      draw();
      timer = setInterval(draw, 80);
      timer.unref();
    },
    done: (detail) => end(paint('32', '✓'), detail),
    fail: () => end(paint('31', '✗')),
  };
}
