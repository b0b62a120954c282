/**
 * Whether a whole text matches a pattern in which `*` stands for any characters. Takes time proportional to
 * the product of both lengths at worst: the text comes from the payer.
 */
export function matchGlob(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  let star = -1;
  let starText = 0;
  while (t < text.length) {
    if (pattern[p] === '*') {
      star = p;
      starText = t;
      p += 1;
    } else if (p < pattern.length && pattern[p] === text[t]) {
      p += 1;
      t += 1;
    } else if (star >= 0) {
      // The last star takes one character more.
      p = star + 1;
      starText += 1;
      t = starText;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}
