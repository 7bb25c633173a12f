"""Takes leads in one by one: SELECT by id, address and phone, and INSERT where there is none; all in one transaction."""

import json
import sys

import psycopg

FIND = """
    SELECT FROM one_by_one.leads WHERE org_id = %(org_id)s AND source = 'sheet' AND external_lead_id = %(id)s
    UNION ALL SELECT FROM one_by_one.leads WHERE org_id = %(org_id)s AND email = %(email)s
    UNION ALL SELECT FROM one_by_one.leads WHERE org_id = %(org_id)s AND phone_number = %(phone)s
    LIMIT 1
"""
INSERT = """
    INSERT INTO one_by_one.leads (org_id, source, external_lead_id, client_name, phone_number, email, platform, lead_created_time)
    VALUES (%(org_id)s, 'sheet', %(id)s, %(full_name)s, %(phone)s, %(email)s, %(platform)s, %(created_time)s)
"""

with open(sys.argv[1], encoding="utf-8") as file:
    leads = json.load(file)
# A plan that the session kept from when the table was empty would read all of it for each lead.
with psycopg.connect(prepare_threshold=None) as connection, connection.cursor() as cursor:
    for lead in leads:
        lead["org_id"] = "00000000-0000-0000-0000-000000000000"
        lead["id"] = lead["id"].removeprefix("l:")
        lead["phone"] = lead["phone_number"].removeprefix("p:")
        if not cursor.execute(FIND, lead).rowcount:
            cursor.execute(INSERT, lead)
