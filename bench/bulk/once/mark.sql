SELECT once.mark_duplicates_in_temp('@merchant@');
