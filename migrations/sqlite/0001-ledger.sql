INSERT INTO migration (number, name) VALUES (1, 'ledger');

-- A list of more than two in IN (...) is built anew for each row that is written, which doubled the
-- cost of a payment; a chain of OR, the likeliest first, is not.

-- Money is 64-bit integer atoms. STRICT refuses the REAL that SQLite makes of an integer overflow.

-- One row per paid request, from claim to end.
CREATE TABLE payment (
  seq INTEGER PRIMARY KEY,
  id TEXT NOT NULL UNIQUE,
  state TEXT NOT NULL CHECK (
    state = 'running' OR state = 'settled' OR state = 'captured' OR state = 'claimed'
    OR state = 'held' OR state = 'released' OR state = 'rejected' OR state = 'expired'
    OR state = 'settlement_unknown' OR state = 'settlement_failed'
    OR state = 'refund_due' OR state = 'refunded'),
  rail TEXT NOT NULL CHECK (
    rail = 'prepaid' OR rail = 'x402' OR rail = 'free'
    OR rail = 'l402' OR rail = 'mpp' OR rail = 'transfer'),
  route TEXT NOT NULL,
  payer TEXT NOT NULL,
  network TEXT,
  asset TEXT NOT NULL,
  amount_max INTEGER NOT NULL CHECK (amount_max >= 0),
  amount INTEGER NOT NULL DEFAULT 0 CHECK (amount BETWEEN 0 AND amount_max),
  -- USD atoms.
  cost_max INTEGER NOT NULL CHECK (cost_max >= 0),
  cost INTEGER NOT NULL DEFAULT 0 CHECK (cost BETWEEN 0 AND cost_max),
  usage TEXT NOT NULL DEFAULT '[]',
  -- NULL where the request is a credential of its own, named by the payment's id.
  credential_key TEXT,
  credential_hash TEXT NOT NULL,
  digest TEXT NOT NULL,
  owner TEXT NOT NULL,
  replay TEXT NOT NULL CHECK (replay = 'always' OR replay = 'until-broadcast'),
  reason TEXT,
  -- UTC day whose quota or spending cap this payment counts on.
  day TEXT,
  quota_scope TEXT,
  -- What was seen on the outside.
  chain_transaction TEXT,
  settled_block INTEGER,
  settled_block_hash TEXT,
  settled_amount INTEGER CHECK (settled_amount >= 0),
  gas_nano INTEGER NOT NULL DEFAULT 0 CHECK (gas_nano >= 0),
  -- 1 once an answer went out while its money was not final.
  served INTEGER NOT NULL DEFAULT 0 CHECK (served = 0 OR served = 1),
  -- 1 from a capture whose answer is not kept until that answer was delivered.
  delivering INTEGER NOT NULL DEFAULT 0 CHECK (delivering = 0 OR delivering = 1),
  -- 1 while the payer is refused because this payment was served and never paid.
  barred INTEGER NOT NULL DEFAULT 0 CHECK (barred = 0 OR barred = 1),
  created_at_ms INTEGER NOT NULL,
  updated_at_ms INTEGER NOT NULL,
  expires_at_ms INTEGER NOT NULL
) STRICT;

-- Two requests with one credential never both run: this constraint is the claim.
CREATE UNIQUE INDEX payment_by_credential ON payment (credential_key)
  WHERE credential_key IS NOT NULL;
-- The newest of a payer last: rows are numbered in the order of time.
CREATE INDEX payment_by_payer ON payment (payer);
-- The conditions of the following indexes stand word for word in src/ledger/payment-row.ts.
CREATE INDEX payment_open ON payment (owner)
  WHERE state = 'running' OR state = 'captured' OR state = 'claimed' OR state = 'held'
    OR state = 'settlement_unknown';
CREATE INDEX payment_unsettled ON payment (payer, network, asset)
  WHERE network IS NOT NULL AND settled_block IS NULL
    AND (state = 'running' OR state = 'captured' OR state = 'held'
      OR state = 'settlement_unknown' OR state = 'refund_due');
CREATE INDEX payment_settled ON payment (payer, network, asset, settled_block)
  WHERE settled_block IS NOT NULL;
CREATE INDEX payment_settled_by_block ON payment (network, settled_block)
  WHERE settled_block_hash IS NOT NULL;
CREATE INDEX payment_served_by_payer ON payment (payer)
  WHERE served = 1 AND settled_block IS NULL
    AND (state = 'running' OR state = 'captured' OR state = 'held'
      OR state = 'settlement_unknown' OR state = 'refund_due');
CREATE INDEX payment_served_by_network ON payment (network)
  WHERE served = 1 AND settled_block IS NULL
    AND (state = 'running' OR state = 'captured' OR state = 'held'
      OR state = 'settlement_unknown' OR state = 'refund_due');
CREATE INDEX payment_delivering ON payment (owner) WHERE delivering = 1;
CREATE INDEX payment_barred ON payment (payer) WHERE barred = 1;

