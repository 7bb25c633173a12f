//! A clinic's sheets, by the rows path.

use super::{Kit, Path, on};

pub const KIT: Kit = Kit {
    name: "clinic",
    main: "patients",
    tables: &[
        ("patients", include_str!("../../sql/kits/clinic/patients.sql")),
        ("doctors", include_str!("../../sql/kits/clinic/doctors.sql")),
        ("consultations", include_str!("../../sql/kits/clinic/consultations.sql")),
        ("procedure_prescriptions", include_str!("../../sql/kits/clinic/procedure_prescriptions.sql")),
        ("medicine_prescriptions", include_str!("../../sql/kits/clinic/medicine_prescriptions.sql")),
        ("invoices", include_str!("../../sql/kits/clinic/invoices.sql")),
        ("itemized_sales", include_str!("../../sql/kits/clinic/itemized_sales.sql")),
        ("daily_doctor_sales", include_str!("../../sql/kits/clinic/daily_doctor_sales.sql")),
    ],
    targets: &[
        on("patients", include_str!("../../sql/kits/clinic/targets/patients.json")),
        on("doctors", include_str!("../../sql/kits/clinic/targets/doctors.json")),
        on("consultations", include_str!("../../sql/kits/clinic/targets/consultations.json")),
        on("procedure_prescriptions", include_str!("../../sql/kits/clinic/targets/procedure_prescriptions.json")),
        on("medicine_prescriptions", include_str!("../../sql/kits/clinic/targets/medicine_prescriptions.json")),
        on("invoices", include_str!("../../sql/kits/clinic/targets/invoices.json")),
        on("itemized_sales", include_str!("../../sql/kits/clinic/targets/itemized_sales.json")),
        on("daily_doctor_sales", include_str!("../../sql/kits/clinic/targets/daily_doctor_sales.json")),
    ],
    views: &[],
    filled_later: &[],
    path: Path::Rows,
};
