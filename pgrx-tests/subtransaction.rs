//! A subtransaction keeps what succeeded, takes back what failed, and knows the true SQLSTATE.

#[pgrx::pg_schema]
mod tests {
    use crate::backend::subtransaction;
    use crate::spi;
    use pgrx::prelude::*;

    fn rows() -> i64 {
        spi::fresh_one("SELECT count(*) FROM kept", &[], |row| row.need(1)).unwrap()
    }

    fn insert() {
        spi::write("INSERT INTO kept VALUES (1)", &[]).unwrap();
    }

    #[pg_test]
    fn ok_is_kept_and_err_is_taken_back() {
        spi::script("CREATE TEMP TABLE kept (a int)").unwrap();
        let ok = subtransaction(|| -> Result<i32, ()> {
            insert();
            Ok(7)
        });
        assert_eq!(ok.ok(), Some(Ok(7)));
        assert_eq!(rows(), 1);
        let err = subtransaction(|| -> Result<(), &str> {
            insert();
            Err("no")
        });
        assert_eq!(err.ok(), Some(Err("no")));
        assert_eq!(rows(), 1);
    }

    #[pg_test]
    fn an_error_is_caught_and_the_transaction_goes_on() {
        spi::script("CREATE TEMP TABLE kept (a int)").unwrap();
        for _ in 0..100 {
            let error = subtransaction(|| -> Result<(), ()> {
                insert();
                spi::script("SELECT 1 / 0").unwrap();
                Ok(())
            });
            assert_eq!(error.err().map(|e| e.sqlstate), Some("22012".into()));
        }
        insert();
        assert_eq!(rows(), 1);
    }

    #[pg_test]
    fn a_sqlstate_of_the_users_own_is_known() {
        for state in ["UE001", "P0001", "23514", "XX000"] {
            let raise = format!("DO $$ BEGIN RAISE NOTICE 'x'; RAISE EXCEPTION 'y' USING ERRCODE = '{state}'; END $$");
            let error = subtransaction(|| -> Result<(), ()> {
                spi::script(&raise).unwrap();
                Ok(())
            });
            let error = error.err().unwrap();
            assert_eq!((error.sqlstate.as_str(), error.message.as_str()), (state, "y"));
        }
    }

    #[pg_test]
    fn subtransactions_nest() {
        spi::script("CREATE TEMP TABLE kept (a int)").unwrap();
        let outer = subtransaction(|| -> Result<(), ()> {
            insert();
            let inner = subtransaction(|| -> Result<(), ()> {
                insert();
                spi::script("SELECT no_such_column").unwrap();
                Ok(())
            });
            assert_eq!(inner.err().map(|e| e.sqlstate), Some("42703".into()));
            insert();
            Ok(())
        });
        assert!(outer.is_ok());
        assert_eq!(rows(), 2);
    }

    #[pg_test(error = "division by zero")]
    fn what_is_not_wanted_is_raised_again() {
        let error = subtransaction(|| -> Result<(), ()> {
            spi::script("SELECT 1 / 0").unwrap();
            Ok(())
        });
        error.err().unwrap().rethrow();
    }
}
