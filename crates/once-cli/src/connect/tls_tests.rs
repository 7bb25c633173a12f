//! Expected values from libpq's documentation, "SSL Support".

use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::connect::values::tests::around;

fn tls(dsn: &str, home: Option<&Path>) -> (Result<Tls>, Vec<String>) {
    let (around, mut warnings) = (around(&[], home), Vec::new());
    let values = Values::gather(Some(dsn), &around).unwrap();
    (Tls::new(&values, &around, true, &mut warnings), warnings)
}

fn error(dsn: &str) -> String {
    tls(dsn, None).0.err().unwrap().to_string()
}

#[test]
fn modes_are_libpqs() {
    for (dsn, mode) in [
        ("", Mode::Prefer),
        ("sslmode=disable", Mode::Disable),
        ("sslmode=allow", Mode::Prefer),
        ("sslmode=require", Mode::Require),
        ("sslrootcert=system", Mode::VerifyFull),
    ] {
        assert_eq!(tls(dsn, None).0.ok().unwrap().mode, mode, "{dsn}");
    }
    assert!(error("sslmode=full").contains("disable, allow, prefer, require, verify-ca, verify-full"));
    assert!(error("sslmode=require sslrootcert=system").contains("verify-full"));
    assert!(error("sslnegotiation=direct").contains("sslmode=require"));
    assert!(error("ssl_min_protocol_version=SSLv3").contains("TLSv1.2"));
}

#[test]
fn sockets_need_no_root_file() {
    let around = around(&[], None);
    let values = Values::gather(Some("sslmode=verify-full"), &around).unwrap();
    assert_eq!(Tls::new(&values, &around, false, &mut Vec::new()).ok().unwrap().mode, Mode::Disable);
}

#[test]
fn an_existing_root_file_is_checked_against() {
    let home = tempfile::tempdir().unwrap();
    let unchecked = |dsn| matches!(tls(dsn, Some(home.path())).0.ok().unwrap().roots, Roots::Unchecked);
    assert!(unchecked("") && unchecked("sslmode=require"));
    for mode in ["verify-ca", "verify-full"] {
        let told = tls(&format!("sslmode={mode}"), Some(home.path())).0.err().unwrap().to_string();
        assert!(told.contains(".postgresql/root.crt does not exist") && told.contains("PGSSLROOTCERT"), "{told}");
    }
    assert_eq!(tls("sslrootcert=/no/such", None).1.len(), 1);
    std::fs::create_dir(home.path().join(".postgresql")).unwrap();
    std::fs::write(home.path().join(".postgresql/root.crt"), "").unwrap();
    assert!(!unchecked("") && !unchecked("sslmode=require") && !unchecked("sslmode=verify-full"));
    let told = tls("sslmode=require", Some(home.path())).0.ok().unwrap().build().err().unwrap().to_string();
    assert!(told.contains("root certificates"), "{told}");
}

#[test]
fn a_key_must_be_private() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("key");
    assert!(key(&path, b"").unwrap_err().to_string().contains("not this key"));
    let pair = PKey::generate_ed25519().unwrap();
    std::fs::write(&path, pair.private_key_to_pem_pkcs8().unwrap()).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(key(&path, b"").unwrap_err().to_string().contains("chmod 600"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert!(key(&path, b"").is_ok());
    std::fs::write(&path, pair.private_key_to_der().unwrap()).unwrap();
    assert!(key(&path, b"").is_ok());
    let cipher = openssl::symm::Cipher::aes_128_cbc();
    std::fs::write(&path, pair.private_key_to_pem_pkcs8_passphrase(cipher, b"hunter2").unwrap()).unwrap();
    assert!(key(&path, b"hunter2").is_ok());
    let told = key(&path, b"").unwrap_err().to_string();
    assert!(told.contains("sslpassword"), "{told}");
}
