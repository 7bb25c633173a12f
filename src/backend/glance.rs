//! What calls must know at once, from Postgres's caches and indexes rather than by a statement.

use once_core::ident::Relation;
use pgrx::datum::IntoDatum;
use pgrx::heap_tuple::PgHeapTuple;
use pgrx::{PgRelation, pg_sys};
use std::ffi::CString;
use std::hash::{DefaultHasher, Hash, Hasher};

/// What a call must know of a table at once, from Postgres's caches rather than by a query.
pub struct Glance {
    pub oid: pg_sys::Oid,
    pub blocks: u32,
    /// Another one whenever a column or an index is.
    pub shape: u64,
    owner: pg_sys::Oid,
    schema: pg_sys::Oid,
}

impl Glance {
    /// The relation of this name as it is now, `None` where there is none. Locks it until the transaction ends, as a
    /// statement that reads it or (`to_insert`) inserts into it would: no other can take its place then.
    pub fn at(relation: &Relation, to_insert: bool) -> Option<Self> {
        let lock = if to_insert { pg_sys::RowExclusiveLock } else { pg_sys::AccessShareLock } as pg_sys::LOCKMODE;
        let mut oid = relation_oid(relation)?;
        loop {
            // SAFETY: the relation stays open, and so its cache entry valid, until it is closed here; the lock remains.
            let glance = unsafe {
                let open = pg_sys::try_relation_open(oid, lock);
                let glance = (!open.is_null()).then(|| Self::of(open));
                if !open.is_null() {
                    pg_sys::relation_close(open, pg_sys::NoLock as pg_sys::LOCKMODE);
                }
                glance
            };
            // Another may have got the name while we waited for the lock.
            match relation_oid(relation)? {
                same if same == oid => return glance,
                other => oid = other,
            }
        }
    }

    /// # Safety
    /// The relation is open.
    unsafe fn of(open: pg_sys::Relation) -> Self {
        let mut shape = DefaultHasher::new();
        // SAFETY: an open relation has its class, its columns and its list of indexes, which is freed here.
        unsafe {
            let class = (*open).rd_rel;
            for column in PgRelation::from_pg(open).tuple_desc().iter() {
                column.name().hash(&mut shape);
                (column.atttypid, column.atttypmod, column.attnotnull, column.attisdropped).hash(&mut shape);
            }
            let indexes = pg_sys::RelationGetIndexList(open);
            if !indexes.is_null() {
                for at in 0..(*indexes).length as usize {
                    (*(*indexes).elements.add(at)).oid_value.hash(&mut shape);
                }
                pg_sys::list_free(indexes);
            }
            let stored = [pg_sys::RELKIND_RELATION, pg_sys::RELKIND_MATVIEW].contains(&((*class).relkind as u8));
            let blocks = if stored {
                pg_sys::RelationGetNumberOfBlocksInFork(open, pg_sys::ForkNumber::MAIN_FORKNUM)
            } else {
                0
            };
            Self {
                oid: (*open).rd_id,
                blocks,
                shape: shape.finish(),
                owner: (*class).relowner,
                schema: (*class).relnamespace,
            }
        }
    }

    /// Whether the role of this name has the rights of the relation's owner; not where there is no such role.
    pub fn is_owned_by(&self, role: &str) -> bool {
        let Ok(role) = CString::new(role) else { return false };
        // SAFETY: the name outlives the call, and a role that is not there is no error.
        unsafe {
            let role = pg_sys::get_role_oid(role.as_ptr(), true);
            role != pg_sys::InvalidOid && pg_sys::has_privs_of_role(role, self.owner)
        }
    }

