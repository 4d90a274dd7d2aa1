import DiskFaults
import Glibc
import Testing

@Suite("Calls that fail")
struct FaultTests {
    /// Makes calls under a control file: what each returned, and the directory afterwards in an image.
    private func run(
        _ calls: String...,
        image: DiskImage = .kill,
        prepare: (DiskControl) -> Void = { _ in }
    ) throws -> (lines: [String], control: DiskControl, files: [String: [UInt8]?]) {
        let scratch = try Scratch()
        let control = try DiskControl(scratch / "control")
        prepare(control)
        #expect(try scratch.run("disk-calls", [scratch / "disk"] + calls, control: control) == 0)
        let replay = try DiskReplay(try DiskJournal(scratch / "journal"))
        try replay.advance(to: replay.journal.count)
        try replay.write(.kill, to: scratch / "images/kill")
        #expect(try Files.tree(scratch / "images/kill") == Files.tree(scratch / "disk"))
        try replay.write(image, to: scratch / "images/asked")
        let output = String(decoding: try Files.read(scratch / "output"), as: UTF8.self)
        return (output.split(separator: "\n").map(String.init), control, try Files.tree(scratch / "images/asked"))
    }

    @Test("without faults nothing is different, and calls are counted by kind")
    func counts() throws {
        let (lines, control, files) = try run(
            "write:5",
            "writev:3",
            "pwrite:1",
            "append",
            "sync",
            "datasync",
            "sync-directory",
            "resize:100",
            "reserve:200",
            "create",
            "link",
            "rename",
            "mkdir",
            "rmdir"
        )
        #expect(lines.allSatisfy { !$0.contains("failed") }, "\(lines)")
        #expect(lines.prefix(3) == ["write:5 5", "writev:3 3", "pwrite:1 1"])
        #expect(control.count(of: .write) == 4)
        #expect(control.count(of: .sync) == 3)
        #expect(control.count(of: .allocate) == 2)
        // The file itself, then six calls.
        #expect(control.count(of: .name) == 6)
        #expect(DiskControl.Operation.allCases.allSatisfy { control.failures(of: $0) == 0 })
        #expect(files.keys.sorted() == ["created", "linked", "renamed"])
        #expect(files["renamed"]??.count == 200)
    }

    @Test("the n-th write fails once, and nothing of it is written", arguments: [EIO, ENOSPC])
    func failingWrite(_ error: CInt) throws {
        let (lines, control, files) = try run("write:5", "write:6", "write:7") {
            $0.fail(.write, with: error, from: 2, times: 1)
        }
        #expect(lines == ["write:5 5", "write:6 failed \(error)", "write:7 7"])
        #expect(control.failures(of: .write) == 1)
        #expect(files["file"]??.count == 12)
    }

    @Test("writes fail from one on until they are restored")
    func lastingFault() throws {
        let (lines, control, _) = try run("write:5", "write:6", "write:7") { $0.fail(.write, with: EIO, from: 2) }
        #expect(lines == ["write:5 5", "write:6 failed 5", "write:7 failed 5"])
        #expect(control.failures(of: .write) == 2)
        control.restore(.write)
    }

    @Test("a short write writes half and says so; a torn one says that it failed")
    func halfWrites() throws {
        let short = try run("write:10") { $0.fail(.write, with: 0, .short) }
        #expect(short.lines == ["write:10 5"])
        #expect(short.files["file"]??.count == 5)
        let torn = try run("write:10") { $0.fail(.write, with: EIO, .torn) }
        #expect(torn.lines == ["write:10 failed \(EIO)"])
        #expect(torn.files["file"]??.count == 5)
    }

    @Test("a sync that fails keeps its bytes for the next one, or drops them for good")
    func failingSyncs() throws {
        let calls = ["write:4", "sync", "write:3", "sync", "sync-directory"]
        for (manner, durable) in [(DiskControl.Manner.plain, "xxxxxxx"), (.drop, "\0\0\0\0xxx")] {
            let (lines, control, files) = try run(calls[0], calls[1], calls[2], calls[3], calls[4], image: .strict) {
                $0.fail(.sync, with: EIO, manner, from: 1, times: 1)
            }
            #expect(lines == ["write:4 4", "sync failed \(EIO)", "write:3 3", "sync 0", "sync-directory 0"])
            #expect(control.failures(of: .sync) == 1)
            #expect(files["file"] == Array(durable.utf8), "\(manner)")
        }
    }

    @Test("a sync that lies reports success and makes nothing durable")
    func lyingSync() throws {
        let (lines, _, files) = try run("write:4", "sync", "sync-directory", image: .strict) {
            $0.fail(.sync, with: 0, .lie, from: 1, times: 1)
        }
        #expect(lines == ["write:4 4", "sync 0", "sync-directory 0"])
        #expect(files == ["file": []])
    }

    @Test("a name is durable only when its directory is synced after it was given")
    func names() throws {
        #expect(try run("write:4", "sync", image: .strict).files.isEmpty)
        #expect(try run("write:4", "sync-directory", image: .strict).files == ["file": []])
        let renamed = try run("write:4", "sync", "sync-directory", "rename", image: .strict)
        #expect(renamed.files == ["file": Array("xxxx".utf8)])
        let gone = try run("write:4", "sync", "sync-directory", "rename", "sync-directory", image: .strict)
        #expect(gone.files == ["renamed": Array("xxxx".utf8)])
    }

    @Test("on a full disk files do not grow, and names can be removed")
    func fullDisk() throws {
        let (lines, _, _) = try run("write:4", "pwrite:0", "reserve:4096", "resize:9", "resize:0", "unlink") {
            $0.setFull(true)
        }
        #expect(
            lines == [
                "write:4 failed \(ENOSPC)", "pwrite:0 failed \(ENOSPC)", "reserve:4096 failed \(ENOSPC)",
                "resize:9 failed \(ENOSPC)", "resize:0 0", "unlink 0",
            ]
        )
    }

    @Test("names and sizes fail like everything else")
    func otherFaults() throws {
        let (lines, control, _) = try run("resize:9", "reserve:9", "create", "rename", "unlink", "mkdir") {
            $0.fail(.allocate, with: EIO)
            $0.fail(.name, with: ENOSPC, from: 2)
        }
        #expect(lines.prefix(2) == ["resize:9 failed \(EIO)", "reserve:9 failed \(EIO)"])
        #expect(lines.dropFirst(2).allSatisfy { $0.hasSuffix("failed \(ENOSPC)") }, "\(lines)")
        #expect(control.failures(of: .allocate) == 2 && control.failures(of: .name) == 4)
    }

    @Test("syncs take as much longer as asked for")
    func slowSyncs() throws {
        let began = ContinuousClock.now
        _ = try run("write:1", "sync", "datasync") { $0.delaySyncs(by: .milliseconds(50)) }
        #expect(ContinuousClock.now - began >= .milliseconds(100))
    }
}
