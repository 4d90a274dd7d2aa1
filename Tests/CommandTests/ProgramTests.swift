import Glibc
import TQModel
import TQWorker
import Testing

@testable import tq_worker

@Suite("Programs as tasks")
struct ProgramTests {
    private func shell(_ script: String, _ input: Bytes = [], variables: [String: String] = [:]) async throws -> Bytes {
        try await Program(["sh", "-c", script]).result(of: input, variables: variables)
    }

    private func failure(_ script: String) async -> String {
        do {
            return "no failure: \(try await shell(script))"
        } catch {
            return "\(error)"
        }
    }

    @Test("the payload is standard input and standard output is the result, byte by byte")
    func bytes() async throws {
        var generator = SystemRandomNumberGenerator()
        for count in [0, 1, 65_535, 65_536, 65_537, 3_000_000] {
            let payload = Bytes((0..<count).map { _ in UInt8.random(in: 0...255, using: &generator) })
            let result = try await Program(["cat"]).result(of: payload, variables: [:])
            #expect(result == payload, "\(count) bytes")
        }
    }

    @Test("a program that does not read its payload completes all the same")
    func unread() async throws {
        #expect(try await shell("exec <&-; echo hi", Bytes(repeating: 7, count: 1_000_000)).elementsEqual("hi\n".utf8))
    }

    @Test("the program finds its task in the environment, and nothing of another task")
    func variables() async throws {
        setenv("TQ_TASK_OTHER", "1", 1)
        defer { unsetenv("TQ_TASK_OTHER") }
        let result = try await shell("env | grep ^TQ_TASK_", variables: ["TQ_TASK_ID": "an id"])
        #expect(result.elementsEqual("TQ_TASK_ID=an id\n".utf8))
    }

    @Test("a failure says how the program ended, and the end of its standard error")
    func failures() async {
        #expect(await failure("echo oops >&2; exit 3") == "exit code 3: oops")
        #expect(await failure("exit 255") == "exit code 255")
        #expect(await failure("kill -9 $$") == "killed by signal 9")
        let long = await failure("yes wörd | head -c 1000000 >&2; echo the end >&2; exit 1")
        #expect(long.hasPrefix("exit code 1: "))
        #expect(long.hasSuffix("the end"))
        #expect(long.utf8.count <= Limits.errorBytesMax)
        #expect(!long.contains("\u{fffd}"))
    }

    @Test("a program that is not there is a failure of the attempt")
    func missing() async {
        await #expect(throws: ProgramFailure.self) {
            try await Program(["/no/such/program"]).result(of: [], variables: [:])
        }
    }

    @Test("more output than a result may have is a permanent failure, and the program ends")
    func largeOutput() async {
        await #expect(throws: PermanentFailure.self) { try await shell("yes") }
    }

    @Test("what a program leaves running does not hold its task up")
    func leftBehind() async throws {
        // Not tail -f, which ends by itself when nobody reads its output any more.
        let result = try await shell("sleep 1000 & echo $!")
        let id = try #require(pid_t(String(decoding: result, as: UTF8.self).dropLast()))
        #expect(kill(id, SIGKILL) == 0)
    }

    @Test("cancellation ends the program and its children, also those that ignore SIGTERM")
    func cancellation() async throws {
        for script in ["tail -f /dev/null", "sh -c 'tail -f /dev/null'", "trap '' TERM; tail -f /dev/null"] {
            let task = Task { try await shell(script) }
            task.cancel()
            await #expect(throws: ProgramFailure.self) { try await task.value }
        }
    }

    @Test("many programs at once keep their pipes apart")
    func many() async throws {
        try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<200 {
                let payload = Bytes("\(number)".utf8)
                group.addTask { try await Program(["cat"]).result(of: payload, variables: [:]) == payload }
            }
            for try await isSame in group { #expect(isSame) }
        }
    }

    @Test("programs start with the usual answers to signals")
    func signals() async throws {
        #expect(try await shell("yes | head -1").elementsEqual("y\n".utf8))
        #expect(await failure("kill -s PIPE $$") == "killed by signal 13")
    }
}
