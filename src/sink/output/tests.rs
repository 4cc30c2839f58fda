//! Every kind of descriptor, and what becomes of it meanwhile.

use super::*;
use std::fs::OpenOptions;
use std::io::Read;
use std::time::Duration;

fn read(path: &std::path::Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_torn_last_line_is_ended_once_even_where_the_file_can_only_be_appended_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    for (before, healed, after) in [
        ("", Healed::NotNeeded, "{}\n{}\n"),
        ("{}\n", Healed::NotNeeded, "{}\n{}\n{}\n"),
        ("{\"a", Healed::TornLine, "{\"a\n{}\n{}\n"),
    ] {
        std::fs::write(&path, before).unwrap();
        let append_only = OpenOptions::new().append(true).open(&path).unwrap();
        let mut output = Output::new(append_only, "test").unwrap();
        assert_eq!(output.heal().unwrap(), healed);
        output.deliver(b"{}\n").unwrap();
        let mark = output.deliver(b"{}\n").unwrap().unwrap();
        assert_eq!(read(&path), after);
        assert_eq!(mark.length, after.len() as u64);
    }
}

/// Half a line lay in a FIFO when its writer was killed, and the first record of the next process was written behind it.
#[test]
fn a_pipe_or_socket_that_has_outlived_its_writer_gets_a_new_line_before_the_next_batch() {
    let (pipe, socket) = (|| std::io::pipe().unwrap(), || std::os::unix::net::UnixStream::pair().unwrap());
    let ends = || {
        let ((of_pipe, to_pipe), (of_socket, to_socket)) = (pipe(), socket());
        [(OwnedFd::from(of_pipe), OwnedFd::from(to_pipe)), (of_socket.into(), to_socket.into())]
    };
    let cases = [(true, "{\"to\n{}\n{}\n"), (false, "{\"to{}\n{}\n")];
    for ((reader, writer), (interrupted, after)) in cases.iter().flat_map(|case| ends().map(|ends| (ends, *case))) {
        let (mut reader, mut writer) = (File::from(reader), File::from(writer));
        let mut output = Output::new(writer.try_clone().unwrap(), "test").unwrap();
        writer.write_all(b"{\"to").unwrap();
        assert_eq!(output.heal().unwrap(), Healed::NotNeeded);
        if interrupted {
            output.after_interruption();
        }
        for lines in ["", "{}\n", "{}\n"] {
            output.deliver(lines.as_bytes()).unwrap();
        }
        drop((output, writer));
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, after);
    }
}

#[test]
fn a_file_is_healed_by_what_is_in_it_whatever_came_before() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    std::fs::write(&path, "{}\n").unwrap();
    let mut output = Output::new(OpenOptions::new().append(true).open(&path).unwrap(), "test").unwrap();
    output.after_interruption();
    output.deliver(b"{}\n").unwrap();
    assert_eq!(read(&path), "{}\n{}\n");
}

#[test]
fn nothing_is_written_for_no_lines() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    std::fs::write(&path, "{\"torn").unwrap();
    let mut output = Output::new(OpenOptions::new().append(true).open(&path).unwrap(), "test").unwrap();
    assert_eq!(output.deliver(b"").unwrap().unwrap().length, 6);
    assert_eq!(read(&path), "{\"torn");
}

#[test]
fn a_file_that_is_not_appended_to_is_marked_by_its_own_position() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    let mut output = Output::new(File::create(&path).unwrap(), "test").unwrap();
    assert_eq!(output.mark().unwrap().length, 0);
    assert_eq!(output.deliver(b"one\n").unwrap().unwrap().length, 4);
    assert_eq!(output.deliver(b"two\n").unwrap().unwrap().length, 8);
    assert_eq!(read(&path), "one\ntwo\n");
}