    /// Whether the current role may use the relation's schema, read it, and insert into it where that is asked.
    pub fn is_open(&self, to_insert: bool) -> bool {
        let may = |mode: pg_sys::AclMode| {
            // SAFETY: looks at Postgres's caches.
            unsafe {
                let answer = pg_sys::pg_class_aclcheck(self.oid, pg_sys::GetUserId(), mode);
                answer == pg_sys::AclResult::ACLCHECK_OK
            }
        };
        // SAFETY: as above.
        let reached = unsafe {
            let (user, usage) = (pg_sys::GetUserId(), pg_sys::ACL_USAGE as pg_sys::AclMode);
            #[cfg(feature = "pg15")]
            let answer = pg_sys::pg_namespace_aclcheck(self.schema, user, usage);
            #[cfg(not(feature = "pg15"))]
            let answer = pg_sys::object_aclcheck(pg_sys::NamespaceRelationId, self.schema, user, usage);
            answer == pg_sys::AclResult::ACLCHECK_OK
        };
        reached
            && may(pg_sys::ACL_SELECT as pg_sys::AclMode)
            && (!to_insert || may(pg_sys::ACL_INSERT as pg_sys::AclMode))
    }
}

/// The OID of the relation of this name, from Postgres's caches.
pub fn relation_oid(relation: &Relation) -> Option<pg_sys::Oid> {
    let (schema, name) = (CString::new(relation.schema.as_str()).ok()?, CString::new(relation.name.as_str()).ok()?);
    // SAFETY: the names outlive the calls, and what is not there is no error.
    unsafe {
        let schema = pg_sys::get_namespace_oid(schema.as_ptr(), true);
        let found = pg_sys::get_relname_relid(name.as_ptr(), schema);
        (schema != pg_sys::InvalidOid && found != pg_sys::InvalidOid).then_some(found)
    }
}

/// What the registry says of a target, without the cost of a statement.
pub struct Registration {
    /// Which row of which table it is: another one with every registration.
    pub version: (pg_sys::Oid, u32, u64),
    pub registered_by: String,
}

impl Registration {
    /// The row of `targets`, whose key is its first column, under `name`, as a new statement would see it.
    pub fn of(targets: &Relation, name: &str) -> Option<Self> {
        let oid = relation_oid(targets)?;
        // SAFETY: table and scan are open and the snapshot is registered while the tuple is looked at, the key's text
        // outlives the scan, and all are closed on the way out; an error closes them by its abort.
        unsafe {
            let table = pg_sys::table_open(oid, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            pg_sys::list_free(pg_sys::RelationGetIndexList(table)); // fills in which index is the primary key's
            let index = (*table).rd_pkindex;
            let mut key = pg_sys::ScanKeyData::default();
            let (equal, text_eq) = (pg_sys::BTEqualStrategyNumber as u16, pg_sys::Oid::from(pg_sys::F_TEXTEQ));
            let text = name.into_datum().unwrap_or(pg_sys::Datum::from(0));
            let any = pg_sys::InvalidOid;
            pg_sys::ScanKeyEntryInitialize(&mut key, 0, 1, equal, any, pg_sys::DEFAULT_COLLATION_OID, text_eq, text);
            let snapshot = pg_sys::RegisterSnapshot(pg_sys::GetTransactionSnapshot());
            let scan = pg_sys::systable_beginscan(table, index, index != pg_sys::InvalidOid, snapshot, 1, &mut key);
            let tuple = pg_sys::systable_getnext(scan);
            let found = (!tuple.is_null()).then(|| {
                let place = (*tuple).t_self;
                let block = u64::from(place.ip_blkid.bi_hi) << 16 | u64::from(place.ip_blkid.bi_lo);
                let xmin = (*(*tuple).t_data).t_choice.t_heap.t_xmin;
                let relation = PgRelation::from_pg(table);
                let row = PgHeapTuple::from_heap_tuple(relation.tuple_desc(), tuple);
                let registered_by = row.get_by_name::<String>("registered_by");
                Self {
                    version: (oid, u32::from(xmin), block << 16 | u64::from(place.ip_posid)),
                    registered_by: registered_by.ok().flatten().unwrap_or_default(),
                }
            });
            pg_sys::systable_endscan(scan);
            pg_sys::UnregisterSnapshot(snapshot);
            pg_sys::table_close(table, pg_sys::AccessShareLock as pg_sys::LOCKMODE);
            found
        }
    }
}
