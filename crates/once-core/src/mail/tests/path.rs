use super::*;

#[test]
fn file_names() {
    for (name, safe) in [
        ("report.pdf", "report.pdf"),
        ("", "attachment"),
        (".", "attachment"),
        ("..", "attachment"),
        (" . . ", "attachment"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("/etc/passwd", "_etc_passwd"),
        ("C:\\Windows\\system.ini", "C__Windows_system.ini"),
        ("a/../b", "a_.._b"),
        ("tab\tnew\nline\0nul\u{7f}\u{85}", "tab_new_line_nul__"),
        ("what?*.txt", "what__.txt"),
        (".bashrc", "bashrc"),
        ("trailing. . ", "trailing"),
        ("\u{a0}\u{3000}x\u{2003}", "x"),
        ("CON", "_CON"),
        ("nul.txt", "_nul.txt"),
        ("Com1.tar.gz", "_Com1.tar.gz"),
        ("LPT³", "_LPT³"),
        ("aux .c", "_aux .c"),
        ("CONIN$", "_CONIN$"),
        ("COM10", "COM10"),
        ("CONSOLE.txt", "CONSOLE.txt"),
        ("e\u{301}te\u{301}.txt", "été.txt"),
        ("日本語 📎.png", "日本語 📎.png"),
        ("👩‍💻.txt", "👩‍💻.txt"),
        ("photo\u{202e}gpj.exe", "photo_gpj.exe"),
        ("two\u{2028}lines\u{2029}.txt", "two_lines_.txt"),
    ] {
        assert_eq!(file_name(name), safe, "{name:?}");
    }
}

#[test]
fn long_file_names_keep_their_extension() {
    assert_eq!(file_name(&("a".repeat(300) + ".pdf")), "a".repeat(251) + ".pdf");
    assert_eq!(file_name(&"a".repeat(255)), "a".repeat(255));
    assert_eq!(file_name(&"a".repeat(256)), "a".repeat(255));
    // 3 bytes a letter: 83 are 249, and an 84th would be 252.
    assert_eq!(file_name(&("日".repeat(100) + ".pdf")), "日".repeat(83) + ".pdf");
    assert_eq!(file_name(&format!("a.{}", "b".repeat(300))), format!("a.{}", "b".repeat(253)));
    assert_eq!(file_name(&format!("{}. .{}.txt", "a".repeat(249), "b".repeat(9))), "a".repeat(249) + ".txt");
    assert_eq!(file_name(&("CON.".to_owned() + &"a".repeat(300))).len(), 255);
}

#[test]
fn storage_paths() {
    assert_eq!(storage_path("org", "box", "abc", "../x.pdf"), "org/box/abc/_x.pdf");
    assert_eq!(storage_path("org", "box", "abc", ".."), "org/box/abc/attachment");
}
