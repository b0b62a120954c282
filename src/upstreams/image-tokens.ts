/** The most input tokens that one image can be, by OpenAI's published rules for images and vision. */

interface ImageRule {
  readonly model: RegExp;
  readonly low: number;
  readonly high: number;
}

/** 1,536 patches of 32 × 32 pixels. */
const PATCHES_MAX = 1_536;
/** An image is fitted into 2,048 × 768 pixels: eight tiles of 512 × 512. */
const TILES_MAX = 8;

/** A base and so much for each tile, or patches times a factor; the first that matches counts. */
const RULES: readonly ImageRule[] = [
  { model: /gpt-4o-mini/, low: 2_833, high: 2_833 + 5_667 * TILES_MAX },
  // `original` detail takes ten thousand patches, whatever the factor.
  { model: /gpt-5\.[2-9]|gpt-[6-9]/, low: 25_000, high: 25_000 },
  {
    model: /gpt-4\.1-(?:mini|nano)|gpt-5(?:\.\d)?-(?:mini|nano|codex-mini)|o4-mini/,
    low: Math.ceil(256 * 2.46),
    high: Math.ceil(PATCHES_MAX * 2.46),
  },
  {
    model: /gpt-4o|gpt-4\.1|gpt-4\.5|gpt-4-|gpt-5|chatgpt-4o|(?:^|\/)o[134]/,
    low: 140,
    high: 85 + 170 * TILES_MAX,
  },
  // 1,568 pixels at the longer side and 1.15 megapixels; newer ones 2,576 pixels: 4,784 tokens.
  { model: /claude/, low: 4_784, high: 4_784 },
];

/** The dearest rule there is. */
const UNKNOWN_MAX = 2_833 + 5_667 * TILES_MAX;

/** `detail` is `low`, `high`, `auto`, `original` or absent; `configuredMax` comes before all rules. */
export function imageTokensMax(
  model: string,
  detail: unknown,
  configuredMax: number | null,
): number {
  if (configuredMax !== null) return configuredMax;
  const rule = RULES.find((one) => one.model.test(model));
  if (rule === undefined) return UNKNOWN_MAX;
  return detail === 'low' ? rule.low : rule.high;
}
