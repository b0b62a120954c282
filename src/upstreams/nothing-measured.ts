import type { Measured } from '../core/work.ts';

/** Of an answer whose usage was neither stated nor can be counted. */
export const NOTHING: Measured = { units: {}, by: 'none' };
