"""Imports patients one by one: SELECT, then UPDATE or INSERT, all in one transaction."""

import json
import sys
from decimal import Decimal

import psycopg

FIND = "SELECT patient_id FROM row_by_row.patients WHERE phone_no = %(phone_no)s"
UPDATE = """
    UPDATE row_by_row.patients SET
      ic_no = COALESCE(%(ic_no)s, ic_no),
      patient_name = COALESCE(%(patient_name)s, patient_name),
      email = COALESCE(%(email)s, email),
      birth_date = COALESCE(%(birth_date)s, birth_date),
      gender = COALESCE(%(gender)s, gender),
      address = COALESCE(%(address)s, address),
      tags = COALESCE(%(tags)s, tags),
      balance = COALESCE(%(balance)s, balance)
    WHERE patient_id = %(patient_id)s
"""
INSERT = """
    INSERT INTO row_by_row.patients
      (phone_no, ic_no, patient_name, email, birth_date, gender, address, tags, balance)
    VALUES (%(phone_no)s, %(ic_no)s, %(patient_name)s, %(email)s, %(birth_date)s, %(gender)s, %(address)s, %(tags)s,
            %(balance)s)
"""

with open(sys.argv[1], encoding="utf-8") as file:
    patients = json.load(file, parse_float=Decimal)
with psycopg.connect() as connection, connection.cursor() as cursor:
    for patient in patients:
        found = cursor.execute(FIND, {"phone_no": patient["phone_no"]}).fetchone()
        if found:
            cursor.execute(UPDATE, {**patient, "patient_id": found[0]})
        else:
            cursor.execute(INSERT, patient)