/// logrotate gzips what it has renamed and deletes it. A process that went on writing there delivered to nobody.
#[test]
fn a_file_that_was_deleted_is_no_output_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    for options in [OpenOptions::new().append(true), OpenOptions::new().write(true)] {
        let file = options.create(true).open(&path).unwrap();
        let mut output = Output::new(file, "test").unwrap();
        let deliver = |output: &mut Output, lines| Lines::deliver(output, lines);
        deliver(&mut output, b"one\n").unwrap();
        std::fs::rename(&path, dir.path().join("renamed")).unwrap();
        deliver(&mut output, b"two\n").unwrap();
        std::fs::remove_file(dir.path().join("renamed")).unwrap();
        assert!(deliver(&mut output, b"").is_ok(), "nothing is written");
        let error = deliver(&mut output, b"three\n").unwrap_err();
        assert!(error.to_string().contains("was deleted"), "{error}");
        assert_eq!(deliver(&mut output, b"").unwrap_err(), error);
    }
    let mut nameless = Output::new(tempfile::tempfile().unwrap(), "test").unwrap();
    assert!(Lines::deliver(&mut nameless, b"one\n").is_ok(), "it never had a name: somebody holds it");
}

/// systemd opens a `file:` at its beginning and does not empty it: the next start wrote over what was delivered.
#[test]
fn a_file_that_is_opened_at_its_beginning_is_gone_on_with_at_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    for (before, after) in [("first\n", "first\none\ntwo\n"), ("to", "to\none\ntwo\n")] {
        std::fs::write(&path, before).unwrap();
        let mut output = Output::new(OpenOptions::new().write(true).open(&path).unwrap(), "test").unwrap();
        assert_eq!(output.mark().unwrap().length, before.len() as u64);
        output.deliver(b"one\n").unwrap();
        let mark = output.deliver(b"two\n").unwrap().unwrap();
        assert_eq!(read(&path), after);
        assert_eq!(mark.length, after.len() as u64);
    }
}

/// What came next lay behind as many zeros as the file had been long, on one line with them.
#[test]
fn a_file_that_is_emptied_is_written_from_its_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    for append in [true, false] {
        let file = OpenOptions::new().append(append).write(true).create(true).open(&path).unwrap();
        let mut output = Output::new(file, "test").unwrap();
        output.deliver(b"one\n").unwrap();
        std::fs::write(&path, "").unwrap();
        output.deliver(b"two\n").unwrap();
        assert_eq!(read(&path), "two\n");
        std::fs::write(&path, "two\nof another").unwrap();
        let mark = output.deliver(b"three\n").unwrap().unwrap();
        assert_eq!((read(&path).as_str(), mark.length), ("two\nof another\nthree\n", 21));
        std::fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_reader_that_has_gone_is_closed_and_stays_closed() {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut output = Output::new(OwnedFd::from(writer), "test").unwrap();
    assert_eq!(output.deliver(b"one\n").unwrap(), None);
    drop(reader);
    let first = output.deliver(b"two\n").unwrap_err();
    assert!(matches!(first, SinkError::Closed { .. }), "{first}");
    assert_eq!(output.deliver(b"").unwrap_err(), first);
}

#[test]
fn a_slow_reader_of_a_non_blocking_pipe_gets_every_byte() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    let line: Vec<u8> = (0..300_000).map(|n| b'a' + (n % 26) as u8).chain([b'\n']).collect();
    let expected = line.clone();
    let slow = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let mut chunk = [0; 7_001];
        loop {
            std::thread::sleep(Duration::from_millis(1));
            match reader.read(&mut chunk).unwrap() {
                0 => return seen,
                n => seen.extend_from_slice(&chunk[..n]),
            }
        }
    });
    let mut output = Output::new(OwnedFd::from(writer), "test").unwrap();
    output.deliver(&line).unwrap();
    drop(output);
    assert_eq!(slow.join().unwrap(), expected);
}

