import { WherryError } from '@wherry/base';

/** Gives a file's new permission bits. */
export type ChangeMode = (mode: number, isFolder: boolean) => number;

/** `--chmod`: octal digits, or chmod(1)'s symbols (`u=rwX,go=rX`). Throws `invalid`. */
export function parseMode(text: string): ChangeMode {
  if (/^[0-7]{1,5}$/.test(text) && Number.parseInt(text, 8) <= 0o7777) {
    const mode = Number.parseInt(text, 8);
    return () => mode;
  }
  const clauses = text.split(',').map((clause) => /^([ugoa]*)([+\-=])([rwxXst]*)$/.exec(clause));
  if (text === '' || clauses.includes(null)) {
    throw new WherryError(
      'invalid',
      `invalid chmod parameter: '${text}'. it should be octal string and between 0 and 07777`,
    );
  }
  return (mode, isFolder) =>
    clauses.reduce((before, clause) => applyClause(before, clause as RegExpExecArray, isFolder), mode);
}

const shifts: Readonly<Record<string, number>> = { u: 6, g: 3, o: 0 };

function applyClause(mode: number, [, who = '', operator, what = '']: RegExpExecArray, isFolder: boolean): number {
  const classes = who === '' || who.includes('a') ? ['u', 'g', 'o'] : [...who];
  const executes = what.includes('x') || (what.includes('X') && (isFolder || (mode & 0o111) !== 0));
  const bits = (what.includes('r') ? 4 : 0) | (what.includes('w') ? 2 : 0) | (executes ? 1 : 0);
  let set = 0;
  let cleared = 0;
  for (const one of classes) {
    set |= bits << shifts[one]!;
    cleared |= 7 << shifts[one]!;
  }
  if (what.includes('s')) set |= (classes.includes('u') ? 0o4000 : 0) | (classes.includes('g') ? 0o2000 : 0);
  if (what.includes('t')) set |= 0o1000;
  if (operator === '+') return mode | set;
  return operator === '-' ? mode & ~set : (mode & ~cleared) | set;
}
