package import Glibc
public import Logging
public import TQClient
public import TQModel

/// How a worker behaves; every value has a default.
public struct WorkerOptions: Sendable {
    /// The worker's name, one of a kind among all workers of a broker.
    public var name = WorkerOptions.makeName()
    /// The queues to take tasks from.
    public var queues: [Name] = [Name(Defaults.queue)]
    /// How many tasks run at once, 1 to ``Limits/claimCountMax``.
    public var concurrency = 4
    /// Overrides the tasks' own lease duration; `nil` does not.
    public var lease: Duration?
    /// How long running tasks may go on after a shutdown began.
    public var shutdownGrace: Duration = .seconds(60)
    /// How often the worker says that it lives.
    public var heartbeatInterval: Duration = .seconds(15)
    /// Whatever helps people to find the worker; at most ``Limits/errorBytesMax`` bytes.
    public var metadata = ""
    /// How it connects.
    public var client = ClientOptions()
    /// Where lost leases, refused reports and waits for a broker are logged; nowhere unless said otherwise.
    public var logger = Logger(label: "tq.worker") { _ in SwiftLogNoOpLogHandler() }

    public init() {}

    /// Host, process and four random characters: two workers of one process, or two containers with the same host
    /// name and process number, differ.
    public static func makeName() -> Name {
        let random = String(UInt32.random(in: 0x10000...0xfffff), radix: 16).suffix(4)
        return Name(makeNamePrefix(process: getpid()) + random)
    }

    /// How the names begin that the workers of a process of this machine make for themselves.
    package static func makeNamePrefix(process: pid_t) -> String {
        var host = [CChar](repeating: 0, count: 256)
        let hasHost = gethostname(&host, host.count - 1) == 0
        let characters = host.prefix { $0 != 0 && $0 != 42 }.prefix(200).map { UInt8(bitPattern: $0) }
        let hostName = hasHost && !characters.isEmpty ? String(decoding: characters, as: UTF8.self) : "worker"
        return "\(hostName)-\(process)-"
    }
}
