INSERT INTO migration (number, name) VALUES (2, 'shadow');

-- What calls of shadow routes would have come to; no money moved for them.
CREATE TABLE shadow_day (
  day TEXT NOT NULL,
  route TEXT NOT NULL,
  calls INTEGER NOT NULL CHECK (calls >= 0),
  unpriced INTEGER NOT NULL CHECK (unpriced >= 0),
  -- USD atoms.
  cost INTEGER NOT NULL CHECK (cost >= 0),
  -- Of the calls whose list price is known.
  listed_calls INTEGER NOT NULL CHECK (listed_calls >= 0),
  listed_earned INTEGER NOT NULL CHECK (listed_earned >= 0),
  listed_cost INTEGER NOT NULL CHECK (listed_cost >= 0),
  PRIMARY KEY (day, route)
) STRICT, WITHOUT ROWID;

CREATE TABLE shadow_unit (
  day TEXT NOT NULL,
  route TEXT NOT NULL,
  unit TEXT NOT NULL,
  count INTEGER NOT NULL CHECK (count >= 0),
  PRIMARY KEY (day, route, unit)
) STRICT, WITHOUT ROWID;
