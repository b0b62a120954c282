/** How long an audio file can be, told from its bytes. */

/** MPEG audio has no lower rate: 8 kbit/s. */
const MP3_BYTES_PER_SECOND_MIN = 1_000;
/** PCM, float, A-law, µ-law and the extensible form of them: as many bytes for each sample as the header says. */
const WAV_FORMATS: readonly number[] = [1, 3, 6, 7, 0xfffe];
/** Nobody records speech slower; below it, a header could make hours of a few bytes. */
const SAMPLE_RATE_MIN = 4_000;

/** Seconds of a WAV file, rounded up; null for what is no plain one, since then its header proves nothing. */
export function wavSeconds(bytes: Buffer): number | null {
  if (bytes.length < 12) return null;
  if (bytes.toString('latin1', 0, 4) !== 'RIFF' || bytes.toString('latin1', 8, 12) !== 'WAVE')
    return null;
  let bytesPerSecond: number | null = null;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const id = bytes.toString('latin1', at, at + 4);
    const length = bytes.readUInt32LE(at + 4);
    at += 8;
    if (id === 'fmt ') {
      if (bytesPerSecond !== null || length < 16 || at + 16 > bytes.length) return null;
      bytesPerSecond = rateOf(bytes, at);
      if (bytesPerSecond === null) return null;
    }
    // The length of the data may be a lie, or unknown yet: what is there counts.
    if (id === 'data')
      return bytesPerSecond === null ? null : Math.ceil((bytes.length - at) / bytesPerSecond);
    at += length + (length % 2);
  }
  return null;
}

function rateOf(bytes: Buffer, at: number): number | null {
  const [format, channels] = [bytes.readUInt16LE(at), bytes.readUInt16LE(at + 2)];
  const sampleRate = bytes.readUInt32LE(at + 4);
  const [blockAlign, bits] = [bytes.readUInt16LE(at + 12), bytes.readUInt16LE(at + 14)];
  const isPlain = WAV_FORMATS.includes(format) && channels > 0 && bits >= 8 && bits % 8 === 0;
  if (!isPlain || blockAlign !== (channels * bits) / 8 || sampleRate < SAMPLE_RATE_MIN) return null;
  return sampleRate * blockAlign;
}

/** At most so many seconds of MP3, rounded up; null for bytes that do not begin like it. */
export function mp3SecondsMax(bytes: Buffer): number | null {
  const isMp3 =
    bytes.toString('latin1', 0, 3) === 'ID3' ||
    (bytes[0] === 0xff && ((bytes[1] ?? 0) & 0xe6) === 0xe2 && bytes.length > 2);
  return isMp3 ? Math.ceil(bytes.length / MP3_BYTES_PER_SECOND_MIN) : null;
}
