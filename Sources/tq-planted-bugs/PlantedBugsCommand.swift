import ArgumentParser
import CommandLineSupport
import FoundationEssentials

/// Shows that the tests find bugs: plants them in a copy of the sources, and hunts them one by one.
@main
struct PlantedBugsCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "tq-planted-bugs",
        abstract: "Plants the bugs of Tests/PlantedBugs in a copy of the sources and lets the simulation find them.",
        version: tqVersion,
        subcommands: [PlantCommand.self, HuntCommand.self]
    )

    static func main() async { await runAndExit() }

    static let listDirectory = "Tests/PlantedBugs"

    /// The bugs of all lists of a package.
    static func bugs(of root: String) throws -> [PlantedBug] {
        let lists = try filePaths(below: "\(root)/\(listDirectory)").filter { $0.hasSuffix(".bugs") }.sorted()
        return try lists.flatMap { list in
            let text = try readFile("\(root)/\(listDirectory)/\(list)")
            return try PlantedBug.read(String(decoding: text, as: UTF8.self), "\(listDirectory)/\(list)")
        }
    }
}

/// Writes the copy.
struct PlantCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plant",
        abstract: "Writes a copy of the package with all bugs in it, none of them on."
    )

    @Argument(help: "The directory of the copy.")
    var directory: String

    func run() async throws {
        let root = FileManager.default.currentDirectoryPath
        let copy = try PlantedCopy(of: root, with: PlantedBugsCommand.bugs(of: root))
        try copy.write(to: directory, beside: root)
    }
}

/// Hunts bugs in it.
struct HuntCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hunt",
        abstract: "Runs the simulation of the copy with each bug until it is found.",
        discussion: """
            First it runs without a bug and must find nothing. A bug counts as found when an invariant is reported that its \
            entry in \(PlantedBugsCommand.listDirectory) names. Exits with 0 when every bug was found, with 1 otherwise.
            """
    )

    @Option(help: "The tq-simulate of the copy.")
    var simulate: String
    @Option(help: "Cycles of crash and recovery within which a bug must be found.")
    var cycles = 20_000
    @Option(help: "Cycles without a bug.")
    var soundCycles = 2_000
    @Option(help: "Bugs that are hunted at once.")
    var jobs = 2
    @Argument(help: "The bugs to hunt. (default: all that the simulation must find)")
    var names: [String] = []
    @OptionGroup var output: OutputOptions

    /// Nothing takes so long but a program that does not end.
    private static let patience = Duration.seconds(300)

    func run() async throws {
        let bugs = try chosenBugs()
        let sound = try await Hunt(simulate: simulate, cycles: soundCycles, patience: Self.patience).run(nil)
        guard case .nothing = sound else { throw CommandFailure(.failed, "Without a bug: \(sound)") }
        let outcomes = try await hunt(bugs)
        let rows = bugs.enumerated().map { Finding(bug: $0.element, outcome: outcomes[$0.offset] ?? .nothing) }
        Finding.listing.print(rows, format: output.format)
        let slipped = rows.filter { !$0.isCaught }
        guard slipped.isEmpty else {
            let list = slipped.map { "\($0.bug.name) (\($0.reporter))" }.joined(separator: ", ")
            throw CommandFailure(.failed, "Not found as they should be: \(list)")
        }
    }

    /// What became of each bug, by its place.
    private func hunt(_ bugs: [PlantedBug]) async throws -> [Int: Hunt.Outcome] {
        let hunt = Hunt(simulate: simulate, cycles: cycles, patience: Self.patience)
        let progress = Progress("bugs", total: UInt64(bugs.count))
        defer { progress.finish(UInt64(bugs.count)) }
        return try await withThrowingTaskGroup(of: (Int, Hunt.Outcome).self) { group in
            var outcomes: [Int: Hunt.Outcome] = [:]
            for (index, bug) in bugs.enumerated() {
                if index >= jobs, let (done, outcome) = try await group.next() { outcomes[done] = outcome }
                progress.update(UInt64(outcomes.count))
                group.addTask { (index, try await hunt.run(bug.name)) }
            }
            for try await (done, outcome) in group { outcomes[done] = outcome }
            return outcomes
        }
    }

    private func chosenBugs() throws -> [PlantedBug] {
        let all = try PlantedBugsCommand.bugs(of: FileManager.default.currentDirectoryPath)
        guard !names.isEmpty else { return all.filter { $0.hunters.contains("simulate") } }
        return try names.map { name in
            guard let bug = all.first(where: { $0.name == name }) else {
                throw CommandFailure(.usage, "No list of \(PlantedBugsCommand.listDirectory) has the bug \(name).")
            }
            return bug
        }
    }
}

/// A bug and what became of the hunt for it.
private struct Finding {
    let bug: PlantedBug
    let outcome: Hunt.Outcome

    var isCaught: Bool {
        switch outcome {
        case .nothing, .hang: false
        case .broken(let failure): bug.breaks.contains(failure.invariant)
        case .trap: bug.mayTrap
        }
    }

    /// Who reported the bug.
    var reporter: String {
        switch outcome {
        case .nothing: "nobody"
        case .broken(let failure): failure.invariant
        case .trap: "trap"
        case .hang: "hang"
        }
    }

    var failure: Hunt.Failure? { if case .broken(let failure) = outcome { failure } else { nil } }

    static let listing = Listing<Finding>([
        Column("Bug", "bug", \.bug.name),
        Column("May break", "breaks", { $0.bug.breaks.joined(separator: " ") }),
        Column("Reported by", "reporter", \.reporter),
        Column("Seed", "seed", count: { $0.failure?.seed ?? 0 }),
        Column("Runs", "runs", count: { $0.failure?.runs ?? 0 }),
        Column("Steps", "steps", count: { $0.failure?.steps ?? 0 }),
        Column("What is wrong", "title", \.bug.title),
    ])
}
