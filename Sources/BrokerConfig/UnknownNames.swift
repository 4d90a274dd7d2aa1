/// The variables that begin with `TQ_` and are not the broker's business.
private let otherVariables: Set<String> = ["TQ_BROKER_ADDR", "TQ_API_KEY", "TQ_CONTEXT"]

/// What is wrong with the names of flags that `--set` made.
func unknownFlags(_ flags: [String: String]) -> [String] {
    flags.keys.sorted().filter { ConfigurationSchema.key($0) == nil }.map {
        "unknown key '\($0)' in --set\(suggestion(for: $0))"
    }
}

/// What is wrong with the names of environment variables.
///
/// A variable of another program may begin with `TQ_` as well, so only those count that name a section or nearly
/// a key: silence would start a broker without the setting that somebody believes in.
func unknownVariables(_ environment: [String: String]) -> [String] {
    let known = Set(ConfigurationSchema.keys.map(\.environmentName))
    return environment.keys.sorted().compactMap { name in
        guard name.hasPrefix("TQ_"), !known.contains(name), !otherVariables.contains(name),
            !name.hasPrefix("TQ_TASK_"), !isServiceLink(name, value: environment[name] ?? "")
        else { return nil }
        let nearest = nearest(to: name, among: known)
        let namesSection = ConfigurationKey.Section.allCases.contains { name.hasPrefix("TQ_\($0)_".uppercased()) }
        guard namesSection || nearest != nil else { return nil }
        return "unknown variable \(name)" + (nearest.map { "; did you mean \($0)?" } ?? "")
    }
}

/// Whether Kubernetes made the variable for a service named `tq-broker`, `tq-api` or the like.
///
/// `TQ_BROKER_PORT` is then `tcp://10.0.0.1:6379`, which must not keep the broker from starting.
func isServiceLink(_ name: String, value: String) -> Bool {
    guard let section = ConfigurationKey.Section.allCases.first(where: { name.hasPrefix("TQ_\($0)_".uppercased()) })
    else { return false }
    let rest = name.dropFirst("TQ_\(section)_".count)
    if rest.hasPrefix("SERVICE_HOST") || rest.hasPrefix("SERVICE_PORT") { return true }
    guard rest.hasPrefix("PORT") else { return false }
    let protocols = ["tcp://", "udp://", "sctp://"]
    return rest == "PORT" ? protocols.contains { value.hasPrefix($0) } : rest.hasPrefix("PORT_")
}

/// The end of a message about an unknown key: what may have been meant, or nothing.
func suggestion(for name: String) -> String {
    let leaf = name.split(separator: ".").last.map(String.init) ?? name
    let sameLeaf = ConfigurationSchema.keys.first { $0.name == leaf }?.path
    let near = nearest(to: name, among: ConfigurationSchema.keys.map(\.path))
    return (sameLeaf ?? near).map { "; did you mean '\($0)'?" } ?? "; docs/configuration.md lists all keys"
}

/// The candidate with the fewest typing mistakes, if these are few for the length of the name.
private func nearest(to name: String, among candidates: some Sequence<String>) -> String? {
    let best = candidates.map { (distance: mistakes(from: name, to: $0), name: $0) }.min {
        ($0.distance, $0.name) < ($1.distance, $1.name)
    }
    guard let best, best.distance <= max(2, name.count / 4) else { return nil }
    return best.name
}

/// How many letters must be added, dropped, changed or swapped with their neighbour (optimal string alignment).
private func mistakes(from source: String, to target: String) -> Int {
    let source = Array(source.utf8)
    let target = Array(target.utf8)
    var beforeLast: [Int] = []
    var last = Array(0...target.count)
    for (row, letter) in source.enumerated() {
        var current = [row + 1]
        for (column, other) in target.enumerated() {
            var cost = min(last[column + 1] + 1, current[column] + 1, last[column] + (letter == other ? 0 : 1))
            if row > 0, column > 0, letter == target[column - 1], source[row - 1] == other {
                cost = min(cost, beforeLast[column - 1] + 1)
            }
            current.append(cost)
        }
        (beforeLast, last) = (last, current)
    }
    return last[target.count]
}
