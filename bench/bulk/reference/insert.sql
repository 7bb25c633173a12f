SELECT insert_clean_codes_to_production('@merchant@', '@job@');