#[test]
fn with_drain_a_batch_is_delivered_when_it_has_been_read() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut output = Output::new(OwnedFd::from(writer), "test").unwrap();
    output.drain().unwrap();
    let (told, hears) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for lines in [&b"one\n"[..], b"", b"two\n"] {
            told.send(output.deliver(lines)).unwrap();
        }
    });
    let early = || hears.recv_timeout(Duration::from_millis(100)).is_err();
    let answer = || hears.recv_timeout(Duration::from_secs(20)).unwrap();
    assert!(early(), "nobody has read it");
    reader.read_exact(&mut [0; 3]).unwrap();
    assert!(early(), "its last byte is unread");
    reader.read_exact(&mut [0; 1]).unwrap();
    assert_eq!(answer(), Ok(None));
    assert_eq!(answer(), Ok(None), "no lines wait for nobody");
    drop(reader);
    assert!(matches!(answer(), Err(SinkError::Closed { .. })), "written or not, it was not read");
}

#[test]
fn drain_needs_a_pipe_or_a_file() {
    let output = |descriptor: OwnedFd| Output::new(descriptor, "test").unwrap();
    let (_reader, writer) = std::io::pipe().unwrap();
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    let device = OpenOptions::new().write(true).open("/dev/null").unwrap();
    assert_eq!(output(writer.into()).drain(), Ok(()));
    assert_eq!(output(tempfile::tempfile().unwrap().into()).drain(), Ok(()));
    for descriptor in [socket.into(), device.into()] {
        let mut output = output(descriptor);
        assert!(matches!(output.drain(), Err(SinkError::NotDrainable { .. })));
        assert_eq!(output.deliver(b"one\n"), Ok(None), "it is as it was");
    }
}

#[test]
fn a_full_device_is_full() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let mut output = Output::new(full, "test").unwrap();
    let error = output.deliver(b"one\n").unwrap_err();
    assert!(matches!(error, SinkError::Full { .. }), "{error}");
}

/// A regular file, as far as the system says, that takes a thread's name; neither it nor its directory knows fsync.
#[test]
fn what_a_file_does_not_sync_is_not_delivered_but_a_directory_may_know_no_sync() {
    let file = OpenOptions::new().write(true).open("/proc/thread-self/comm").unwrap();
    let mut output = Output::new(file, "test").unwrap();
    assert!(output.deliver(b"one\n").is_err());
}

#[test]
fn a_descriptor_that_can_not_be_written_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("out.ndjson");
    std::fs::write(&path, "").unwrap();
    let mut output = Output::new(File::open(&path).unwrap(), "test").unwrap();
    assert!(matches!(output.deliver(b"one\n").unwrap_err(), SinkError::Closed { .. }));
}

#[test]
fn a_full_pipe_is_waited_for_and_not_asked_again_and_again() {
    let (mut reader, writer) = std::io::pipe().unwrap();
    let flags = fcntl_getfl(&writer).unwrap();
    rustix::fs::fcntl_setfl(&writer, flags | OFlags::NONBLOCK).unwrap();
    let mut file = File::from(OwnedFd::from(writer));
    let mut taken = 0;
    while let Ok(written) = file.write(&[b'a'; 4096]) {
        taken += written;
    }
    let drain = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(50));
        reader.read_exact(&mut vec![0; taken]).unwrap();
        reader
    });
    wait_until_writable(&file).unwrap();
    assert_eq!(file.write(b"b").unwrap(), 1, "there is room when the wait is over");
    drop(drain.join().unwrap());
}

#[test]
fn a_terminal_that_hangs_up_is_closed_and_a_disk_that_fails_is_not() {
    let error = || io::Error::from(rustix::io::Errno::IO);
    assert!(matches!(failure("test", true, &error()), SinkError::Closed { .. }));
    assert!(matches!(failure("test", false, &error()), SinkError::Io { .. }));
    let device = OpenOptions::new().write(true).open("/dev/null").unwrap();
    assert!(matches!(examine(&device).unwrap(), Kind::Stream { of: FileType::CharacterDevice }));
    let (_reader, writer) = std::io::pipe().unwrap();
    assert!(matches!(examine(&File::from(OwnedFd::from(writer))).unwrap(), Kind::Pipe { drains: false }));
}
