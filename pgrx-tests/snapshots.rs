//! `read` stays on the caller's snapshot and needs no transaction id; `fresh` sees what was written since.

#[pgrx::pg_schema]
mod tests {
    use crate::spi;
    use pgrx::prelude::*;

    fn has_xid() -> bool {
        spi::read_one("SELECT pg_current_xact_id_if_assigned() IS NOT NULL", &[], |row| row.need(1)).unwrap()
    }

    #[pg_test]
    fn reading_assigns_no_transaction_id() {
        assert!(!has_xid());
        let one: i64 = spi::read_one("SELECT 1::bigint", &[], |row| row.need(1)).unwrap();
        assert_eq!(one, 1);
        assert!(!has_xid());
        spi::fresh("SELECT 1", &[], |_| Ok(())).unwrap();
        assert!(has_xid());
    }

    #[pg_test]
    fn one_row_means_one_row() {
        let two = spi::read_one("SELECT generate_series(1::bigint, 2)", &[], |row| row.need::<i64>(1));
        let none = spi::read_one("SELECT 1::bigint WHERE false", &[], |row| row.need::<i64>(1));
        assert!(two.is_err());
        assert!(none.is_err());
        let null = spi::read_one("SELECT NULL::bigint", &[], |row| row.need::<i64>(1));
        assert!(null.is_err());
    }
}