CREATE TRIGGER payment_delete BEFORE DELETE ON payment WHEN OLD.state <> 'claimed'
BEGIN SELECT RAISE(ABORT, 'only a claim that never ran may be deleted'); END;

-- Double entry: ledger transactions and their entries, written once.
CREATE TABLE ledger_transaction (
  seq INTEGER PRIMARY KEY,
  kind TEXT NOT NULL,
  payment_seq INTEGER REFERENCES payment (seq),
  created_at_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX ledger_transaction_by_payment ON ledger_transaction (payment_seq)
  WHERE payment_seq IS NOT NULL;

CREATE TABLE entry (
  -- The ledger transaction × 16 + the line, so that entries are only ever appended.
  seq INTEGER PRIMARY KEY,
  account TEXT NOT NULL,
  asset TEXT NOT NULL,
  amount INTEGER NOT NULL CHECK (amount <> 0),
  transaction_seq INTEGER GENERATED ALWAYS AS (seq >> 4) VIRTUAL,
  line INTEGER GENERATED ALWAYS AS (seq & 15) VIRTUAL
) STRICT;

CREATE TRIGGER ledger_transaction_update BEFORE UPDATE ON ledger_transaction
BEGIN SELECT RAISE(ABORT, 'ledger transactions are append-only'); END;
CREATE TRIGGER ledger_transaction_delete BEFORE DELETE ON ledger_transaction
BEGIN SELECT RAISE(ABORT, 'ledger transactions are append-only'); END;
CREATE TRIGGER entry_update BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;
CREATE TRIGGER entry_delete BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'entries are append-only'); END;

-- The sum of the entries of an account, kept up to date in the same transaction.
CREATE TABLE account (
  name TEXT NOT NULL,
  asset TEXT NOT NULL,
  balance INTEGER NOT NULL,
  PRIMARY KEY (name, asset),
  CHECK (balance >= 0 OR (substr(name, 1, 6) <> 'payer:' AND substr(name, 1, 5) <> 'held:'))
) STRICT, WITHOUT ROWID;

CREATE TABLE api_key (
  id TEXT PRIMARY KEY NOT NULL,
  prefix TEXT NOT NULL,
  secret_hash TEXT NOT NULL,
  mode TEXT NOT NULL CHECK (mode IN ('test', 'live')),
  per_day INTEGER CHECK (per_day >= 0),
  routes TEXT,
  name TEXT,
  created_at_ms INTEGER NOT NULL,
  revoked_at_ms INTEGER
) STRICT;

-- USD atoms that a key with a daily cap captured or holds on one UTC day.
CREATE TABLE key_day (
  key_id TEXT NOT NULL REFERENCES api_key (id),
  day TEXT NOT NULL,
  spent INTEGER NOT NULL CHECK (spent >= 0),
  PRIMARY KEY (key_id, day)
) STRICT, WITHOUT ROWID;

-- Free calls of one scope on one UTC day, and what they would have cost in USD atoms.
CREATE TABLE free_day (
  scope TEXT NOT NULL,
  day TEXT NOT NULL,
  calls INTEGER NOT NULL CHECK (calls >= 0),
  worth INTEGER NOT NULL CHECK (worth >= 0),
  PRIMARY KEY (scope, day)
) STRICT, WITHOUT ROWID;

-- Answers kept so that the same credential can fetch them again.
CREATE TABLE answer (
  payment_seq INTEGER PRIMARY KEY REFERENCES payment (seq),
  status INTEGER NOT NULL,
  headers TEXT NOT NULL,
  bytes INTEGER NOT NULL,
  created_at_ms INTEGER NOT NULL,
  body BLOB NOT NULL
) STRICT;

CREATE INDEX answer_by_age ON answer (created_at_ms, bytes);

-- How money that moves outside will move, or can: a nonce of a sender is used once.
CREATE TABLE job (
  payment_seq INTEGER PRIMARY KEY REFERENCES payment (seq),
  network TEXT NOT NULL,
  scheme TEXT NOT NULL,
  payload TEXT NOT NULL,
  via TEXT NOT NULL,
  valid_before_ms INTEGER NOT NULL,
  sender TEXT,
  nonce INTEGER,
  hash TEXT,
  raw TEXT,
  -- Of a claim that a remote facilitator was shown, until its capture: 1 while that facilitator verifies it,
  -- 2 while the claim waits to be shown again.
  shown INTEGER NOT NULL DEFAULT 0 CHECK (shown = 0 OR shown = 1 OR shown = 2),
  created_at_ms INTEGER NOT NULL,
  UNIQUE (network, sender, nonce)
) STRICT;

CREATE INDEX job_shown ON job (valid_before_ms) WHERE shown <> 0;

-- Which processes are alive.
CREATE TABLE lease (
  owner TEXT PRIMARY KEY NOT NULL,
  until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Values that all processes on this database share, made once.
CREATE TABLE shared_value (
  name TEXT PRIMARY KEY NOT NULL,
  value TEXT NOT NULL
) STRICT, WITHOUT ROWID;
