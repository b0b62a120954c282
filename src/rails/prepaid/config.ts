import { z } from 'zod';

/** `payments.prepaid`: API keys with a balance. It has no options yet; `{}` turns it on. */
export const prepaidSchema = z.strictObject({}).describe('Prepaid API keys; {} turns them on.');

export type PrepaidConfig = z.output<typeof prepaidSchema>;
