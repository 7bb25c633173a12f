SELECT once.insert_clean_codes_to_production('@merchant@');
