INSERT INTO @table@ AS known
  (phone_no, ic_no, patient_name, email, birth_date, gender, address, tags, balance)
SELECT phone_no, ic_no, patient_name, email, birth_date, gender, address, tags, balance
FROM jsonb_to_recordset($1) AS given
  (phone_no text, ic_no text, patient_name text, email text, birth_date date, gender text, address text, tags text[],
   balance numeric)
ON CONFLICT (phone_no) DO UPDATE SET
  ic_no = COALESCE(EXCLUDED.ic_no, known.ic_no),
  patient_name = COALESCE(EXCLUDED.patient_name, known.patient_name),
  email = COALESCE(EXCLUDED.email, known.email),
  birth_date = COALESCE(EXCLUDED.birth_date, known.birth_date),
  gender = COALESCE(EXCLUDED.gender, known.gender),
  address = COALESCE(EXCLUDED.address, known.address),
  tags = COALESCE(EXCLUDED.tags, known.tags),
  balance = COALESCE(EXCLUDED.balance, known.balance)
