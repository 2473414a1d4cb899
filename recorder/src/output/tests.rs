use super::*;

#[test]
fn the_name_appears_only_at_the_end() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("out.bin");
    let partial = folder.path().join("out.bin.partial");
    fs::write(&partial, "").expect("old file");
    let mut file = PartialFile::create(&path).expect("created");
    let mut reserve = file.reserve(1).expect("some room");
    assert_eq!(reserve.up_to(5_000_000).expect("reserved"), Room::Enough);
    file.write_all(b"abc").expect("written");
    assert!(!path.exists() && partial.exists());
    assert_eq!(file.finish().expect("finished"), 3);
    assert!(!partial.exists());
    assert_eq!(fs::read(&path).expect("output"), b"abc");
    let mode = fs::metadata(&path).expect("metadata").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_recording_that_never_began_leaves_nothing() {
    let folder = tempfile::tempdir().expect("temporary folder");
    drop(PartialFile::create(&folder.path().join("out.bin")).expect("created"));
    assert_eq!(fs::read_dir(folder.path()).expect("folder").count(), 0);
}

#[test]
fn what_a_recording_left_is_not_touched() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("out.bin");
    let partial = beside(&path, PARTIAL);
    fs::write(&partial, "all that is left").expect("old file");
    let shown = path.display();
    assert_eq!(
        PartialFile::create(&path).expect_err("left").to_string(),
        format!(
            "cannot write {shown}: a recording to it was cut off; get what it left with \
             `ebpfrec recover {shown}`, or give another name"
        )
    );
    let mut left = PartialFile::left(&path).expect("opened").expect("there");
    left.cut(3).expect("cut");
    left.write_all(b"ow").expect("written");
    fs::write(&path, "older").expect("finished file");
    assert!(matches!(left.finish_new(), Err(OutputError::Exists { .. })));
    assert_eq!(fs::read(&path).expect("output"), b"older");
    fs::remove_file(&path).expect("removed");
    let left = PartialFile::left(&path).expect("opened").expect("still there");
    assert_eq!(left.finish_new().expect("finished"), 5);
    assert_eq!(fs::read(&path).expect("output"), b"allow");
    assert!(PartialFile::left(&path).expect("looked").is_none());
}

#[test]
fn a_partial_file_in_use_is_left_alone() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("out.bin");
    let mut first = PartialFile::create(&path).expect("created");
    first.write_all(b"first").expect("written");
    assert!(matches!(PartialFile::left(&path), Err(OutputError::Busy { .. })));
    let error = PartialFile::create(&path).expect_err("in use").to_string();
    assert_eq!(
        error,
        format!(
            "cannot write {}: another recording is writing it; give another name",
            path.display()
        )
    );
    first.finish().expect("finished");
    assert_eq!(fs::read(&path).expect("output"), b"first");
}

#[test]
fn what_cannot_be_a_file_is_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let shown = folder.path().display();
    let error = |path: &Path| PartialFile::create(path).expect_err("refused").to_string();
    assert_eq!(
        error(folder.path()),
        format!("cannot write {shown}: it is a folder; give the name of a file in it")
    );
    assert_eq!(
        error(&folder.path().join("no/x.parquet")),
        format!(
            "cannot write {shown}/no/x.parquet: there is no folder {shown}/no; create it first"
        )
    );
    assert_eq!(
        error(Path::new("/dev/null")),
        "cannot write /dev/null: it is not an ordinary file; give another name"
    );
    let link = folder.path().join("l.partial");
    std::os::unix::fs::symlink("/etc/hostname", &link).expect("link");
    assert!(error(&folder.path().join("l")).contains("Too many levels of symbolic links"));
}
