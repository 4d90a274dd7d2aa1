import Glibc

// The program that tools/fuzz builds and runs:
//
//   list                  the targets
//   unpack TARGET DIR     writes the inputs that are kept of a target as files
//   pack DIR              prints such files as lines to keep
//   --target=TARGET ...   fuzzes; the other arguments are libFuzzer's

/// Of the runtime that is linked; it starts the program anew for some of its work, so the arguments stay as they are.
@_silgen_name("LLVMFuzzerRunDriver")
private func runFuzzer(
    _ argumentCount: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>>,
    _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

nonisolated(unsafe) private var target = FuzzTarget.messages

private func fail(_ sentence: String) -> Never {
    _ = "\(sentence)\n".withCString { write(STDERR_FILENO, $0, strlen($0)) }
    exit(64)
}

private func find(_ name: some StringProtocol) -> FuzzTarget {
    if let found = FuzzTarget.named(String(name)) { return found }
    fail("no target is named \(name)")
}

private let arguments = CommandLine.arguments.dropFirst()
switch (arguments.first ?? "", arguments.count) {
case ("list", 1):
    for target in FuzzTarget.all { print("\(target.name)\t\(target.summary)") }
case ("unpack", 3):
    let target = find(arguments[2])
    let kept = try target.seeds() + Inputs.corpus(of: target) + Inputs.regressions(of: target).map(\.bytes)
    try Inputs.write(kept, toDirectory: arguments[3])
case ("pack", 2):
    print(try Inputs.lines(ofDirectory: arguments[2]), terminator: "")
case (let first, _) where first.hasPrefix("--target="):
    target = find(first.dropFirst("--target=".count))
    var count = CommandLine.argc
    var pointers = CommandLine.unsafeArgv
    let status = runFuzzer(&count, &pointers) { bytes, count in
        target.run(Array(UnsafeBufferPointer(start: bytes, count: count)))
        return 0
    }
    exit(status)
default:
    fail("this program belongs to tools/fuzz")
}
